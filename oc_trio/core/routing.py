"""Routes a message: which agent answers it, in which session, and in which thread the answer goes.

Session keys are OpenClaw's, so its documentation applies. The default of direct messages differs: OpenClaw has one
session for all of them, here each person has one. With `per-channel-peer` two accounts with the same agent share it;
the configuration's default, `per-account-channel-peer`, separates them.
"""

from collections.abc import Mapping
from enum import Enum

from attrs import field

from oc_trio.classes import frozen
from oc_trio.core.chat import Chat, ChatKind
from oc_trio.core.events import Post
from oc_trio.ids import AccountId, AgentId, SessionKey, TeamId, ThreadRoot, UserId


class DmScope(Enum):
    """Which direct messages share a session: all, or those of one person (overall, on Mattermost, or per account)."""

    MAIN = "main"
    PER_PEER = "per-peer"
    PER_CHANNEL_PEER = "per-channel-peer"
    PER_ACCOUNT_CHANNEL_PEER = "per-account-channel-peer"


class GroupScope(Enum):
    """Whether each channel has a session of its own."""

    PER_GROUP = "per-group"
    MAIN = "main"


class ReplyToMode(Enum):
    """`off` answers where the message is; the other three all open a thread under a top-level message."""

    OFF = "off"
    FIRST = "first"
    ALL = "all"
    BATCHED = "batched"


@frozen
class Binding:
    """The agent for messages that match every given field; None matches any.

    `peer_id` is a user id for `direct`, a channel id else, or "*"; `group` and `channel` mean the same in `peer_kind`.
    """

    agent: AgentId
    account: AccountId | None = None
    team: TeamId | None = None
    peer_kind: ChatKind | None = None
    peer_id: str | None = None
    dm_scope: DmScope | None = None
    group_scope: GroupScope | None = None


@frozen
class RoutingRules:
    """The settings for `route`. `identity_links` maps user ids to a person's name: direct messages of all ids of one
    person share a session.
    """

    default_agent: AgentId = AgentId("main")
    bindings: tuple[Binding, ...] = ()
    dm_scope: DmScope = DmScope.PER_CHANNEL_PEER
    group_scope: GroupScope = GroupScope.PER_GROUP
    main_key: str = "main"
    identity_links: Mapping[UserId, str] = field(factory=dict, hash=False)
    reply_to_mode: ReplyToMode = ReplyToMode.OFF
    reply_to_mode_by_kind: Mapping[ChatKind, ReplyToMode] = field(factory=dict, hash=False)


@frozen
class Route:
    """`reply_root` is the `root_id` of the answer, None outside of threads; `base` is the session of the channel.

    Commands outside of threads use `base`; messages, clicks and reactions use `session`.
    """

    agent: AgentId
    session: SessionKey
    base: SessionKey
    reply_root: ThreadRoot | None
    kind: ChatKind


def route(post: Post, chat: Chat, rules: RoutingRules, *, account: AccountId) -> Route:
    """The route of a post; see `route_message`."""
    return route_message(chat, post.user_id, rules, account=account, post_id=post.id, root_id=post.root_id)


def route_message(
    chat: Chat, user: UserId, rules: RoutingRules, *, account: AccountId, post_id: str = "", root_id: str = ""
) -> Route:
    """The route of any message; `post_id` is empty if there is no post that could become a thread's root.

    Raises ValueError for a chat of unknown type, which `access` refuses before routing.
    """
    kind = chat.kind
    if kind is None:
        raise ValueError("a chat of unknown type has no route")
    binding = choose_binding(chat, user, rules.bindings, account=account)
    agent = binding.agent if binding else rules.default_agent
    # A thread is a conversation of its own, below the channel's session.
    base = _base_session(agent, chat, user, account, rules, binding)
    root = reply_root(kind, rules, post_id=post_id, root_id=root_id)
    session = SessionKey(f"{base}:thread:{root.lower()}") if root else base
    return Route(agent, session, base, root, kind)


def reply_root(kind: ChatKind, rules: RoutingRules, *, post_id: str, root_id: str) -> ThreadRoot | None:
    """The root post of the answer's thread: always a root, because the server refuses a reply's id."""
    default = ReplyToMode.OFF if kind is ChatKind.DIRECT else rules.reply_to_mode
    mode = rules.reply_to_mode_by_kind.get(kind, default)
    if mode is ReplyToMode.OFF and kind is ChatKind.DIRECT:
        return None  # not in a thread, even if the person wrote in one
    if root_id:
        return ThreadRoot(root_id)
    return ThreadRoot(post_id) if post_id and mode is not ReplyToMode.OFF else None


def choose_binding(chat: Chat, user: UserId, bindings: tuple[Binding, ...], *, account: AccountId) -> Binding | None:
    """The most specific matching binding (peer, any peer, team, account, everything); of equals, the first."""
    if not bindings:
        return None
    # Bindings name the person of a direct channel, since its id says nothing to an operator.
    peer = str(user) if chat.kind is ChatKind.DIRECT else str(chat.channel_id)
    matching = [binding for binding in bindings if _matches(binding, chat, peer, account)]
    return max(matching, key=_specificity, default=None)


def _matches(binding: Binding, chat: Chat, peer: str, account: AccountId) -> bool:
    if binding.account is not None and binding.account != account:
        return False
    if binding.team is not None and binding.team != chat.team_id:
        return False
    # Mattermost's private channels are `group` in OpenClaw and its open ones `channel`; a binding means both by either.
    if binding.peer_kind is not None and (binding.peer_kind is ChatKind.DIRECT) != (chat.kind is ChatKind.DIRECT):
        return False
    return binding.peer_id in (None, "*") or str(binding.peer_id).lower() == peer.lower()


def _specificity(binding: Binding) -> tuple[bool, bool, bool, bool]:
    # The tuple is compared from the left, so its order is the rule.
    named = binding.peer_id not in (None, "*")
    any_peer = not named and (binding.peer_id == "*" or binding.peer_kind is not None)
    return (named, any_peer, binding.team is not None, binding.account is not None)


def _base_session(
    agent: AgentId, chat: Chat, user: UserId, account: AccountId, rules: RoutingRules, binding: Binding | None
) -> SessionKey:
    dm_scope = (binding.dm_scope if binding else None) or rules.dm_scope
    group_scope = (binding.group_scope if binding else None) or rules.group_scope
    if chat.kind is ChatKind.DIRECT:
        peer = rules.identity_links.get(user, user)
        tail = {
            DmScope.MAIN: rules.main_key,
            DmScope.PER_PEER: f"direct:{peer}",
            DmScope.PER_CHANNEL_PEER: f"mattermost:direct:{peer}",
            DmScope.PER_ACCOUNT_CHANNEL_PEER: f"mattermost:{account}:direct:{peer}",
        }[dm_scope]
    elif group_scope is GroupScope.MAIN or chat.kind is None:
        tail = rules.main_key
    else:
        tail = f"mattermost:{chat.kind.value}:{chat.channel_id}"
    # Lower case, as OpenClaw's keys are.
    return SessionKey(f"agent:{agent}:{tail}".lower())
