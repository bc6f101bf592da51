"""A gateway and a chat server in one Trio run: sandbox, journal in memory, a scripted agent, a mock clock.

    harness.script = [Say("hello")]            # or a function of the TurnRequest; the default obeys directives
    post = harness.say("@helper hi")           # alice in town-square
    await harness.settled()                 # every message has its end
    assert harness.chat() == ...            # what the server saw, as a chat log

Times are seconds since the start of the test. Nothing here waits for real.
"""

import math
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import httpx
import trio
import trio.testing
from attrs import define, field

from oc_trio.agent.build import AgentSpec
from oc_trio.agent.port import Agent, TurnRequest
from oc_trio.agent.scripted import ScriptedAgent, Step
from oc_trio.agent.scripted_directives import scripted_steps
from oc_trio.config.document import Document
from oc_trio.config.load import Loaded, build
from oc_trio.core.ledger import Obligation
from oc_trio.core.turn_events import AgentEvent
from oc_trio.ids import AccountId
from oc_trio.runtime.account.dependencies import Dependencies
from oc_trio.runtime.clock import Clock
from oc_trio.runtime.conversation.pictures import Pictures
from oc_trio.runtime.process.gateway import Gateway
from oc_trio.sandbox.compact import dump
from oc_trio.sandbox.faults import Faults
from oc_trio.sandbox.http_transport import SandboxTransport
from oc_trio.sandbox.hub import Broadcast
from oc_trio.sandbox.records import ChannelRecord, PostRecord, TeamRecord, UserRecord
from oc_trio.sandbox.request import SandboxRequest, SandboxResponse
from oc_trio.sandbox.views import reaction_view
from oc_trio.sandbox.websocket_stream import serve_websocket_stream
from oc_trio.sandbox.world import SandboxBot, World
from oc_trio.sandbox.writing import Change
from oc_trio.store.store import Store, open_store
from oc_trio.telemetry.tracing import NO_TRACER, Tracer
from tests.journals import Journal, empty_journal

URL = "http://mm.test"
EPOCH = 1_700_000_000_000
ACCOUNT = AccountId("default")
TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_LOOK_SECONDS = 0.01
Rule = Callable[[SandboxRequest], Awaitable[SandboxResponse | None]]
Script = Callable[[TurnRequest], Iterable[Any]]


@define(eq=False)
class NetworkFaults(Faults):
    """Seconds that each request takes, and rules that may answer, delay or break a request before or after it."""

    latency: float = 0.0
    before_rules: list[Rule] = field(factory=list)
    after_rules: list[Rule] = field(factory=list)

    async def before(self, request: SandboxRequest) -> SandboxResponse | None:
        await trio.sleep(self.latency)
        for rule in tuple(self.before_rules):
            answer = await rule(request)
            if answer is not None:
                return answer
        return None

    async def after(self, request: SandboxRequest, response: SandboxResponse) -> SandboxResponse:
        for rule in tuple(self.after_rules):
            answer = await rule(request)
            if answer is not None:
                return answer
        return response


@define(eq=False)
class RecordingAgent:
    """The agent of every conversation: plays `script` and records the requests."""

    script: Script = scripted_steps
    token_delay: float = 0.05
    requests: list[TurnRequest] = field(factory=list)
    open: int = 0
    cancelled: int = 0

    @asynccontextmanager
    async def run(self, request: TurnRequest) -> AsyncGenerator[AsyncIterator[AgentEvent], None]:
        self.requests.append(request)
        self.open += 1
        is_done = False
        try:
            async with ScriptedAgent(lambda messages: self.script(messages), token_delay=self.token_delay).run(
                request
            ) as it:
                yield it
            is_done = True
        finally:
            self.open -= 1
            self.cancelled += not is_done


@define(eq=False)
class Harness:
    """A team with alice, bob and the bot `helper`, the channel `town-square`, and a gateway in front of it."""

    world: World
    nursery: trio.Nursery
    faults: NetworkFaults
    alice: UserRecord
    bob: UserRecord
    bot: SandboxBot
    team: TeamRecord
    square: ChannelRecord
    journal: Journal
    store: Store
    now_ms: Callable[[], int]
    agent: RecordingAgent = field(factory=RecordingAgent)
    streams: list[trio.abc.Stream] = field(factory=list)
    gateway: Gateway | None = None
    account: AccountId = ACCOUNT
    _ended: trio.Event = field(factory=trio.Event)
    settings: tuple[Mapping[str, Any], ...] = ()
    tables: Mapping[str, Any] = field(factory=dict)
    # Another agent than `agent`.
    make_agent: Callable[[AgentSpec, httpx.AsyncClient], Agent] | None = None
    # Most pictures of the tests are none: they go as they are. See `tests.runtime.conversation.test_pictures`.
    pictures: Pictures = field(factory=lambda: Pictures(None))
    tracer: Tracer = NO_TRACER
    _serial: int = 0

    # starting and stopping

    async def start(self, mattermost: Mapping[str, Any] | None = None, **tables: Any) -> Gateway:
        """Start a gateway and wait until it is live; `mattermost` and `tables` are parts of the configuration."""
        loaded = self.configured(mattermost, **tables)
        self._serial += 1
        self.settings, self.tables = (mattermost or {},), tables
        gateway = Gateway(loaded, self.journal, self._dependencies())
        self.gateway, self._ended = gateway, trio.Event()
        await self.nursery.start(self._run, gateway, self._ended)
        with trio.fail_after(60):
            await gateway.ready.wait()
        return gateway

    def configured(self, mattermost: Mapping[str, Any] | None = None, **tables: Any) -> Loaded:
        """The configuration of a gateway for the bot."""
        values: dict[str, Any] = {
            "channels": {
                "mattermost": {
                    "baseUrl": URL,
                    "botToken": self.bot.token,
                    "dmPolicy": "open",
                    "allowFrom": ["*"],
                    "groupPolicy": "open",
                    "replyToMode": "all",
                    "network": {"dangerouslyAllowPrivateNetwork": True},
                    **(mattermost or {}),
                }
            },
            "agents": {"defaults": {"model": {"primary": "double/script"}}},
            "models": {"providers": {"double": {"api": "scripted", "models": ["script"]}}},
            # Any free one: tests run side by side.
            "gateway": {"port": 0},
        }
        for name, table in tables.items():
            values[name] = merged(values.get(name, {}), table) if isinstance(table, Mapping) else table
        return build(Document(values), {})

    async def _run(self, gateway: Gateway, ended: trio.Event, task_status: trio.TaskStatus[None]) -> None:
        try:
            await gateway.run(with_signals=False, task_status=task_status)
        finally:
            ended.set()

    async def stop(self) -> None:
        """Drain the gateway and wait for its end."""
        if self.gateway is not None:
            self.gateway.stop("the test is over")
            await self._ended.wait()
            self.gateway = None

    async def crash(self) -> None:
        """End the gateway where it stands, without any clean-up that reaches the server."""
        assert self.gateway is not None
        self.faults.before_rules.append(_down)
        self.gateway.abort()
        await self._ended.wait()
        self.faults.before_rules.remove(_down)
        self.gateway = None

    def _dependencies(self) -> Dependencies:
        return Dependencies(
            Clock(self.now_ms, Random(self._serial)),
            TLS,
            lambda _url: SandboxTransport(self.world),
            self._open_stream,
            self.make_agent or (lambda _spec, _http: self.agent),
            pictures=self.pictures,
            tracer=self.tracer,
        )

    async def _open_stream(self, host: str, port: int, tls: ssl.SSLContext | None) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        ours, theirs = trio.testing.memory_stream_pair()
        self.streams.append(theirs)
        self.nursery.start_soon(serve_websocket_stream, self.world, theirs)
        return ours

    # people

    @property
    def script(self) -> Script:
        return self.agent.script

    @script.setter
    def script(self, script: Script | Iterable[Step]) -> None:
        """Steps for every turn, or a function that gives the steps of a request."""
        steps = script if callable(script) else tuple(script)
        self.agent.script = steps if callable(steps) else lambda _request: steps

    def say(
        self,
        text: str,
        *,
        root: PostRecord | str = "",
        by: UserRecord | None = None,
        channel: ChannelRecord | None = None,
        **more: Any,
    ) -> PostRecord:
        """A person posts."""
        root_id = root if isinstance(root, str) else root.root_id or root.id
        return self.world.post_as(by or self.alice, channel or self.square, text, root_id=root_id, **more)

    def edit(self, post: PostRecord, text: str) -> None:
        """The author edits a post."""
        self.world.writing.edit(self.world.users.get(post.user_id), post.id, Change(message=text))

    def delete(self, post: PostRecord | str) -> None:
        """The first user of the world, its admin, deletes a post."""
        self.world.writing.delete(self.alice, post if isinstance(post, str) else post.id)

    def react(self, post: PostRecord, emoji: str, *, by: UserRecord | None = None) -> None:
        """A person puts a reaction on a post."""
        reaction = self.world.reactions.add((by or self.alice).id, post, emoji)
        data = {"reaction": dump(reaction_view(reaction))}
        self.world.hub.publish("reaction_added", data, Broadcast(channel_id=post.channel_id))

    def direct(self) -> ChannelRecord:
        """Alice's direct channel with the bot."""
        return self.world.direct(self.alice, self.bot)

    # reading

    def ours(self, channel: ChannelRecord | None = None, *, deleted: bool = False) -> list[PostRecord]:
        """The bot's posts, oldest first."""
        posts = self.world.posts.of_channel((channel or self.square).id)
        return [post for post in posts if post.user_id == self.bot.id and (deleted or not post.delete_at)]

    def answers(self, channel: ChannelRecord | None = None) -> list[str]:
        """The bot's texts as they stand now."""
        return [post.message for post in self.ours(channel)]

    def chat(self, channel: ChannelRecord | None = None, *, since: int = 0) -> str:
        """Everything that was posted, edited and deleted, in order; see `chat_log`."""
        return chat_log(self.world, channel or self.square)

    def calls(self, method: str = "", path: str = "") -> int:
        """How many of the bot's requests were of that method and had that in their path."""
        return sum(
            request.username == self.bot.username and method in request.method and path in request.path
            for request in self.world.requests
        )

    async def obligation(self, post: PostRecord) -> Obligation | None:
        return await self.store.obligations.by_trigger(ACCOUNT, post.id)

    async def state(self, post: PostRecord) -> str:
        """The state of a message's obligation: `delivered`, `cancelled: stopped`, `none`."""
        obligation = await self.obligation(post)
        if obligation is None:
            return "none"
        state, reason = obligation.state.value, obligation.outcome_reason
        return f"{state}: {reason}" if reason else state

    # waiting

    async def until(self, true: Callable[[], object], *, within: float = 60.0) -> None:
        """Until `true()`, looked at every 10 ms."""
        with trio.fail_after(within):
            while not true():  # noqa: ASYNC110 - a test looks at a world that knows nothing of events
                await trio.sleep(0.01)

    async def settled(self, *, within: float = 300.0) -> None:
        """Until every message is answered and no turn runs, and a little longer for writes that come after that."""
        with trio.fail_after(within):
            await trio.sleep(0.05)
            seen = self.journal.total_changes
            while await self._is_busy():
                asked_at = trio.current_time()
                await self.journal.changed(seen)
                # Asks at multiples of 10 ms: what happens at one moment need not be over when the first row is written.
                looks = max(1, math.ceil((trio.current_time() - asked_at) / _LOOK_SECONDS - 1e-6))
                await trio.sleep_until(asked_at + looks * _LOOK_SECONDS)
                seen = self.journal.total_changes
        await trio.sleep(0.05)

    async def _is_busy(self) -> bool:
        unanswered = await self.store.obligations.open_for(ACCOUNT)
        return bool(unanswered or await self.store.turns.unfinished(ACCOUNT))


def merged(one: Mapping[str, Any], two: Mapping[str, Any]) -> dict[str, Any]:
    """`two` over `one`, tables merged."""
    out = dict(one)
    for key, value in two.items():
        deep = isinstance(value, Mapping) and isinstance(out.get(key), Mapping)
        out[key] = merged(out[key], value) if deep else value
    return out


def chat_log(world: World, channel: ChannelRecord) -> str:
    """`seconds who verb post-number: text`, one line per creation, edit and deletion; further lines are indented."""
    lines: list[tuple[int, int, str]] = []
    numbers: dict[str, int] = {}
    for number, entry in enumerate(world.transcript(channel), 1):
        numbers[entry.post_id] = number
        where = f" in #{numbers.get(entry.root_id, 0)}" if entry.root_id else ""
        for version, (at, text) in enumerate(entry.versions):
            verb = "edits" if version else "posts"
            body = text.replace("\n", "\n" + " " * 12)
            lines.append((at, number, f"{entry.username} {verb} #{number}{'' if version else where}: {body}"))
        if entry.deleted_at:
            lines.append((entry.deleted_at, number, f"{entry.username} #{number} is deleted"))
    lines.sort(key=lambda line: line[:2])
    return "".join(f"{(at - EPOCH) / 1000:9.3f}  {line}\n" for at, _, line in lines)


async def _down(request: SandboxRequest) -> SandboxResponse | None:
    await trio.lowlevel.checkpoint()
    raise httpx.ConnectError("the process is gone")


@asynccontextmanager
async def open_harness(nursery: trio.Nursery) -> AsyncGenerator[Harness, None]:
    """A chat server without a gateway; a gateway that still runs at the end is stopped."""
    faults, began = NetworkFaults(), trio.current_time()

    def now_ms() -> int:
        return EPOCH + round((trio.current_time() - began) * 1000)

    world = World(now_ms, Random(7), faults=faults)
    alice = world.create_user("alice", "Passw0rd!x")
    team = world.create_team("town", alice)
    bob = world.create_user("bob", "Passw0rd!x", team=team)
    bot = world.create_bot("helper", team=team)
    square = world.create_channel(team, "square", alice, bob, bot)
    async with empty_journal() as journal:
        # The database's clock, where several processes have leases of it.
        journal.now_ms = now_ms
        async with open_store(journal) as store:
            harness = Harness(world, nursery, faults, alice, bob, bot, team, square, journal, store, now_ms)
            yield harness
            await harness.stop()
