"""The REST API as one account uses it, an attribute per resource: `api.posts.create(...)`, `api.channels.mine()`."""

from collections.abc import Callable

from attrs import evolve, field

from oc_trio.classes import define
from oc_trio.core.entities import NewPost
from oc_trio.core.events import Post
from oc_trio.core.mention_escape import escape_channel_mentions, escape_props
from oc_trio.core.ratelimit import Lane
from oc_trio.errors import MattermostUnavailable
from oc_trio.ids import ChannelId, UserId
from oc_trio.mattermost.rest.channels import ChannelsApi
from oc_trio.mattermost.rest.commands import CommandsApi, DialogsApi, SystemApi, send_ephemeral
from oc_trio.mattermost.rest.files import FilesApi
from oc_trio.mattermost.rest.posts import PostsApi, ReactionsApi
from oc_trio.mattermost.rest.users import TeamsApi, UsersApi
from oc_trio.mattermost.socket import Socket
from oc_trio.mattermost.transport import Transport


@define(eq=False)
class Api:
    """Typed REST calls over one `Transport`; nothing here retries.

    Every text that is posted goes through `harmless`, so that `@channel` in it pings nobody.
    """

    transport: Transport
    harmless: Callable[[str], str] = escape_channel_mentions
    users: UsersApi = field(init=False)
    teams: TeamsApi = field(init=False)
    channels: ChannelsApi = field(init=False)
    posts: PostsApi = field(init=False)
    reactions: ReactionsApi = field(init=False)
    files: FilesApi = field(init=False)
    commands: CommandsApi = field(init=False)
    dialogs: DialogsApi = field(init=False)
    system: SystemApi = field(init=False)
    # The live websocket, if there is one: typing goes by it.
    socket: Socket | None = field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        self.users = UsersApi(self.transport)
        self.teams = TeamsApi(self.transport)
        self.channels = ChannelsApi(self.transport)
        self.posts = PostsApi(self.transport, self.harmless)
        self.reactions = ReactionsApi(self.transport)
        self.files = FilesApi(self.transport)
        self.commands = CommandsApi(self.transport)
        self.dialogs = DialogsApi(self.transport)
        self.system = SystemApi(self.transport)

    async def typing(self, channel_id: ChannelId, parent_id: str = "") -> bool:
        """Show "is typing" in a channel or thread; False where it was not sent, which needs no handling.

        By the live websocket, where it costs a frame; a request takes a place in the server's rate limit besides.
        """
        if self.socket is not None:
            return self.socket.typing(channel_id, parent_id)
        body = {"channel_id": channel_id, "parent_id": parent_id} if parent_id else {"channel_id": channel_id}
        try:
            await self.transport.request("POST", "/users/me/typing", json=body, lane=Lane.TYPING)
        except MattermostUnavailable:
            return False
        return True

    def end_typing(self, channel_id: ChannelId, parent_id: str = "") -> None:
        """Nothing is typed there any more: what the websocket has not sent yet is dropped."""
        if self.socket is not None:
            self.socket.end_typing(channel_id, parent_id)

    async def ephemeral(self, user_id: UserId, new: NewPost) -> Post:
        """A post that only `user_id` sees; a plain bot may not (403)."""
        return await send_ephemeral(
            self.transport,
            user_id,
            evolve(new, message=self.harmless(new.message), props=escape_props(new.props, self.harmless)),
        )
