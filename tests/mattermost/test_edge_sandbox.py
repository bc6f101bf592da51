"""The whole Mattermost edge against the embedded server, in process: REST, resume, catch-up, files, lost answers."""

import random
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

import httpx
import pytest
import trio
from attrs import define, field

from oc_trio.core.catchup import Watermark
from oc_trio.core.connection import ConnectionPhase, ConnectionState, ResumePoint
from oc_trio.core.entities import Channel, NewPost
from oc_trio.core.events import Event, Post, Posted
from oc_trio.errors import MattermostRejected, MattermostUnavailable
from oc_trio.ids import ChannelId, ThreadRoot, UserId
from oc_trio.mattermost.catchup import catch_up
from oc_trio.mattermost.client import Api
from oc_trio.mattermost.direct import open_direct_channels
from oc_trio.mattermost.directory import Directory
from oc_trio.mattermost.files import FileService, from_bytes
from oc_trio.mattermost.listener import ListenerHooks, run_listener
from oc_trio.mattermost.post_creator import PostCreator
from oc_trio.mattermost.transport import Transport, open_server
from oc_trio.sandbox import records
from oc_trio.sandbox.faults import Faults
from oc_trio.sandbox.http_transport import SandboxTransport
from oc_trio.sandbox.request import SandboxRequest, SandboxResponse
from oc_trio.sandbox.websocket_stream import serve_websocket_stream
from oc_trio.sandbox.world import SandboxBot, World


@define(eq=False)
class EdgeEnv:
    """A world with a team, a channel, alice and a bot, and the bot's verbs."""

    world: World
    nursery: trio.Nursery
    alice: records.UserRecord
    bot: SandboxBot
    square: records.ChannelRecord
    api: Api
    streams: list[trio.abc.Stream] = field(factory=list)

    def say(self, text: str, *, root_id: str = "") -> str:
        return self.world.post_as(self.alice, self.square, text, root_id=root_id).id

    def texts(self) -> list[str]:
        return [entry.message for entry in self.world.transcript(self.square)]

    async def open_stream(self, host: str, port: int, tls: ssl.SSLContext | None) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        ours, theirs = trio.testing.memory_stream_pair()
        self.streams.append(theirs)
        self.nursery.start_soon(serve_websocket_stream, self.world, theirs)
        return ours

    async def cut(self) -> None:
        await trio.aclose_forcefully(self.streams[-1])


@asynccontextmanager
async def open_env(nursery: trio.Nursery, faults: Faults | None = None) -> AsyncGenerator[EdgeEnv, None]:
    def clock() -> int:
        return 1_700_000_000_000 + int(trio.current_time() * 1000)

    world = World(clock, random.Random(7), faults=faults)
    alice = world.create_user("alice", "Passw0rd!x")
    team = world.create_team("env", alice)
    bot = world.create_bot("helper", team=team)
    square = world.create_channel(team, "square", alice, bot)
    async with open_server("http://mm.test", None, http_transport=SandboxTransport(world)) as server:
        api = Api(Transport(server, lambda: bot.token))
        yield EdgeEnv(world, nursery, alice, bot, square, api)


@pytest.fixture
async def env(nursery: trio.Nursery) -> AsyncGenerator[EdgeEnv, None]:
    async with open_env(nursery) as found:
        yield found


async def test_the_verbs_speak_the_servers_language(autojump_clock: trio.testing.MockClock, env: EdgeEnv) -> None:
    """Users, teams, channels, posts, threads, edits, reactions and typing go through."""
    api, square = env.api, ChannelId(env.square.id)
    me = await api.users.me()
    assert (me.username, me.is_bot) == ("helper", True)
    assert [team.name for team in await api.teams.mine()] == ["env"]
    assert {user.username for user in await api.users.by_ids([UserId(env.alice.id), me.id])} == {"alice", "helper"}
    assert (await api.users.by_username("alice")).is_bot is False
    team = (await api.teams.mine())[0]
    assert set(await api.teams.members(team.id)) == {env.alice.id, me.id}
    assert (await api.channels.by_name(team.id, "square")).id == square
    assert square in {channel.id for channel in await api.channels.mine()}
    assert me.id in await api.channels.members(square)
    root = await api.posts.create(NewPost(square, "one", props={"x": 1}))
    reply = await api.posts.create(NewPost(square, "two", root_id=root.id))
    await api.posts.patch(root.id, message="uno")
    assert (await api.posts.get(root.id)).props["x"] == 1
    assert [post.message for post in await api.posts.thread(root.id)] == ["uno", "two"]
    assert [post.id for post in (await api.posts.after(square, root.id)).posts] == [reply.id]
    await api.reactions.add(me.id, root.id, "eyes")
    await api.reactions.remove(me.id, root.id, "eyes")
    assert await api.typing(square, root.id) is True
    assert await api.system.ping() is True
    await api.posts.delete(reply.id)
    with pytest.raises(MattermostRejected) as gone:
        await api.posts.patch(reply.id, message="dos")
    assert gone.value.status == 403


@define(eq=False)
class AdmittedPosts:
    """Admission as the gateway does it: by id, once, with a watermark."""

    env: EdgeEnv
    marks: dict[ChannelId, Watermark] = field(factory=dict)
    texts: list[str] = field(factory=list)
    connects: list[str] = field(factory=list)
    resume: ResumePoint | None = None
    is_live: trio.Event = field(factory=trio.Event)

    def hooks(self) -> ListenerHooks:
        return ListenerHooks(self.on_events, self.on_connected, self.on_state, self.save)

    async def on_events(self, events: tuple[Event, ...]) -> None:
        for event in events:
            if isinstance(event, Posted):
                self.admit_one(event.post)

    async def on_connected(self, resumed: bool) -> None:
        self.connects.append("resumed" if resumed else "fresh")
        await catch_up(self.env.api, UserId(self.env.bot.id), self.look_up, self.admit, now_ms=self.now())

    async def on_state(self, link: ConnectionState, detail: str) -> None:
        if link.phase is ConnectionPhase.LIVE:
            self.is_live.set()
        else:
            self.is_live = trio.Event()

    async def save(self, resume: ResumePoint | None) -> None:
        self.resume = resume

    async def look_up(self, channels: tuple[Channel, ...]) -> Mapping[ChannelId, Watermark]:
        for channel in channels:
            self.marks.setdefault(channel.id, Watermark(channel.id, channel.last_post_at))
        return self.marks

    async def admit(self, channel: Channel, posts: tuple[Post, ...]) -> None:
        for post in posts:
            self.admit_one(post)

    def admit_one(self, post: Post) -> None:
        if post.message not in self.texts and not post.is_system:
            self.texts.append(post.message)
            mark = self.marks.get(post.channel_id) or Watermark(post.channel_id, 0)
            if post.create_at > mark.at:
                self.marks[post.channel_id] = Watermark(post.channel_id, post.create_at, post.id)

    def now(self) -> int:
        return self.env.world.clock.now()


async def test_nothing_is_lost_over_a_short_and_a_long_outage(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery, env: EdgeEnv
) -> None:
    """A drop is resumed; after a server that forgot us catch-up reads what was posted meanwhile."""
    admitted = AdmittedPosts(env)
    scope = trio.CancelScope()

    async def listen() -> None:
        with scope:
            await run_listener(env.api, admitted.hooks(), random=random.Random(1).random, open_stream=env.open_stream)

    nursery.start_soon(listen)
    await trio.sleep(1)
    env.say("live")
    await trio.sleep(1)
    await env.cut()
    env.say("while away")
    await trio.sleep(10)
    for number in range(180):  # more than the server's queue holds
        env.say(f"flood {number}")
        if number == 0:
            await env.cut()
    await trio.sleep(15)
    scope.cancel()
    await trio.sleep(3)
    assert admitted.texts == ["live", "while away", *(f"flood {number}" for number in range(180))]
    assert admitted.connects[:2] == ["fresh", "resumed"]
    assert admitted.resume is not None
    nursery.cancel_scope.cancel()


async def test_a_restart_resumes_from_the_saved_point(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery, env: EdgeEnv
) -> None:
    """The resume point of the last run is good for the next one."""
    first = AdmittedPosts(env)
    with trio.move_on_after(2):
        await run_listener(env.api, first.hooks(), random=random.Random(1).random, open_stream=env.open_stream)
    env.say("between runs")
    second = AdmittedPosts(env, marks=first.marks)
    with trio.move_on_after(5):
        await run_listener(
            env.api, second.hooks(), random=random.Random(1).random, resume=first.resume, open_stream=env.open_stream
        )
    assert second.connects == ["resumed"]
    assert second.texts == ["between runs"]
    nursery.cancel_scope.cancel()


async def test_a_revoked_token_shows_by_the_heartbeat(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery, env: EdgeEnv
) -> None:
    """The socket outlives its token in silence; the action ping finds out, and the state says so."""
    states: list[ConnectionState] = []

    async def on_state(link: ConnectionState, detail: str) -> None:
        states.append(link)

    admitted = AdmittedPosts(env)
    hooks = ListenerHooks(admitted.on_events, admitted.on_connected, on_state, admitted.save)
    with trio.move_on_after(60):
        async with trio.open_nursery() as inner:

            async def listen() -> None:
                await run_listener(env.api, hooks, random=random.Random(1).random, open_stream=env.open_stream)

            inner.start_soon(listen)
            await trio.sleep(5)
            for token in env.world.users.tokens_of(env.bot.id):
                env.world.users.revoke_token(token.id)
    assert any(link.auth_failed for link in states)
    nursery.cancel_scope.cancel()


class LosesAnswers(Faults):
    """Applies every create and loses the answer of the first `losses`, `delay` seconds later."""

    def __init__(self, losses: int, delay: float) -> None:
        self.losses, self.delay = losses, delay

    async def after(self, request: SandboxRequest, response: SandboxResponse) -> SandboxResponse:
        if request.method == "POST" and request.path == "/api/v4/posts" and self.losses > 0:
            self.losses -= 1
            await trio.sleep(self.delay)
            raise httpx.ReadError("connection reset")
        return response


@pytest.mark.parametrize(
    ("losses", "delay"),
    [
        pytest.param(1, 0.1, id="soon"),
        pytest.param(3, 2.0, id="thrice"),
        pytest.param(1, 29.0, id="too late for the key"),
    ],
)
async def test_a_lost_answer_makes_no_second_post(
    losses: int, delay: float, autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """Whenever the answer to a create is lost, the channel has the post once and we learn its id."""
    async with open_env(nursery, LosesAnswers(losses, delay)) as env:
        sender = PostCreator(env.api, UserId(env.bot.id), random.Random(3).random)
        new = NewPost(ChannelId(env.square.id), "answer", pending_post_id=f"{env.bot.id}:1")
        post = await sender.create(new)
        again = await sender.create(new, in_doubt=True)
        assert env.texts() == ["answer"]
        assert post.id == again.id


async def test_replies_of_one_thread_are_written_one_by_one(
    autojump_clock: trio.testing.MockClock, env: EdgeEnv
) -> None:
    """Concurrent replies arrive in the order of their calls."""
    sender = PostCreator(env.api, UserId(env.bot.id), random.Random(3).random)
    root = env.say("question")

    async def reply(number: int) -> None:
        channel = ChannelId(env.square.id)
        await sender.create(NewPost(channel, f"part {number}", root_id=root, pending_post_id=f"b:{number}"))

    async with trio.open_nursery() as inner:
        for number in range(5):
            inner.start_soon(reply, number)
            await trio.testing.wait_all_tasks_blocked()
    assert env.texts() == ["question", *(f"part {number}" for number in range(5))]


class FailsAtText(Faults):
    """Fails for ever at one text."""

    def __init__(self, poison: bytes) -> None:
        self.poison = poison

    async def before(self, request: SandboxRequest) -> SandboxResponse | None:
        await trio.lowlevel.checkpoint()
        if request.method == "POST" and self.poison in request.body:
            return SandboxResponse.json({"id": "app.post.broken", "message": "no"}, 500)
        return None


async def test_a_post_that_fails_lets_others_pass(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """One writer per thread is for requests; nobody waits for another's patience."""
    async with open_env(nursery, FailsAtText(b"poison")) as env:
        sender = PostCreator(env.api, UserId(env.bot.id), random.Random(3).random)
        channel = ChannelId(env.square.id)

        async def poisonous() -> None:
            with pytest.raises(MattermostUnavailable):
                await sender.create(NewPost(channel, "poison", pending_post_id="b:1"))

        async with trio.open_nursery() as inner:
            inner.start_soon(poisonous)
            await trio.sleep(10)
            began = trio.current_time()
            await sender.create(NewPost(channel, "answer", pending_post_id="b:2"))
            assert trio.current_time() - began < 1
        assert env.texts() == ["answer"]


async def test_files_go_both_ways(autojump_clock: trio.testing.MockClock, env: EdgeEnv) -> None:
    """An upload streams with progress, can be posted and read back, and its type is judged by content."""
    service, progress = FileService(env.api), list[int]()
    content = b"\x89PNG\r\n\x1a\n" + b"x" * 200_000
    channel = ChannelId(env.square.id)
    info = await service.upload(channel, from_bytes("pic.txt", content), on_progress=progress.append)
    post = await env.api.posts.create(NewPost(channel, "look", file_ids=(info.id,)))
    assert post.file_ids == (info.id,)
    got = await service.download(info.id, limit=300_000)
    assert (got.content == content, got.mime_type, progress[-1]) == (True, "image/png", len(content))


async def test_direct_channels_and_the_directory(autojump_clock: trio.testing.MockClock, env: EdgeEnv) -> None:
    """The direct channel with a user is one, and look-ups are cached."""
    directory = Directory(env.api)
    async with open_direct_channels(env.api, UserId(env.bot.id), random=lambda: 0.0) as direct:
        alice = await directory.username("@Alice")
        one, two = await direct.channel(alice.id), await direct.channel(alice.id)
    assert one is two
    assert await directory.user(alice.id) == alice
    post = await env.api.posts.create(NewPost(one.id, "psst"))
    assert post.thread == ThreadRoot(post.id)
