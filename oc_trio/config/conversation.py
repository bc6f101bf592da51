"""The keys of routing and queueing: bindings, session keys, queues, chat commands, access groups."""

from collections.abc import Mapping
from enum import Enum

from oc_trio.classes import frozen
from oc_trio.config.fields import key, section, table_of
from oc_trio.core.queueing import QueueMode
from oc_trio.core.routing import DmScope, GroupScope


class PeerKind(Enum):
    """Kinds of conversation in bindings."""

    DIRECT = "direct"
    GROUP = "group"
    CHANNEL = "channel"


class QueueDrop(Enum):
    """Which message gives way when the queue is full."""

    OLD = "old"
    NEW = "new"
    SUMMARIZE = "summarize"


@frozen
class PeerMatch:
    """`bindings[].match.peer`."""

    kind: PeerKind = key(PeerKind.CHANNEL, "`direct` with a user id; `group` or `channel` with a channel id.")
    id: str = key("*", 'The id, or `"*"` for every conversation of that kind.')


@frozen
class Match:
    """`bindings[].match`: everything given must agree."""

    channel: str = key("mattermost", "Always `mattermost` here.")
    account_id: str | None = key(None, 'An account id; `"*"` or unset means any.')
    team_id: str | None = key(None, "A Mattermost team id.")
    peer: PeerMatch | None = key(None, "One conversation.")


@frozen
class BindingSession:
    """`bindings[].session`."""

    dm_scope: DmScope | None = key(None, "As `session.dmScope`, for what this binding matches.")
    group_scope: GroupScope | None = key(None, "As `session.groupScope`, for what this binding matches.")


@frozen
class BindingSettings:
    """`bindings[]`: the most specific match wins."""

    agent_id: str = key("", "The agent that answers.")
    match: Match = section(Match, "What the binding applies to.")
    session: BindingSession = section(BindingSession, "Session rules for it.")


@frozen
class SessionRules:
    """`session`; `idle` in seconds."""

    # OpenClaw's default is `main`, in which one person could read in the answers what another one wrote.
    dm_scope: DmScope = key(
        DmScope.PER_ACCOUNT_CHANNEL_PEER,
        "Which direct messages share a conversation. `main` puts everybody's into one.",
    )
    group_scope: GroupScope = key(GroupScope.PER_GROUP, "Each channel its own conversation, or one for all.")
    main_key: str = key(
        "main",
        "Name of the shared conversation.",
        pattern=r"[a-z0-9][a-z0-9_-]{0,63}",
        expects="lower-case letters, digits, - and _",
    )
    identity_links: Mapping[str, tuple[str, ...]] = table_of(
        "People with several ids: a name, and the ids (`mattermost:<userId>`) whose direct messages belong together."
    )
    idle: float = key(
        900.0,
        "A quiet conversation leaves memory after this; nothing is forgotten.",
        name="idleSeconds",
        minimum=1,
        maximum=86_400,
    )
    reset_after: float = key(
        0.0,
        "Start afresh when a conversation was quiet for this long; 0 means never.",
        name="resetAfterMinutes",
        scale=60,
        minimum=0,
    )
    # Unset: nobody is to lose a conversation unasked.
    reset_at_hour: int | None = key(
        None,
        "Start afresh each day at this hour, in `agents.defaults.timezone` or else the machine's zone; unset means "
        "never. With `resetAfterMinutes`, whichever comes first.",
        minimum=0,
        maximum=23,
    )


@frozen
class GroupChat:
    """`messages.groupChat`."""

    # The defaults of this and of the queue are OpenClaw's.
    history_limit: int = key(50, "Unaddressed posts kept as context.", minimum=0, maximum=1000)
    mention_patterns: tuple[str, ...] | None = key(
        None, "Regular expressions that count as a mention; unset derives them from the agent's name, `[]` means none."
    )


@frozen
class InboundSettings:
    """`messages.inbound`; `debounce` in seconds."""

    # Off, as in OpenClaw: each first message would wait for it.
    debounce: float = key(
        0.0,
        "In a conversation at rest, wait this long for more posts by the same person, and answer them together. Posts "
        "that open threads of their own are answered there.",
        name="debounceMs",
        scale=0.001,
        minimum=0,
        maximum=60_000,
    )


@frozen
class Queue:
    """`messages.queue`; `debounce` in seconds."""

    mode: QueueMode = key(
        QueueMode.STEER,
        "What happens to a message that arrives during a turn: joins the running turn at its next step, waits for a "
        "turn of its own, waits to be answered together with the others, or ends the turn.",
    )
    # The bound of a conversation's queue; `drop` says what happens beyond it.
    cap: int = key(20, "Messages that may wait per conversation.", minimum=1, maximum=1000)
    drop: QueueDrop = key(
        QueueDrop.SUMMARIZE, "What gives way beyond that: the oldest, the newest, or the oldest by summary."
    )
    debounce: float = key(
        0.5,
        "Wait for more before waiting messages are taken up.",
        name="debounceMs",
        scale=0.001,
        minimum=0,
        maximum=60_000,
    )


@frozen
class Messages:
    """`messages`."""

    response_prefix: str = key("", "Put before each answer where the account doesn't say otherwise.")
    group_chat: GroupChat = section(GroupChat, "Channels.")
    inbound: InboundSettings = section(InboundSettings, "Before a turn.")
    queue: Queue = section(Queue, "During a turn.")


@frozen
class ChatCommands:
    """`commands`: commands in chat."""

    text: bool = key(True, "Understand `/new`, `/stop` and their like in messages.")
    allow_from: Mapping[str, tuple[str, ...]] = table_of(
        'Who may use them, by channel (`mattermost`, or `"*"`); unset means everyone the access rules admit.'
    )
    owner_allow_from: tuple[str, ...] = key(
        (), "User ids of owners, who may use chat commands whatever `allowFrom` says."
    )


@frozen
class AccessGroup:
    """`accessGroups.<name>`, used in lists as `accessGroup:<name>`."""

    type: str = key(
        "message.senders", "Always `message.senders`.", pattern=r"message\.senders", expects="message.senders"
    )
    members: Mapping[str, tuple[str, ...]] = table_of('User ids by channel: `mattermost`, or `"*"` for all.')
