"""The verbs of one account, gathered by noun: `api.posts.create(...)`, `api.channels.mine()`."""

from collections.abc import Callable

from attrs import define, evolve, field

from oc_trio.core.entities import NewPost
from oc_trio.core.events import Post
from oc_trio.core.mention_escape import defuse, harmless_props
from oc_trio.core.ratelimit import Lane
from oc_trio.errors import MattermostUnavailable
from oc_trio.ids import ChannelId, UserId
from oc_trio.mattermost.rest.channels import Channels
from oc_trio.mattermost.rest.commands import Commands, Dialogs, System, send_ephemeral
from oc_trio.mattermost.rest.files import Files
from oc_trio.mattermost.rest.posts import Posts, Reactions
from oc_trio.mattermost.rest.users import Teams, Users
from oc_trio.mattermost.transport import Transport


@define(eq=False)
class Api:
    """Typed verbs over one `Transport`, one per endpoint; nothing here retries.

    `harmless` is what every text goes through that is posted: the one place that keeps `@channel` from pinging.
    """

    transport: Transport
    harmless: Callable[[str], str] = defuse
    users: Users = field(init=False)
    teams: Teams = field(init=False)
    channels: Channels = field(init=False)
    posts: Posts = field(init=False)
    reactions: Reactions = field(init=False)
    files: Files = field(init=False)
    commands: Commands = field(init=False)
    dialogs: Dialogs = field(init=False)
    system: System = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.users = Users(self.transport)
        self.teams = Teams(self.transport)
        self.channels = Channels(self.transport)
        self.posts = Posts(self.transport, self.harmless)
        self.reactions = Reactions(self.transport)
        self.files = Files(self.transport)
        self.commands = Commands(self.transport)
        self.dialogs = Dialogs(self.transport)
        self.system = System(self.transport)

    async def typing(self, channel_id: ChannelId, parent_id: str = "") -> bool:
        """Show "is typing" in a channel or thread; False where it was dropped, which nobody needs to mind."""
        body = {"channel_id": channel_id, "parent_id": parent_id} if parent_id else {"channel_id": channel_id}
        try:
            await self.transport.request("POST", "/users/me/typing", json=body, lane=Lane.TYPING)
        except MattermostUnavailable:
            return False
        return True

    async def ephemeral(self, user_id: UserId, new: NewPost) -> Post:
        """A post that only `user_id` sees; a plain bot may not (403)."""
        return await send_ephemeral(
            self.transport,
            user_id,
            evolve(new, message=self.harmless(new.message), props=harmless_props(new.props, self.harmless)),
        )
