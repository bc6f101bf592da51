"""Warns of refused clicks and slash commands, with post, user and what to do; bounded, since anybody may send them."""

from collections.abc import Mapping

import trio
from attrs import field

from oc_trio.classes import define
from oc_trio.core import slash
from oc_trio.core.json_body import BadJson, read_object
from oc_trio.errors import CallbackRefused
from oc_trio.ids import is_mattermost_id
from oc_trio.telemetry.log import get_logger

log = get_logger(part="callbacks")

# Seconds between two lines about the same reason; the refusals in between are counted in the next line.
LOG_EVERY = 5.0

ORIGIN = "Forbidden origin"
_FOREIGN_BUTTON = (
    "the button was made with another bot token: before the token was changed, by another gateway with the same bot, "
    "or by a script (see oc-trio buttons sign)"
)
_CLICK_ADVICE = {
    "Missing token": _FOREIGN_BUTTON,
    "Invalid token": _FOREIGN_BUTTON,
    "Channel mismatch": "the button was made for another channel; buttons can't be copied",
    "Post/channel mismatch": "the button was made for another post; buttons can't be copied",
    "Unknown action": "the post has no such button any more, or context.action_id is not the button's id",
    "Not ready": "the account is not running: see oc-trio status",
    "Failed to validate interaction": "Mattermost could not be asked for the post: click again",
    "Interaction authorization failed": "Mattermost could not be asked who clicked: click again",
    ORIGIN: (
        "if this is Mattermost's address, add it to channels.mattermost.interactions.allowedSourceIps; behind a proxy, "
        "set gateway.trustedProxies"
    ),
}
# Mattermost on the proxy's machine calls from loopback, and loopback counts as no client behind a trusted proxy: any
# caller may write it into the header of a proxy that passes headers on.
SAME_MACHINE = (
    "where Mattermost and the proxy are on one machine, give Mattermost a callback URL with an address of that machine "
    "which is not loopback, and add that address to interactions.allowedSourceIps; or give it the gateway's own "
    "address, without the proxy, and take gateway.trustedProxies out"
)
_COMMAND_ADVICE = {
    slash.INVALID_TOKEN: (
        "no command of this gateway has that token: it was made by another gateway or program, or changed; see oc-trio "
        "commands list, and oc-trio reload to have ours registered again"
    ),
    slash.AMBIGUOUS: "two accounts have the command: give one of them a commands.prefix",
    slash.NOT_READY: "the account's commands are not registered yet: see oc-trio status",
}
# Log texts that the documentation quotes.
_LOGGED = {"Missing token": "missing _token in context", "Invalid token": "invalid _token"}


@define(eq=False)
class RefusalLog:
    """One for the public port."""

    # By the text of the line, of which there are as many as kinds of refusals, not as callers.
    _quiet_until: dict[str, float] = field(init=False, factory=dict)
    _unlogged: dict[str, int] = field(init=False, factory=dict)

    def click(self, problem: CallbackRefused, body: bytes) -> None:
        """A click or a dialog was refused. The names in its body are what the caller claims."""
        text = f"mattermost: interaction refused: {_LOGGED.get(problem.reason, problem.reason)}"
        self._warn(text, _CLICK_ADVICE.get(problem.reason, ""), claimed_ids(body))

    def origin(self, source: str, peer: str, forwarded: str) -> None:
        """A click came from an address that may not call; `source` is empty if the trusted proxy `peer` names none."""
        advice, fields = _CLICK_ADVICE[ORIGIN], {"source": source}
        if not source:
            advice = f"let the proxy set X-Forwarded-For to the address of its caller; {SAME_MACHINE}"
            fields = {"source": "unknown", "proxy": peer, "forwarded": forwarded or "none"}
        self._warn("mattermost: interaction refused: forbidden origin", advice, fields)

    def command(self, problem: CallbackRefused, call: slash.SlashCall) -> None:
        """A slash command was refused."""
        ids = {"user": call.user_id, "team": call.team_id, "channel": call.channel_id}
        fields = {name: value for name, value in ids.items() if is_mattermost_id(value)}
        fields["command"] = call.trigger[:64]
        advice = _COMMAND_ADVICE.get(problem.reason, "")
        self._warn(f"mattermost: slash command refused: {problem.reason}", advice, fields)

    def _warn(self, text: str, advice: str, fields: Mapping[str, str]) -> None:
        now = trio.current_time()
        if now < self._quiet_until.get(text, 0.0):
            self._unlogged[text] = self._unlogged.get(text, 0) + 1
            return
        self._quiet_until[text] = now + LOG_EVERY
        more = {"unlogged": count} if (count := self._unlogged.pop(text, 0)) else {}
        log.warning(text, **fields, **({"advice": advice} if advice else {}), **more)


def claimed_ids(body: bytes) -> dict[str, str]:
    """The ids of post, user and channel that a click's body names, as far as they have the form of ids."""
    try:
        payload = read_object(body)
    except BadJson:
        return {}
    names = {"post": "post_id", "user": "user_id", "channel": "channel_id"}
    return {
        name: value
        for name, key in names.items()
        if isinstance(value := payload.get(key), str) and is_mattermost_id(value)
    }
