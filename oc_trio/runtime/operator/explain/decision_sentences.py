"""Says in a sentence why a message was answered or not, with the key and the value that would change the decision.

Pure. The keys are shown as the configuration has them now; at the time of the decision they may have been others.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any

from oc_trio.classes import frozen
from oc_trio.config.accounts import ROOT, Account
from oc_trio.config.load import Loaded
from oc_trio.core.gating import ChatMode
from oc_trio.ids import AccountId
from oc_trio.store.admission import ADMIT, CONTEXT, Seen

# Of a list in the configuration: the sentence is about one person, who is not in it.
_MOST_LISTED = 5


@frozen
class Decided:
    """A decision with what its sentence needs: `who` wrote the message and `where`, names with ids; `bot` without @."""

    seen: Seen
    loaded: Loaded
    who: str
    where: str
    bot: str = "bot"

    @property
    def account(self) -> Account | None:
        """The account's settings, None where the configuration has it no more."""
        return self.loaded.accounts.get(self.seen.account)

    def key(self, name: str) -> str:
        """The path of an account's key, as the file spells it."""
        table = self.loaded.tables.get(AccountId(self.seen.account))
        path = table.origins.get(name, f"{table.path}.{name}") if table is not None else f"{ROOT}.{name}"
        return f"`{self.loaded.modern.path_in_file(path)}`"

    def is_now(self, name: str, value: Callable[[Account], Any]) -> str:
        """`key is value`, the key alone where the account is gone."""
        account = self.account
        return self.key(name) if account is None else f"{self.key(name)} is {_shown(value(account))}"


def _shown(value: Any) -> str:
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, tuple):
        more = f" and {len(value) - _MOST_LISTED} more" if len(value) > _MOST_LISTED else ""
        return json.dumps(list(value[:_MOST_LISTED]), ensure_ascii=False) + more if value else "empty"
    return json.dumps(value, ensure_ascii=False)


def decision_sentence(decided: Decided) -> str:
    """The sentence about a decision; of a reason that has none, the reason."""
    reason, decision = decided.seen.reason, decided.seen.decision
    make = _SENTENCES.get(reason)
    why = make(decided) if make is not None else reason
    if decision == ADMIT:
        return f"to be answered: {why} [{reason}]"
    kept = ", kept as context" if decision == CONTEXT else ""
    return f"not answered{kept}: {why} [{reason}]"


def _no_mention(it: Decided) -> str:
    account, missing = it.account, f"it does not mention @{it.bot}"
    if account is None:
        return missing
    rule = f"groups.{it.seen.channel_id}.requireMention"
    if account.gating.chatmode is ChatMode.ONCHAR:
        prefixes = it.is_now("oncharPrefixes", lambda one: one.gating.onchar_prefixes)
        mode = it.is_now("chatmode", lambda one: one.gating.chatmode)
        return f"{missing}, nor does it begin with a prefix ({prefixes}), and {mode}"
    for name in (it.seen.channel_id, "*"):
        group = account.gating.groups.get(name)
        if group is not None and group.require_mention:
            return f"{missing}, and {it.key(f'groups.{name}.requireMention')} is true"
    mode = it.is_now("chatmode", lambda one: one.gating.chatmode)
    return f"{missing}, and {mode}; {it.key(rule)} = false would have this channel answered without mentions"


def _not_in_group_list(it: Decided) -> str:
    account = it.account
    name = "groupAllowFrom" if account is None or account.access.group_allow_from else "allowFrom"
    listed = it.is_now(
        name, lambda one: one.access.group_allow_from if name == "groupAllowFrom" else one.access.allow_from
    )
    fallback = " (it counts where `groupAllowFrom` is empty)" if name == "allowFrom" else ""
    policy = it.is_now("groupPolicy", lambda one: one.access.group_policy)
    return f"{policy}, and {it.who} is not in it: {listed}{fallback}; add {_quoted(it.seen.user_id)} there"


def _not_in_dm_list(it: Decided) -> str:
    policy = it.is_now("dmPolicy", lambda one: one.access.dm_policy)
    listed = it.is_now("allowFrom", lambda one: one.access.allow_from)
    return f"{policy}, and {it.who} is not in {listed}; add {_quoted(it.seen.user_id)} there"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _policy(name: str, value: Callable[[Account], Any], then: str = "") -> Callable[[Decided], str]:
    return lambda it: it.is_now(name, value) + then


def _just(text: str) -> Callable[[Decided], str]:
    return lambda _it: text


_DM = _policy("dmPolicy", lambda one: one.access.dm_policy)
_LOG = "a fact could not be looked up, so nobody was let in; the log says which"
_INTEGRATION = "no person wrote it"

_SENTENCES: Mapping[str, Callable[[Decided], str]] = {
    # answered
    "mention": lambda it: f"it mentions @{it.bot}, or one of its names",
    "direct_message": _just("it is a direct message"),
    "prefix": _policy("oncharPrefixes", lambda one: one.gating.onchar_prefixes, " and it begins with one of them"),
    "command": _just("it is a command"),
    "thread_participation": lambda it: (
        f"the bot has answered in this thread, and {it.key('implicitMentions.threadParticipation')} is true"
    ),
    "no_mention_required": lambda it: (
        f"{it.is_now('chatmode', lambda one: one.gating.chatmode)}, or {it.key('groups')} wants no mention here"
    ),
    "mention_added_by_edit": lambda it: f"an edit added a mention of @{it.bot}",
    "button": _just("a button was clicked"),
    "slash_command": _just("a slash command was typed"),
    "model_chosen": _just("a model was chosen by button"),
    "hook": _just("a hook was called"),
    "cron": _just("a scheduled job was due"),
    # not addressed
    "no_mention": _no_mention,
    "bot_without_mention": lambda it: (
        f"another bot wrote it without mentioning @{it.bot}, and "
        f"{it.is_now('allowBots', lambda one: one.access.allow_bots)}"
    ),
    "empty_post": _just("it has neither text nor files"),
    "edit_without_new_mention": _just("it is an edit that adds no mention"),
    "edit_too_late": _just("the mention came by an edit, more than five minutes after the message"),
    # who
    "bot_author": lambda it: (
        f"{it.who} is a bot, and {it.is_now('allowBots', lambda one: one.access.allow_bots)}; "
        '"mentions" or "list" would let bots in'
    ),
    "bot_listed": _policy("botAllowFrom", lambda one: one.access.bot_allow_from),
    "bot_not_listed": lambda it: (
        f"{it.who} is a bot that is not in {it.is_now('botAllowFrom', lambda one: one.access.bot_allow_from)}"
    ),
    "bot_loop": _just("another bot has written too often in a short time; it is heard again after a pause"),
    "dm_policy_disabled": _DM,
    "dm_open": _DM,
    "dm_allowlisted": _policy("allowFrom", lambda one: one.access.allow_from),
    "dm_paired": _just("the sender was let in by a pairing code"),
    "dm_policy_not_allowlisted": _not_in_dm_list,
    "dm_policy_pairing_required": lambda it: (
        f"{it.is_now('dmPolicy', lambda one: one.access.dm_policy)}, and {it.who} was not let in yet: "
        "oc-trio pairing list has the code"
    ),
    "event_pairing_not_allowed": lambda it: (
        f"{it.is_now('dmPolicy', lambda one: one.access.dm_policy)}, and {it.who} was not let in yet; a reaction asks "
        "for no code"
    ),
    "group_policy_disabled": _policy("groupPolicy", lambda one: one.access.group_policy),
    "group_open": _policy("groupPolicy", lambda one: one.access.group_policy),
    "group_allowlisted": _policy("groupAllowFrom", lambda one: one.access.group_allow_from),
    "group_policy_not_allowlisted": _not_in_group_list,
    "group_policy_empty_allowlist": lambda it: (
        f"{it.is_now('groupPolicy', lambda one: one.access.group_policy)}, and neither {it.key('groupAllowFrom')} nor "
        f'{it.key("allowFrom")} names anybody: add {_quoted(it.seen.user_id)}, or set groupPolicy to "open"'
    ),
    "command_not_allowed": lambda it: (
        f"{it.who} is not in `commands.allowFrom`, which says who may use chat commands, nor in "
        "`commands.ownerAllowFrom`"
    ),
    # where
    "team_not_allowed": _policy("onlyTeams", lambda one: one.access.only_teams, ", and this team is not in it"),
    "channel_not_allowed": lambda it: (
        f"{it.is_now('onlyChannels', lambda one: one.access.only_channels)}, and {it.where} is not in it"
    ),
    # what
    "no_author": _just(_INTEGRATION),
    "own_post": _just("the bot itself wrote it"),
    "own_action": _just("the bot itself did it"),
    "deleted_post": _just("it was deleted"),
    "system_post": _just("it is a message of the system, such as that somebody joined"),
    "webhook_post": _just(f"{_INTEGRATION}: a webhook did"),
    "integration_post": _just(f"{_INTEGRATION}: a plugin or another integration did"),
    # unknown
    "author_unknown": _just(_LOG),
    "chat_type_unknown": _just(_LOG),
    "pairing_store_unreadable": _just(_LOG),
    # at the start, and defects
    "before_first_start": _just("it is from before the gateway's very first start in this channel"),
    "could_not_be_handled": _just("the gateway failed at it three times: the log has the traceback, please report it"),
}


def known_reasons() -> Iterable[str]:
    """The reasons that have a sentence."""
    return _SENTENCES
