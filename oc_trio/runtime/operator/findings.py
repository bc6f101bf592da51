"""A finding of `oc-trio doctor`: what was checked, how it is, why it matters, and what to do.

Each kind of finding has a code that stays the same, for programs; `WHY` is the list of all of them.
"""

from enum import Enum

from attrs import field
from attrs.validators import in_

from oc_trio.classes import frozen
from oc_trio.runtime.operator.repairs import Repair


class Level(Enum):
    OK = "ok"
    FIXED = "fixed"
    WARNING = "warning"
    UNVERIFIED = "not verified"
    FAILED = "failed"


_WELL = ""
_DEAD_COMMANDS = "People who use a slash command read that it failed, and nothing reaches the bot."
_DEAD_BUTTONS = "Buttons show, and clicking them does nothing."
_DEAF = "Nothing that people write reaches the gateway."
_NO_ANSWERS = "Every question that needs this model ends in an apology."
_NOT_IN = "What the configuration says of this id has no effect."

# By code: why it matters. docs/troubleshooting.md lists the same codes with what to do; a test compares the two.
WHY = {
    "config.ok": _WELL,
    "config.error": "The gateway does not start.",
    "config.warning": "The gateway starts, and something in the file does not do what it seems to say.",
    "config.account": "This account does not start; the others do.",
    "config.account_off": _WELL,
    "config.no_account": "There is nobody to answer as.",
    "state.ok": _WELL,
    "state.new": _WELL,
    "state.unfit": "The gateway refuses to start: another user of this machine could replace what it keeps.",
    "state.unreadable": "The gateway can't start without its state.",
    "state.read_only": "The gateway can't start without a place to write.",
    "state.open": "Other users of this machine may read what people wrote.",
    "state.file_open": "Other users of this machine may read what people wrote.",
    "state.file_owner": "The gateway can't write them: it ends, or does not start.",
    "clock.ok": _WELL,
    "clock.off": "Catch-up, pairing codes and buttons go by both clocks: some expire too early, or too late.",
    "tls.ok": _WELL,
    "tls.soon": "When it has expired, the gateway neither reads nor answers anything.",
    "tls.failed": "The gateway can't start: it trusts nobody whom it can't verify.",
    "unit.ok": _WELL,
    "unit.stop": "systemd kills the gateway before its running answers have ended.",
    "slash.moved": "Whoever is at that address gets what people type, and the bot does not.",
    "slash.missing": "People get no completion for them, and an error if they use them.",
    "bot.second": "Two gateways answer the same questions, and each undoes what the other registers.",
    "disk.full": "On a full disk nobody is answered.",
    "disk.low": "On a full disk nobody is answered.",
    "journal.ok": _WELL,
    "journal.new": _WELL,
    "journal.failed": "The gateway can't start without its journal.",
    "journal.damaged": "The gateway ends when it meets the damaged part.",
    "job.ok": _WELL,
    "job.unfit": "Its runs fail, or nobody makes them.",
    "job.failed": "What it had to say was not posted, or not all of it.",
    "account.ok": _WELL,
    "account.person": "Everybody sees the answers as that person's, and the token can do what the person may.",
    "account.no_team": "Nobody can reach the bot.",
    "server.unreachable": "The gateway can't start: it neither reads nor answers anything.",
    "server.address": "The gateway can't start: it neither reads nor answers anything.",
    "server.private": "The gateway can't start: a mistyped or hijacked name is not to get the token.",
    "token.refused": "The gateway can't start: it neither reads nor answers anything.",
    "socket.ok": _WELL,
    "socket.unused": _WELL,
    "socket.proxy": _DEAF,
    "socket.no_upgrade": _DEAF,
    "socket.no_greeting": _DEAF,
    "socket.no_ping": "A connection that died quietly is not noticed, or each one is taken for dead.",
    "socket.unreachable": _DEAF,
    "socket.cut": "Each time, the gateway has to connect and to catch up anew.",
    "rights.ok": _WELL,
    "rights.slow": "Answers take as long.",
    "rights.direct": "The bot can write to nobody who has not written to it: schedules, pairing, `message send @name`.",
    "rights.upload": "Files of answers are left out.",
    "rights.post": "The bot can't answer.",
    "rights.edit": "Answers can't grow: each edit is refused, and the answer comes as a post of its own.",
    "rights.react": "Reactions are left out (`ackReactions`, the agent's own).",
    "rights.delete": "Drafts that are no longer needed stay where they are.",
    "slash.rights": "The bot's slash commands can't be registered there.",
    "slash.disabled": _DEAD_COMMANDS,
    "slash.unknown": "Whether slash commands are there is not known.",
    "ids.ok": _WELL,
    "ids.name": _NOT_IN,
    "ids.kind": _NOT_IN,
    "ids.unknown": _NOT_IN,
    "ids.unasked": "Whether they exist is not known.",
    "slash.taken": "A name exists once in a team; this account does without.",
    "slash.arrives": _WELL,
    "slash.unreachable": _DEAD_COMMANDS,
    "slash.elsewhere": _DEAD_COMMANDS,
    "slash.not_genuine": "Something on the way changes requests; each is refused.",
    "slash.not_verified": "Whether slash commands work is not known.",
    "button.arrives": _WELL,
    "button.unreachable": _DEAD_BUTTONS,
    "button.elsewhere": _DEAD_BUTTONS,
    "button.source": "Every click is refused with 403: it comes from an address that may not deliver any.",
    "button.not_genuine": "Something on the way changes requests; each is refused.",
    "button.not_verified": "Whether buttons work is not known.",
    "callback.loopback": "Mattermost would call its own machine.",
    "callback.private": "Mattermost calls no private address that its settings don't name.",
    "callback.mattermost": "Mattermost would call itself, unless a proxy there passes the path on.",
    "callback.unknown_host": "Mattermost can't call a name that does not resolve.",
    "callback.listen": "The gateway can't start: the port for slash commands and buttons is not to be had.",
    "callback.unused": _WELL,
    "callback.left_behind": "It does no harm, and nobody needs it.",
    "pictures.ok": _WELL,
    "pictures.unscaled": "A model may refuse large pictures, and kinds that it does not know.",
    "model.ok": _WELL,
    "model.none": "The gateway can't start: there is nobody to ask.",
    "model.address": "The address is mended as it is used, and may fail elsewhere.",
    "model.unreachable": _NO_ANSWERS,
    "model.key": _NO_ANSWERS,
    "model.no_list": "Whether the configured models are there could not be looked up.",
    "model.refuses": _NO_ANSWERS,
    "model.no_model_server": _NO_ANSWERS,
    "model.missing": _NO_ANSWERS,
    "model.silent": _NO_ANSWERS,
    "model.failed": _NO_ANSWERS,
    "model.no_tools": "Each turn asks with tools first, and again without.",
}


@frozen
class Finding:
    """The result of one check. Where it is not OK, `text` says what is wrong and `fix` what to do.

    `repair` does it, where that is safe.
    """

    level: Level
    subject: str
    text: str
    code: str = field(validator=in_(WHY))
    fix: str = ""
    repair: Repair | None = field(default=None, eq=False, repr=False)

    @property
    def why(self) -> str:
        """Why it matters; empty where all is well."""
        return "" if self.level in (Level.OK, Level.FIXED) else WHY[self.code]
