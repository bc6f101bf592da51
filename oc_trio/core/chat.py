"""The chat in which something happened and its sender: the facts that every access decision is based on.

A fact that could not be looked up is None; a decision that needs it then refuses.
"""

from enum import Enum

from oc_trio.classes import frozen
from oc_trio.core.events import ChannelType
from oc_trio.ids import ChannelId, TeamId, UserId


class ChatKind(Enum):
    """The three kinds that settings and session keys distinguish; private channels count as groups."""

    DIRECT = "direct"
    GROUP = "group"
    CHANNEL = "channel"


_KINDS = {
    ChannelType.DIRECT: ChatKind.DIRECT,
    ChannelType.GROUP: ChatKind.GROUP,
    ChannelType.PRIVATE: ChatKind.GROUP,
    ChannelType.OPEN: ChatKind.CHANNEL,
}


@frozen
class Chat:
    """A channel. `type` None: the lookup failed. `team_id` is empty for direct and group channels."""

    channel_id: ChannelId
    type: ChannelType | None
    team_id: TeamId = TeamId("")

    @property
    def kind(self) -> ChatKind | None:
        return None if self.type is None else _KINDS[self.type]

    @property
    def is_direct(self) -> bool:
        return self.type is ChannelType.DIRECT


@frozen
class Sender:
    """A person or bot. `is_bot` is from the server, None if the lookup failed; `username` has no @."""

    user_id: UserId
    username: str = ""
    is_bot: bool | None = None
    is_self: bool = False
