"""Where something was said and who said it, as far as it could be found out: the facts every decision starts from.

A fact that could not be looked up is None; a decision that needs it is then a refusal.
"""

from enum import Enum

from attrs import frozen

from oc_trio.core.events import ChannelType
from oc_trio.ids import ChannelId, TeamId, UserId


class ChatKind(Enum):
    """The three kinds that settings and session keys speak of; private channels count as groups."""

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
    """A place: `type` None means that the lookup failed; `team_id` is empty for direct and group channels."""

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
    """A person or bot: `is_bot` is the server's word, None where it could not be had; `username` has no @."""

    user_id: UserId
    username: str = ""
    is_bot: bool | None = None
    is_self: bool = False
