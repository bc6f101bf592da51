"""Keeps one account connected to the event stream: dial, greet or resume, catch up, live; reconnects with backoff.

Each connection has three tasks that end together: the reader (never waits for the handling of an event), the heartbeat,
and the pump (passes events to the hooks in order). What an event means is up to the hooks, and nothing is stored
here except through them.
"""

import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NoReturn

import trio
from attrs import evolve, field

from oc_trio.classes import define, frozen
from oc_trio.core.backoff import RetryPolicy
from oc_trio.core.connection import (
    Admit,
    CatchUpDone,
    ConnectionPhase,
    ConnectionState,
    Greeted,
    Input,
    Opened,
    ResumePoint,
    Retry,
    RunCatchUp,
    Woke,
    step,
)
from oc_trio.core.events import Event, EventFrame, Frame, Posted, PostEdited, Unhandled
from oc_trio.core.ratelimit import Lane
from oc_trio.errors import MattermostError, MattermostRejected, MattermostUnavailable, PayloadError
from oc_trio.mattermost.client import Api
from oc_trio.mattermost.concurrency import sole_mattermost_error
from oc_trio.mattermost.connection_inputs import input_from_error, input_from_frame, pause_after
from oc_trio.mattermost.socket import OpenStream, Socket, open_socket, open_tcp_stream
from oc_trio.telemetry.log import get_logger

BUFFER = 8192  # events read but not handled yet; one more closes the socket, and catch-up reads what was missed
MAX_TOGETHER = 1000  # posts that are handed on at once; an event behind them waits for them
# The server pings every 60 s and gives a silent connection 100 s (tests/contract/README.md); with an action of our own
# a dead one is noticed after 40 s.
HEARTBEAT_SECONDS = 30.0
# A request that is refused with 401 triggers a heartbeat at once, but not within this time of the last one.
MIN_HEARTBEAT_SECONDS = 2.0
PONG_SECONDS = 10.0
# How long the pump may go on with events that were read before the socket was lost.
PUMP_SECONDS = 5.0

_ADMIT = (Admit(),)

log = get_logger(part="listener")


@frozen
class ListenerHooks:
    """What the listener calls; all but `save_resume` from one task at a time.

    `on_events` gets every event in order, posts that wait in a row together, everything else alone, and should return
    quickly; a MattermostError from it closes the socket, and the server replays these events after the resume.
    `on_connected(resumed)` runs on every connect; events wait until it returns. `on_state` gets the state and the
    reason. `save_resume` stores the resume point, None for none; it is
    called only while the connection is known to be alive (going live, each answered heartbeat, each poll), so that the
    time of a call is a time at which the account was live.
    """

    on_events: Callable[[tuple[Event, ...]], Awaitable[None]]
    on_connected: Callable[[bool], Awaitable[None]]
    on_state: Callable[[ConnectionState, str], Awaitable[None]]
    save_resume: Callable[[ResumePoint | None], Awaitable[None]]


@define(eq=False)
class _Listener:
    api: Api
    hooks: ListenerHooks
    open_stream: OpenStream
    ssl_context: ssl.SSLContext | None
    policy: RetryPolicy
    random: Callable[[], float]
    link: ConnectionState
    first_live: Callable[[], None]
    was_live: bool = False

    async def run(self) -> NoReturn:
        token = self.api.transport.token
        while True:
            used_token = token()
            try:
                await self._dial()
            except MattermostError as exc:
                failure = exc
            retry = self._apply(input_from_error(failure, self.link.phase))
            await self.hooks.on_state(self.link, str(failure))
            if retry is not None and retry.auth and token() != used_token:
                continue  # the file has another token by now, and the backoff is for the one that was refused
            await trio.sleep(pause_after(retry, failure, self.policy, self.random()))

    async def _dial(self) -> NoReturn:
        self._apply(Woke())
        await self.hooks.on_state(self.link, "")
        # The server answers a bad token on the upgrade with silence, and here with a 401. Besides, it keeps the event
        # queue of a user who made a request lately.
        await self.api.users.me()
        # The upgrade counts against the server's rate limit like any request.
        await self.api.transport.server.budget.acquire(Lane.FINAL)
        url, token = self.api.transport.server.websocket_url, self.api.transport.token()
        async with open_socket(
            url,
            token,
            self.link.resume,
            open_stream=self.open_stream,
            ssl_context=self.ssl_context,
            lease=self.api.transport.lease,
        ) as socket:
            self._apply(Opened())
            await _Connection(self, socket).run()

    def _apply(self, input_: Input) -> Retry | None:
        self.link, intents = step(self.link, input_)
        return next((intent for intent in intents if isinstance(intent, Retry)), None)

    async def catch_up(self, resumed: bool) -> None:
        await self.hooks.on_state(self.link, "")
        await self.hooks.on_connected(resumed)

    async def go_live(self) -> None:
        self._apply(CatchUpDone())
        await self.save()
        await self.hooks.on_state(self.link, "")
        if not self.was_live:
            self.was_live = True
            self.first_live()

    async def save(self) -> None:
        await self.hooks.save_resume(self.link.resume)


@define(eq=False)
class _Connection:
    """The tasks of one connection. The first failure is kept; the pump still passes on what was read before it."""

    owner: _Listener
    socket: Socket
    failure: MattermostError | None = None
    pump_scope: trio.CancelScope = field(factory=trio.CancelScope)

    async def run(self) -> NoReturn:
        first = await self._read_frame(self.socket.greet(ping=self.owner.link.asked_resume))
        events_send, events_recv = trio.open_memory_channel[Frame](BUFFER)
        # The greeting is handled like every other frame, by the one task that changes the state.
        events_send.send_nowait(first)
        try:
            self.owner.api.socket = self.socket
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._heartbeat)
                nursery.start_soon(self._read, events_send)
                # It ends when the reader has closed its end of the channel and all of it was handled, at the latest at
                # the deadline that `_fail` sets.
                with self.pump_scope:
                    await self._pump(events_recv)
                nursery.cancel_scope.cancel()
        except ExceptionGroup as group:
            error = sole_mattermost_error(group)
            if error is None:
                raise
            self.failure = self.failure or error
        finally:
            self.owner.api.socket = None
        raise self.failure or MattermostUnavailable("the websocket was closed")

    async def _read(self, events_send: trio.MemorySendChannel[Frame]) -> None:
        async with events_send:
            try:
                while True:
                    # Never blocks: a reader that waits for a slow handler would answer no pings of the server.
                    events_send.send_nowait(await self._read_frame(self.socket.receive()))
            except trio.WouldBlock:
                self._fail(MattermostUnavailable(f"overflow: more than {BUFFER} events wait to be handled"))
            except trio.BrokenResourceError:  # the pump has ended with an error of its own
                return
            except MattermostError as exc:
                self._fail(exc)

    async def _read_frame(self, read: Awaitable[Frame]) -> Frame:
        """The frame that `read` gives. One with a number that can't be decoded becomes an event that nobody handles."""
        try:
            return await read
        except PayloadError as exc:
            if exc.seq is None:
                raise
            log.warning("skipped an event that can't be read", problem=str(exc))
            return EventFrame(exc.seq, Unhandled("unreadable"))

    async def _heartbeat(self) -> None:
        while self.failure is None:
            await self._wait_for_heartbeat()
            answered = False
            try:
                with trio.move_on_after(PONG_SECONDS):
                    await self.socket.ping()
                    answered = True
            except MattermostError as exc:
                self._fail(exc)
                return
            if not answered:
                self._fail(MattermostUnavailable(f"no answer to our ping within {PONG_SECONDS:g} s"))
                # Without a closing handshake: a server that answers no ping would not answer that either.
                await self.socket.abort()
                return
            await self._stay_active()
            if self.failure is None:
                await self.owner.save()

    async def _wait_for_heartbeat(self) -> None:
        await trio.sleep(MIN_HEARTBEAT_SECONDS)
        with trio.move_on_after(HEARTBEAT_SECONDS - MIN_HEARTBEAT_SECONDS):
            await self.owner.api.transport.unauthorized.wait()

    async def _stay_active(self) -> None:
        """Count as active for the server, which keeps the queue of a lost connection only for an active user."""
        try:
            await self.owner.api.users.me()
        except MattermostRejected as exc:
            self._fail(exc)
        except (MattermostUnavailable, PayloadError) as exc:
            log.debug("the call that keeps us active failed", problem=str(exc))

    async def _pump(self, events_recv: trio.MemoryReceiveChannel[Frame]) -> None:
        async with events_recv:
            async for frame in events_recv:
                await self._handle_all([frame, *_waiting(events_recv, MAX_TOGETHER - 1)])

    async def _handle_all(self, frames: list[Frame]) -> None:
        """Handle frames in order; posts in a row are handed on together, so that they cost one write to the journal.

        Edits may be among them: while answers grow, most events are those of our own.
        """
        posts: list[Event] = []
        link = self.owner.link
        for frame in frames:
            if isinstance(frame, EventFrame) and isinstance(frame.event, Posted | PostEdited):
                after, intents = step(link, input_from_frame(frame))
                # Gathered is only what changes nothing but the number: a gap or a greeting has to be dealt with first.
                if intents == _ADMIT:
                    posts.append(frame.event)
                    link = after
                    continue
            await self._hand_on(tuple(posts), link)
            posts.clear()
            await self._handle(frame)
            link = self.owner.link
        await self._hand_on(tuple(posts), link)

    async def _hand_on(self, events: tuple[Event, ...], link: ConnectionState) -> None:
        """Let `events` be handled; `link` is the state behind the last of them."""
        if events:
            await self.owner.hooks.on_events(events)
            # Only now, so that a resume replays what was not handled.
            self.owner.link = evolve(self.owner.link, resume=link.resume)

    async def _handle(self, frame: Frame) -> None:
        owner, before = self.owner, self.owner.link.resume
        link, intents = step(owner.link, input_from_frame(frame))
        if any(isinstance(intent, Retry) for intent in intents):
            # The state stays as it was: the input `Lost`, which follows, decides about the resume point.
            raise MattermostUnavailable(f"out of order: {input_from_frame(frame)} where {before} was due")
        # Advance the resume point only after the event was handled, so that a resume replays it. A hello counts at
        # once: it begins a new queue, in which nothing can be replayed from before.
        owner.link = link if isinstance(input_from_frame(frame), Greeted) else evolve(link, resume=before)
        for intent in intents:
            if isinstance(intent, RunCatchUp):
                await owner.catch_up(not intent.lost)
                if self.failure is None:
                    await owner.go_live()
        if isinstance(frame, EventFrame) and any(isinstance(intent, Admit) for intent in intents):
            await owner.hooks.on_events((frame.event,))
        owner.link = evolve(owner.link, resume=link.resume)

    def _fail(self, exc: MattermostError) -> None:
        if self.failure is None:
            self.failure = exc
            # What was read is handled first, so that the resume asks for less; the bound is for a handler that hangs.
            self.pump_scope.deadline = trio.current_time() + PUMP_SECONDS


def _waiting(events_recv: trio.MemoryReceiveChannel[Frame], limit: int) -> list[Frame]:
    """Up to `limit` frames that were read already."""
    frames: list[Frame] = []
    with suppress(trio.WouldBlock, trio.EndOfChannel):
        while len(frames) < limit:
            frames.append(events_recv.receive_nowait())
    return frames


async def run_listener(
    api: Api,
    hooks: ListenerHooks,
    *,
    random: Callable[[], float],
    policy: RetryPolicy | None = None,
    resume: ResumePoint | None = None,
    ssl_context: ssl.SSLContext | None = None,
    open_stream: OpenStream = open_tcp_stream,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> NoReturn:
    """Stay connected until cancelled; started at the first live connection.

    Errors of the hooks other than MattermostError come out. On the way out of a live connection the resume point is
    saved, so that a restart of seconds loses no event.
    """
    link = ConnectionState(resume=resume)
    listener = _Listener(
        api, hooks, open_stream, ssl_context, policy or RetryPolicy(), random, link, lambda: task_status.started()
    )
    try:
        await listener.run()
    finally:
        if listener.link.phase is ConnectionPhase.LIVE:
            # Shielded, because the usual reason to be here is a cancellation.
            # No longer, since without it the next start reads the same posts by catch-up.
            with trio.move_on_after(2.0, shield=True):
                await listener.save()


async def run_poller(
    hooks: ListenerHooks,
    *,
    interval: float,
    random: Callable[[], float],
    policy: RetryPolicy | None = None,
    token: Callable[[], str] = str,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> NoReturn:
    """Without a websocket: `on_connected(False)` every `interval` seconds; started at the first success.

    After a refusal another `token` is tried at once.
    """
    link, was_live = ConnectionState(phase=ConnectionPhase.CATCHING_UP), False
    while True:
        used_token = token()
        try:
            await hooks.on_connected(False)
        except MattermostError as exc:
            failed, intents = step(
                evolve(link, phase=ConnectionPhase.CATCHING_UP), input_from_error(exc, ConnectionPhase.CATCHING_UP)
            )
            link = failed
            await hooks.on_state(link, str(exc))
            retry = next((intent for intent in intents if isinstance(intent, Retry)), None)
            if retry is None or not retry.auth or token() == used_token:
                await trio.sleep(pause_after(retry, exc, policy or RetryPolicy(), random()))
            continue
        # Polling has no connection to resume, but the call says that the account is alive.
        await hooks.save_resume(None)
        if link.phase is not ConnectionPhase.LIVE:
            link = ConnectionState(phase=ConnectionPhase.LIVE)
            await hooks.on_state(link, "polling")
        if not was_live:
            was_live = True
            task_status.started()
        await trio.sleep(interval)
