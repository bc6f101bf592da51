"""Mattermost's websocket events as frozen values, named in the past tense; `core.decode` reads them.

Times (`*_at`) are Mattermost's integer milliseconds since the epoch; 0 means never. Field facts:
tests/contract/README.md, `posted`.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Any

from attrs import field

from oc_trio.classes import frozen
from oc_trio.ids import ChannelId, FileId, PostId, TeamId, ThreadRoot, UserId


class ChannelType(Enum):
    """Mattermost's one-letter channel types."""

    OPEN = "O"
    PRIVATE = "P"
    DIRECT = "D"
    GROUP = "G"


@frozen
class Post:
    """A post as REST and websocket deliver it; `root_id` is empty for the first post of a thread."""

    id: PostId
    channel_id: ChannelId
    user_id: UserId
    message: str = ""
    root_id: str = ""
    type: str = ""
    create_at: int = 0
    update_at: int = 0
    edit_at: int = 0
    delete_at: int = 0
    original_id: str = ""
    pending_post_id: str = ""
    props: Mapping[str, Any] = field(factory=dict, hash=False)
    file_ids: tuple[FileId, ...] = ()

    @property
    def thread(self) -> ThreadRoot:
        """The root of the thread that this post is in or would start."""
        return ThreadRoot(self.root_id or self.id)

    @property
    def is_system(self) -> bool:
        return self.type.startswith("system_")


@frozen
class Hello:
    """The server opened a new event queue: events that an older connection had not received are lost."""

    connection_id: str
    server_version: str = ""


@frozen
class Posted:
    """`mentions` contains our id if the server counts us as mentioned: also for @channel and all direct messages."""

    post: Post
    channel_type: ChannelType | None
    channel_name: str = ""
    channel_display_name: str = ""
    sender_name: str = ""
    team_id: TeamId = TeamId("")
    mentions: frozenset[UserId] = frozenset()


@frozen
class PostEdited:
    """A post's text, props or pin changed; the event has no mentions."""

    post: Post


@frozen
class PostDeleted:
    """`post` is the post before the deletion; replies of a deleted root get no events of their own."""

    post: Post


@frozen
class Reacted:
    """Someone put a reaction on a post, or took it off (`added` false)."""

    user_id: UserId
    post_id: PostId
    channel_id: ChannelId
    emoji: str
    added: bool
    create_at: int = 0


@frozen
class Typed:
    """Someone is typing; `parent_id` names the thread."""

    user_id: UserId
    channel_id: ChannelId
    parent_id: str = ""


@frozen
class MemberAdded:
    """A user joined a channel."""

    user_id: UserId
    channel_id: ChannelId
    team_id: TeamId = TeamId("")


@frozen
class MemberRemoved:
    """A user left, or was removed from, a channel."""

    user_id: UserId
    channel_id: ChannelId
    remover_id: str = ""


@frozen
class ChannelAppeared:
    """A channel is new to us: created, restored, or a direct or group channel that somebody opened with us."""

    channel_id: ChannelId
    team_id: TeamId = TeamId("")


@frozen
class ChannelChanged:
    """A channel was renamed, converted or otherwise updated: our cached copy is stale."""

    channel_id: ChannelId


@frozen
class ChannelArchived:
    """A channel can be read but no longer written."""

    channel_id: ChannelId


@frozen
class TeamJoined:
    """A user, usually our bot, joined a team."""

    user_id: UserId
    team_id: TeamId


@frozen
class TeamLeft:
    """A user, usually our bot, left a team."""

    user_id: UserId
    team_id: TeamId


@frozen
class UserChanged:
    """A user's names or bot flag changed: our cached copy is stale."""

    user_id: UserId
    username: str = ""


@frozen
class Unhandled:
    """An event that no part of the gateway acts on; counted, not an error."""

    name: str


Event = (
    Hello
    | Posted
    | PostEdited
    | PostDeleted
    | Reacted
    | Typed
    | MemberAdded
    | MemberRemoved
    | ChannelAppeared
    | ChannelChanged
    | ChannelArchived
    | TeamJoined
    | TeamLeft
    | UserChanged
    | Unhandled
)


@frozen
class EventFrame:
    """An event with its sequence number: 0, 1, 2 ... per connection without gaps, `hello` first."""

    seq: int
    event: Event


@frozen
class ActionReply:
    """The reply to an action of ours; replies have no sequence number of their own."""

    seq_reply: int
    ok: bool
    status_code: int = 0
    error_id: str = ""


Frame = EventFrame | ActionReply
