"""Decides who may talk to the bot, by one policy for posts, reactions, buttons and slash commands.

Closed by default: an empty list admits nobody, and an unknown fact (a failed lookup) refuses. Whether a post addresses
the bot at all is decided in `gating`.
"""

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

from attrs import field

from oc_trio.classes import frozen
from oc_trio.core.chat import Chat, ChatKind, Sender
from oc_trio.core.events import ChannelType, Post
from oc_trio.ids import ChannelId, TeamId, UserId, is_mattermost_id

_GROUP_PREFIX = "accessgroup:"
# People's posts have no type, or "me" for the /me command; plugins and integrations use other types.
_HUMAN_TYPES = frozenset({"", "me"})


class DmPolicy(Enum):
    PAIRING = "pairing"
    ALLOWLIST = "allowlist"
    OPEN = "open"
    DISABLED = "disabled"


class GroupPolicy(Enum):
    ALLOWLIST = "allowlist"
    OPEN = "open"
    DISABLED = "disabled"


class AllowBots(Enum):
    """`mentions`: bots are treated like people, but must mention us; `list`: only bots listed by id."""

    OFF = "off"
    MENTIONS = "mentions"
    LIST = "list"


class Origin(Enum):
    """The action that the sender took."""

    POST = "post"
    REACTION = "reaction"
    BUTTON = "button"
    COMMAND = "command"


@frozen
class AccessPolicy:
    """The settings for `authorise`; list entries are as the operator wrote them.

    `access_groups` maps a name to its members. `bot_allow_from` holds the ids of bots for `AllowBots.LIST`.
    `only_teams` and `only_channels` restrict everything except direct messages; None means no restriction, an empty
    set means nowhere.
    """

    dm_policy: DmPolicy = DmPolicy.PAIRING
    group_policy: GroupPolicy = GroupPolicy.ALLOWLIST
    allow_from: tuple[str, ...] = ()
    group_allow_from: tuple[str, ...] = ()
    access_groups: Mapping[str, tuple[str, ...]] = field(factory=dict, hash=False)
    match_names: bool = False
    allow_bots: AllowBots = AllowBots.OFF
    bot_allow_from: tuple[str, ...] = ()
    only_teams: frozenset[TeamId] | None = None
    only_channels: frozenset[ChannelId] | None = None


@frozen
class Access:
    """The decision. `reason` is stable, for logs and metrics; `explain`: tell the sender once, by direct message."""

    allowed: bool
    reason: str
    explain: bool = False


# The sender may talk to the bot, but not use its chat commands (`commands.allowFrom`).
COMMAND_NOT_ALLOWED = "command_not_allowed"


def normalise_entry(entry: str | int) -> str:
    """An allowlist entry, user id or username in the form in which they are compared; "" if blank.

    >>> normalise_entry(" user:@Alice ")
    'alice'
    """
    text = str(entry).strip().lower()
    if text.startswith(_GROUP_PREFIX):
        return _GROUP_PREFIX + text[len(_GROUP_PREFIX) :].strip()
    # The spellings of user ids that OpenClaw's configurations have.
    for prefix in ("mattermost:", "user:"):
        if text.startswith(prefix):
            text = text[len(prefix) :].strip()
            break
    return text.removeprefix("@").strip()


def refuse_post(post: Post, bot: UserId) -> str | None:
    """Why a post is ignored whoever wrote it (system, webhook, deleted, our own); None if it may be a message.

    Anyone can set an integration's props on their own posts, but that only makes their posts ignored. The prop
    `from_bot` is not used, because the author's account says for certain whether it is a bot.
    """
    if not post.user_id:
        return "no_author"
    if post.user_id == bot:
        return "own_post"
    if post.delete_at or post.original_id:
        return "deleted_post"
    if post.is_system:
        return "system_post"
    if _is_set(post.props, "from_webhook") or _is_set(post.props, "override_username"):
        return "webhook_post"
    if _is_set(post.props, "from_plugin") or post.type not in _HUMAN_TYPES:
        return "integration_post"
    return None


def authorise(
    sender: Sender,
    chat: Chat,
    policy: AccessPolicy,
    *,
    paired: frozenset[UserId] | None = frozenset(),
    origin: Origin = Origin.POST,
) -> Access:
    """Whether the sender may use the bot in this chat. `paired`: users approved for DMs, None if unreadable."""
    if sender.is_self:
        return Access(False, "own_action")
    # Without knowing whether the author is a bot, two bots could answer each other for ever.
    if sender.is_bot is None:
        return Access(False, "author_unknown")
    kind = chat.kind
    if kind is None:
        return Access(False, "chat_type_unknown")
    if sender.is_bot and policy.allow_bots is AllowBots.OFF:
        return Access(False, "bot_author")
    if kind is ChatKind.DIRECT:
        return _direct(sender, policy, paired, origin)
    return _restricted(chat, policy) or _group(sender, policy)


def denial_text(access: Access, origin: Origin, user_id: UserId) -> str:
    """What a refused sender reads: in answer to a slash command or click, or once by direct message. The sender's own
    id is in it where an operator has to write it into a list.

    The reply with a pairing code is `pairing.reply_text`; here that reason has a short text.
    """
    if access.reason == "dm_policy_disabled":
        return "This bot is not accepting direct messages."
    if access.reason == COMMAND_NOT_ALLOWED:
        return "You may not use this bot's commands."
    listing = f"Ask the bot owner to add your Mattermost user id, {user_id}, to"
    if origin is Origin.COMMAND:
        match access.reason:
            case "group_policy_disabled":
                return "Slash commands are disabled in channels."
            case "group_policy_empty_allowlist":
                return f"Slash commands are not configured for this channel (no allowlist). {listing} `groupAllowFrom`."
            case "group_policy_not_allowlisted":
                return f"Unauthorized. {listing} `groupAllowFrom`."
            case "dm_policy_not_allowlisted":
                return f"Unauthorized. {listing} `allowFrom`."
    if access.reason == "dm_policy_not_allowlisted" and origin is Origin.POST:
        return f"You are not on this bot's allowlist. {listing} `allowFrom`."
    return "Unauthorized."


def _direct(sender: Sender, policy: AccessPolicy, paired: frozenset[UserId] | None, origin: Origin) -> Access:
    explain = not sender.is_bot and origin is not Origin.REACTION
    if policy.dm_policy is DmPolicy.DISABLED:
        return Access(False, "dm_policy_disabled", explain)
    if _goes_by_bot_list(sender, policy):
        return _listed_bot(sender, policy)
    if is_listed(sender, policy.allow_from, policy):
        return Access(True, "dm_open" if policy.dm_policy is DmPolicy.OPEN else "dm_allowlisted")
    # From here on nobody is on the list; only an approved pairing can admit.
    if policy.dm_policy is not DmPolicy.PAIRING:
        return Access(False, "dm_policy_not_allowlisted", explain)
    # The lists above need no journal: whoever is on one is admitted while the journal can't be read.
    if paired is None:
        return Access(False, "pairing_store_unreadable")
    if sender.user_id in paired:
        return Access(True, "dm_paired")
    # No code for a reaction: nobody who puts an emoji on a post expects a message from the bot.
    if origin is Origin.REACTION:
        return Access(False, "event_pairing_not_allowed")
    return Access(False, "dm_policy_pairing_required", explain)


def _restricted(chat: Chat, policy: AccessPolicy) -> Access | None:
    # Group messages belong to no team, so `only_teams` does not apply to them. An unknown team is refused.
    if policy.only_teams is not None and chat.type is not ChannelType.GROUP and chat.team_id not in policy.only_teams:
        return Access(False, "team_not_allowed")
    if policy.only_channels is not None and chat.channel_id not in policy.only_channels:
        return Access(False, "channel_not_allowed")
    return None


def _group(sender: Sender, policy: AccessPolicy) -> Access:
    if policy.group_policy is GroupPolicy.DISABLED:
        return Access(False, "group_policy_disabled")
    if _goes_by_bot_list(sender, policy):
        return _listed_bot(sender, policy)
    if policy.group_policy is GroupPolicy.OPEN:
        return Access(True, "group_open")
    # As documented: an empty `groupAllowFrom` falls back to `allowFrom`.
    entries = policy.group_allow_from or policy.allow_from
    if is_listed(sender, entries, policy):
        return Access(True, "group_allowlisted")
    if not any(normalise_entry(entry) for entry in entries):
        return Access(False, "group_policy_empty_allowlist")
    return Access(False, "group_policy_not_allowlisted")


def _goes_by_bot_list(sender: Sender, policy: AccessPolicy) -> bool:
    return bool(sender.is_bot) and policy.allow_bots is AllowBots.LIST


def _listed_bot(sender: Sender, policy: AccessPolicy) -> Access:
    """Bots are listed by id only: no wildcard, name or access group admits one."""
    ids = {normalise_entry(entry) for entry in policy.bot_allow_from} - {"", "*"}
    if normalise_entry(sender.user_id) in ids:
        return Access(True, "bot_listed")
    return Access(False, "bot_not_listed")


def is_listed(sender: Sender, entries: Iterable[str], policy: AccessPolicy) -> bool:
    """Whether a list contains the sender: by id, "*" or access group, and by name only with `match_names`."""
    wanted = {normalise_entry(sender.user_id)} - {""}
    name = normalise_entry(sender.username)
    # A user could choose somebody's id as username, so a name that looks like an id is never compared.
    if policy.match_names and name and not is_mattermost_id(name):
        wanted.add(name)
    expanded = set(_expand(entries, policy.access_groups))
    return "*" in expanded or not wanted.isdisjoint(expanded)


def _expand(entries: Iterable[str], groups: Mapping[str, tuple[str, ...]]) -> Iterable[str]:
    """Normalised entries with groups replaced by their members; "*" and groups within a group are ignored."""
    by_name = {name.strip().lower(): members for name, members in groups.items()}
    for entry in map(normalise_entry, entries):
        if entry.startswith(_GROUP_PREFIX):
            members = map(normalise_entry, by_name.get(entry.removeprefix(_GROUP_PREFIX), ()))
            # A wildcard in a group would open every list that names the group, and nobody would see it there.
            yield from (member for member in members if member != "*" and not member.startswith(_GROUP_PREFIX))
        else:
            yield entry


def _is_set(props: Mapping[str, Any], key: str) -> bool:
    return props.get(key) not in (None, "", False, "false")
