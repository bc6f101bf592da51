"""The chat server of a fleet: a sandbox in this process that notes which gateway writes for which bot, and when.

Each gateway reaches it by a loopback address of its own, so the Host header tells them apart.
"""

import itertools
from collections.abc import Iterator
from functools import partial

import trio
from attrs import define, field, frozen

from oc_trio.sandbox.clock import wall_clock
from oc_trio.sandbox.demo import PASSWORD
from oc_trio.sandbox.errors import ApiError
from oc_trio.sandbox.faults import Faults
from oc_trio.sandbox.records import ChannelRecord, PostRecord, TeamRecord, UserRecord
from oc_trio.sandbox.request import SandboxRequest, SandboxResponse, bearer_token
from oc_trio.sandbox.serve import serve
from oc_trio.sandbox.settings import Settings
from oc_trio.sandbox.world import SandboxBot, World

PEOPLE = ("alice", "bob", "carol", "dave")


@frozen
class Write:
    """A request that changes something, at its arrival: milliseconds, the gateway's address, the bot's name."""

    at: int
    host: str
    bot: str
    request: str


@define(eq=False)
class WriteLog(Faults):
    """Injects nothing, and notes the writes of bots."""

    bots: dict[str, str] = field(factory=dict)
    writes: list[Write] = field(factory=list)

    async def before(self, request: SandboxRequest) -> SandboxResponse | None:
        bot = self.bots.get(bearer_token(request.header("authorization")), "")
        if bot and request.method != "GET":
            host = request.header("host").partition(":")[0]
            self.writes.append(Write(wall_clock(), host, bot, f"{request.method} {request.path}"))
        await trio.lowlevel.checkpoint()
        return None


@define(eq=False)
class ChatServer:
    """A team with four people; each bot has a channel of its own, and each person a direct channel with it."""

    world: World
    log: WriteLog
    port: int
    team: TeamRecord
    people: tuple[UserRecord, ...]
    bots: tuple[SandboxBot, ...]
    channels: dict[str, ChannelRecord]

    def url(self, host: str) -> str:
        return f"http://{host}:{self.port}"

    def say(self, person: UserRecord, channel: ChannelRecord, text: str, root_id: str = "") -> PostRecord:
        return self.world.post_as(person, channel, text, root_id=root_id)

    def direct(self, person: UserRecord, bot: SandboxBot) -> ChannelRecord:
        return self.world.direct(person, bot)

    def posts_of(self, bot: SandboxBot) -> Iterator[PostRecord]:
        """What the bot has posted and nobody has deleted, in its channel and the direct ones."""
        places = [self.channels[bot.username], *(self.direct(person, bot) for person in self.people)]
        for channel in places:
            for post in self.world.posts.of_channel(channel.id):
                if post.user_id == bot.id and not post.delete_at and not post.type:
                    yield post

    async def command(self, person: UserRecord, bot: SandboxBot, line: str) -> str:
        """What the person reads after typing a slash command; empty where it failed."""
        body = {"channel_id": self.channels[bot.username].id, "team_id": self.team.id, "command": line}
        try:
            return str((await self.world.slash.execute(person, body))["text"])
        except ApiError:
            return ""

    async def click(self, person: UserRecord, post: PostRecord) -> bool:
        """Press the post's first button; whether the click was answered."""
        attachments = post.props.get("attachments") or [{}]
        actions = attachments[0].get("actions")
        if not actions:
            return True  # used up
        try:
            await self.world.interactions.press(person, post.id, str(actions[0]["id"]), "", "")
        except ApiError:
            return False
        return True


async def open_chat(nursery: trio.Nursery, accounts: int) -> ChatServer:
    """Serve on every loopback address until the nursery is cancelled."""
    log = WriteLog()
    world = World(settings=Settings(request_log=100), faults=log)
    admin = world.create_user("admin", PASSWORD)
    team = world.create_team("fleet", admin)
    people = tuple(world.create_user(name, PASSWORD, team=team) for name in PEOPLE)
    bots = tuple(world.create_bot(f"bot{number}", team=team, admin=True) for number in range(1, accounts + 1))
    channels = {bot.username: world.create_channel(team, f"room-{bot.username}", admin, bot, *people) for bot in bots}
    log.bots = {bot.token: bot.username for bot in bots}
    for bot, person in itertools.product(bots, people):
        world.direct(person, bot)
    url: str = await nursery.start(partial(serve, world, host="0.0.0.0"))
    port = int(url.rpartition(":")[2])
    world.use_site_url(f"http://127.0.0.1:{port}")
    return ChatServer(world, log, port, team, people, bots, channels)
