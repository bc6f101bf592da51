"""The network between gateway and server: requests that travel, get lost, are refused or answered too late.

A request that has left goes on without its sender, as on a real network: cancelling the wait does not stop the write.
"""

import json
import random
import ssl

import httpx
import trio
from attrs import define, field, frozen
from trio.testing import MemoryReceiveStream, MemorySendStream, memory_stream_pair

from oc_trio.sandbox.http_transport import SandboxTransport
from oc_trio.sandbox.websocket_stream import serve_websocket_stream
from oc_trio.sandbox.world import World
from tests.simulation.crash import PoweredStream, PowerSwitch
from tests.simulation.fault_rates import NO_FAULTS, FaultRates
from tests.simulation.poison_posts import Poison
from tests.simulation.transcript import RunTranscript

Pipe = trio.StapledStream[MemorySendStream, MemoryReceiveStream]

# What the real server says; the ids are those that the gateway has rules for.
_THREAD_RACE = {"id": "app.post.save.app_error", "message": "Unable to save the post.", "status_code": 500}
_STILL_SAVING = {"id": "api.post.deduplicate_create_post.pending", "message": "pending", "status_code": 500}
_BROKEN = {"id": "api.sandbox.broken.app_error", "message": "broken", "status_code": 500}


# A request that a proxy holds up takes at least so long.
_HELD_SECONDS = 15.0


@define(eq=False)
class _Trip:
    """One request on its way; `uplink` ends early when the sender dies: then it arrives now, or never."""

    what: str
    up: float
    down: float
    fault: str
    power: PowerSwitch
    request_scope: trio.CancelScope = field(factory=trio.CancelScope)
    began: float = field(factory=trio.current_time)
    has_arrived: bool = False
    is_lost: bool = False
    done: trio.Event = field(factory=trio.Event)
    answer: httpx.Response | None = None
    error: Exception | None = None


@define(eq=False)
class Network:
    """`is_down` refuses everything (the server is being restarted); `waiting` counts requests without an answer.

    `refused` are the texts that `poison` was found in.
    """

    world: World
    rng: random.Random
    transcript: RunTranscript
    nursery: trio.Nursery
    fault_rates: FaultRates = NO_FAULTS
    poison: Poison | None = None
    is_down: bool = False
    waiting: int = 0
    trips: list[_Trip] = field(factory=list)
    sockets: list[Pipe] = field(factory=list)
    refused: set[str] = field(factory=set)
    _inner: SandboxTransport = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._inner = SandboxTransport(self.world)

    def sender_died(self, power: PowerSwitch | None = None) -> None:
        """What was on its way arrives at once or never: its connection is reset. A proxy that holds a request up may
        notice nothing of that. Without `power` all senders have died.
        """
        for trip in self.trips:
            if power is not None and trip.power is not power:
                continue
            is_held = trip.up >= _HELD_SECONDS and self.rng.random() < 0.5
            if not (trip.has_arrived or is_held):
                is_fresh = trio.current_time() - trip.began < 1.0
                trip.is_lost = not is_fresh or self.rng.random() < 0.5
                trip.request_scope.cancel()

    def server_died(self) -> None:
        """Nothing that was on its way arrives."""
        for trip in self.trips:
            if not trip.has_arrived:
                trip.error = httpx.ReadError("connection reset")
                trip.request_scope.cancel()

    def drop_sockets(self) -> None:
        """Every websocket's connection is reset."""
        for pair in self.sockets:
            pair.send_stream.close()
            pair.receive_stream.close()
        self.sockets.clear()

    def freeze_sockets(self) -> None:
        """Every websocket becomes half open: both sides believe it alive, nothing passes."""
        for connection in self.world.hub.connections():
            connection.frozen = True

    async def open_stream(self, power: PowerSwitch) -> trio.abc.Stream:
        power.before("a dial")
        await trio.sleep(self.rng.uniform(0.001, 0.02))
        if self.is_down or self.rng.random() < self.fault_rates.unreachable:
            raise OSError("connection refused")
        ours, theirs = memory_stream_pair()
        self.sockets.append(theirs)
        self.nursery.start_soon(self._serve_socket, theirs)
        return PoweredStream(ours, power)

    async def _serve_socket(self, stream: Pipe) -> None:
        await serve_websocket_stream(self.world, stream)
        if stream in self.sockets:
            self.sockets.remove(stream)

    async def exchange(self, request: httpx.Request, power: PowerSwitch) -> httpx.Response:
        if power.on_request is not None and not power.is_off:
            power.on_request(request)
        await request.aread()
        what = f"{request.method} {request.url.path.removeprefix('/api/v4')}"
        power.before(what)
        await power.running()
        trip = self._trip(request, what, power)
        if trip.fault == "unreachable":
            self.transcript.detail("network", f"{what}: connection refused")
            await trio.sleep(trip.up)
            raise httpx.ConnectError("connection refused")
        self.trips.append(trip)
        self.nursery.start_soon(self._travel, trip, request)
        self.waiting += 1
        try:
            await trip.done.wait()
        finally:
            self.waiting -= 1
        power.after(what)
        if trip.error is not None:
            raise trip.error
        assert trip.answer is not None
        return trip.answer

    def _trip(self, request: httpx.Request, what: str, power: PowerSwitch) -> _Trip:
        rng, fault_rates = self.rng, self.fault_rates
        up, down = rng.uniform(0.001, 0.04), 0.0
        if fault_rates is NO_FAULTS and not self.is_down:
            return _Trip(what, up, down, "", power)
        if rng.random() < fault_rates.slow:
            up, down = up + rng.uniform(0.0, 4.0), down + rng.uniform(0.0, 6.0)
        # A create that arrives when the server has forgotten its key makes a second post, whatever the sender does.
        if (request.method == "PUT" or what == "POST /posts") and rng.random() < fault_rates.late:
            up += rng.uniform(_HELD_SECONDS, 100.0)
        return _Trip(what, up, down, "unreachable" if self.is_down else self._draw_fault(what, request), power)

    def _draw_fault(self, what: str, request: httpx.Request) -> str:
        rng, fault_rates = self.rng, self.fault_rates
        names = ("unreachable", "lost_request", "lost_answer", "silent_answer", "limited", "broken", "gateway_timeout")
        for name in names:
            if rng.random() < getattr(fault_rates, name):
                return name
        if what == "POST /posts" and rng.random() < fault_rates.thread_race:
            return "thread_race" if b"root_id" in request.content else "still_saving"
        return ""

    async def _travel(self, trip: _Trip, request: httpx.Request) -> None:
        try:
            with trip.request_scope:
                await trio.sleep(trip.up)
            trip.has_arrived = True
            if trip.error is not None:
                trip.done.set()
                return
            if trip.is_lost or trip.fault == "lost_request":
                self.transcript.detail("network", f"{trip.what}: lost on the way")
                return
            if self.is_down:
                trip.error = httpx.ReadError("connection reset")
                trip.done.set()
                return
            answer = self._refusal(trip.fault)
            answer = answer or self._poisoned(request)
            if answer is None:
                answer = self._lagging(trip, await self._inner.handle_async_request(request))
            self._note(trip, request, answer.status_code)
            if trip.down:
                await trio.sleep(trip.down)
            if trip.fault == "silent_answer":
                return
            if trip.fault == "lost_answer":
                trip.error = httpx.ReadError("connection reset")
            elif trip.fault == "gateway_timeout":
                trip.answer = httpx.Response(504, text="upstream timed out")
            else:
                trip.answer = answer
            trip.done.set()
        finally:
            self.trips.remove(trip)

    def _note(self, trip: _Trip, request: httpx.Request, status: int) -> None:
        what = trip.what
        if request.method != "GET" and what.startswith(("POST /posts", "PUT /posts", "DELETE /posts")):
            self.transcript.note(_who(request), f"{what}: {status}{_said(request)}{_but(trip.fault)}")
        else:
            self.transcript.detail(_who(request), f"{what}: {status}{_but(trip.fault)}")

    def _refusal(self, fault: str) -> httpx.Response | None:
        match fault:
            case "limited":
                wait = f"{self.rng.choice((0.2, 1, 3))}"
                return httpx.Response(429, text="limit exceeded\n", headers={"Retry-After": wait})
            case "broken":
                return httpx.Response(500, json=_BROKEN)
            case "thread_race":
                return httpx.Response(500, json=_THREAD_RACE)
            case "still_saving":
                return httpx.Response(500, json=_STILL_SAVING)
            case _:
                return None

    def _poisoned(self, request: httpx.Request) -> httpx.Response | None:
        """The refusal of a text that is never taken, which is remembered."""
        text = self.poison.text_in(request) if self.poison is not None else ""
        if self.poison is None or not text:
            return None
        self.refused.add(text)
        return self.poison.refusal()

    def _lagging(self, trip: _Trip, answer: httpx.Response) -> httpx.Response:
        """Lists come from a replica that lags behind: the newest posts are not in them yet."""
        if not self.fault_rates.lag or not trip.what.startswith("GET /channels/") or not trip.what.endswith("/posts"):
            return answer
        body = answer.json()
        if "order" not in body:
            return answer
        limit = self.world.clock.now() - int(self.rng.uniform(0.0, self.fault_rates.lag) * 1000)
        body["order"] = [key for key in body["order"] if body["posts"][key]["create_at"] <= limit]
        body["posts"] = {key: post for key, post in body["posts"].items() if post["create_at"] <= limit}
        return httpx.Response(answer.status_code, json=body)


@define(eq=False)
class SimTransport(httpx.AsyncBaseTransport):
    """An incarnation's way to the server."""

    network: Network
    power: PowerSwitch

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self.network.exchange(request, self.power)


@frozen(eq=False)
class OpenSim:
    """An incarnation's way to dial."""

    network: Network
    power: PowerSwitch

    async def __call__(self, host: str, port: int, tls: ssl.SSLContext | None) -> trio.abc.Stream:
        return await self.network.open_stream(self.power)


def _who(request: httpx.Request) -> str:
    """The bot's name is the end of its token."""
    return request.headers.get("Authorization", "").rpartition("-")[2] or "somebody"


def _said(request: httpx.Request) -> str:
    if not request.content.startswith(b'{"'):
        return ""
    message = json.loads(request.content).get("message")
    return f" {message!r}" if message is not None else ""


def _but(fault: str) -> str:
    return f" ({fault})" if fault else ""
