"""Keeps one account connected: dial, greet or resume, catch up, live, and again with growing pauses.

Per dial three tasks that end together: the reader (never waits for handling), the heartbeat and the pump (hands events
on, one at a time). What an event means is the hooks' business; nothing here is stored except through them.
"""

import ssl
from collections.abc import Awaitable, Callable
from typing import NoReturn

import trio
from attrs import define, evolve, field, frozen

from oc_trio.core.backoff import RetryPolicy
from oc_trio.core.connection import (
    Admit,
    CaughtUp,
    ConnectionPhase,
    Greeted,
    Input,
    Link,
    Opened,
    ResumePoint,
    Retry,
    StartCatchUp,
    Woke,
    step,
)
from oc_trio.core.events import Event, EventFrame, Frame, Unhandled
from oc_trio.core.ratelimit import Lane
from oc_trio.errors import MattermostError, MattermostRejected, MattermostUnavailable, PayloadError
from oc_trio.mattermost.client import Api
from oc_trio.mattermost.concurrency import sole_mattermost_error
from oc_trio.mattermost.connection_inputs import from_error, from_frame, pause_after
from oc_trio.mattermost.socket import OpenStream, Socket, open_socket, open_tcp_stream
from oc_trio.telemetry.log import get_logger

BUFFER = 1024  # events read but not handed on; one more and the socket is closed, to be made good by catch-up
HEARTBEAT_SECONDS = 30.0
# A request refused with 401 brings the next heartbeat forward, but to no sooner than this after the last one.
SOONEST_SECONDS = 2.0
ANSWER_SECONDS = 10.0
# How long the pump may go on with what had been read when the socket went.
REST_SECONDS = 5.0

log = get_logger(part="listener")


@frozen
class ListenerHooks:
    """What the listener calls; all but `save_resume` from one task at a time.

    `on_event` gets every event in order and should return quickly; a MattermostError from it closes the socket and has
    the event told again. `on_connected(resumed)` runs on every connect, with events held back until it returns.
    `on_state` gets the state and why. `save_resume` stores where to go on, None if nowhere; it is called only while the
    connection is known to be alive (going live, each answered heartbeat, each poll), so that its times mean just that.
    """

    on_event: Callable[[Event], Awaitable[None]]
    on_connected: Callable[[bool], Awaitable[None]]
    on_state: Callable[[Link, str], Awaitable[None]]
    save_resume: Callable[[ResumePoint | None], Awaitable[None]]


@define(eq=False)
class _Listener:
    api: Api
    hooks: ListenerHooks
    open_stream: OpenStream
    ssl_context: ssl.SSLContext | None
    policy: RetryPolicy
    random: Callable[[], float]
    link: Link
    first_live: Callable[[], None]
    was_live: bool = False

    async def run(self) -> NoReturn:
        token = self.api.transport.token
        while True:
            tried = token()
            try:
                await self._dial()
            except MattermostError as exc:
                failure = exc
            retry = self._apply(from_error(failure, self.link.phase))
            await self.hooks.on_state(self.link, str(failure))
            if retry is not None and retry.auth and token() != tried:
                continue  # another token may be accepted: the pause is for the one that was refused
            await trio.sleep(pause_after(retry, failure, self.policy, self.random()))

    async def _dial(self) -> NoReturn:
        self._apply(Woke())
        await self.hooks.on_state(self.link, "")
        # A bad token on the upgrade would be answered with silence; here it is a 401. Besides, the server keeps the
        # queue of a bot longer that calls this.
        await self.api.users.me()
        # The upgrade counts against the server's rate limit like any request.
        await self.api.transport.origin.budget.acquire(Lane.FINAL)
        url, token = self.api.transport.origin.websocket_url, self.api.transport.token()
        async with open_socket(
            url, token, self.link.resume, open_stream=self.open_stream, ssl_context=self.ssl_context
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
        self._apply(CaughtUp())
        await self.save()
        await self.hooks.on_state(self.link, "")
        if not self.was_live:
            self.was_live = True
            self.first_live()

    async def save(self) -> None:
        await self.hooks.save_resume(self.link.resume)


@define(eq=False)
class _Connection:
    """One dial's tasks. The first failure is kept; the pump still hands on what was read before it."""

    owner: _Listener
    socket: Socket
    failure: MattermostError | None = None
    rest_scope: trio.CancelScope = field(factory=trio.CancelScope)

    async def run(self) -> NoReturn:
        first = await self._readable(self.socket.greet(ping=self.owner.link.asked_resume))
        events_send, events_recv = trio.open_memory_channel[Frame](BUFFER)
        events_send.send_nowait(first)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._heartbeat)
                nursery.start_soon(self._read, events_send)
                with self.rest_scope:
                    await self._pump(events_recv)
                nursery.cancel_scope.cancel()
        except ExceptionGroup as group:
            alone = sole_mattermost_error(group)
            if alone is None:
                raise
            self.failure = self.failure or alone
        raise self.failure or MattermostUnavailable("the websocket was closed")

    async def _read(self, events_send: trio.MemorySendChannel[Frame]) -> None:
        async with events_send:
            try:
                while True:
                    events_send.send_nowait(await self._readable(self.socket.receive()))
            except trio.WouldBlock:
                self._fail(MattermostUnavailable(f"overflow: more than {BUFFER} events wait to be handled"))
            except trio.BrokenResourceError:  # the pump has ended with an error of its own
                return
            except MattermostError as exc:
                self._fail(exc)

    async def _readable(self, coming: Awaitable[Frame]) -> Frame:
        """The frame; one that is numbered but can't be read becomes an event that nobody acts on."""
        try:
            return await coming
        except PayloadError as exc:
            if exc.seq is None:
                raise
            log.warning("skipped an event that can't be read", problem=str(exc))
            return EventFrame(exc.seq, Unhandled("unreadable"))

    async def _heartbeat(self) -> None:
        while self.failure is None:
            await self._pause()
            answered = False
            try:
                with trio.move_on_after(ANSWER_SECONDS):
                    await self.socket.ping()
                    answered = True
            except MattermostError as exc:
                self._fail(exc)
                return
            if not answered:
                self._fail(MattermostUnavailable(f"no answer to our ping within {ANSWER_SECONDS:g} s"))
                await self.socket.abort()
                return
            await self._be_active()
            if self.failure is None:
                await self.owner.save()

    async def _pause(self) -> None:
        await trio.sleep(SOONEST_SECONDS)
        with trio.move_on_after(HEARTBEAT_SECONDS - SOONEST_SECONDS):
            await self.owner.api.transport.unauthorized.wait()

    async def _be_active(self) -> None:
        """Have the server count us active: it keeps the queue of a lost connection only for a user it saw lately."""
        try:
            await self.owner.api.users.me()
        except MattermostRejected as exc:
            self._fail(exc)
        except (MattermostUnavailable, PayloadError) as exc:
            log.debug("the call that keeps us active failed", problem=str(exc))

    async def _pump(self, events_recv: trio.MemoryReceiveChannel[Frame]) -> None:
        async with events_recv:
            async for frame in events_recv:
                await self._take(frame)

    async def _take(self, frame: Frame) -> None:
        owner, before = self.owner, self.owner.link.resume
        link, intents = step(owner.link, from_frame(frame))
        if any(isinstance(intent, Retry) for intent in intents):
            # The state stays as it was, for `Lost` to decide what becomes of it.
            raise MattermostUnavailable(f"out of order: {from_frame(frame)} where {before} was due")
        # What we were told but have not handled must be told again after a resume: its number counts only below.
        owner.link = link if isinstance(from_frame(frame), Greeted) else evolve(link, resume=before)
        for intent in intents:
            if isinstance(intent, StartCatchUp):
                await owner.catch_up(not intent.lost)
                if self.failure is None:
                    await owner.go_live()
        if isinstance(frame, EventFrame) and any(isinstance(intent, Admit) for intent in intents):
            await owner.hooks.on_event(frame.event)
        owner.link = evolve(owner.link, resume=link.resume)

    def _fail(self, exc: MattermostError) -> None:
        if self.failure is None:
            self.failure = exc
            self.rest_scope.deadline = trio.current_time() + REST_SECONDS


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
    link = Link(resume=resume)
    listener = _Listener(
        api, hooks, open_stream, ssl_context, policy or RetryPolicy(), random, link, lambda: task_status.started()
    )
    try:
        await listener.run()
    finally:
        if listener.link.phase is ConnectionPhase.LIVE:
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
    link, was_live = Link(phase=ConnectionPhase.CATCHING_UP), False
    while True:
        tried = token()
        try:
            await hooks.on_connected(False)
        except MattermostError as exc:
            failed, intents = step(
                evolve(link, phase=ConnectionPhase.CATCHING_UP), from_error(exc, ConnectionPhase.CATCHING_UP)
            )
            link = failed
            await hooks.on_state(link, str(exc))
            retry = next((intent for intent in intents if isinstance(intent, Retry)), None)
            if retry is None or not retry.auth or token() == tried:
                await trio.sleep(pause_after(retry, exc, policy or RetryPolicy(), random()))
            continue
        await hooks.save_resume(None)
        if link.phase is not ConnectionPhase.LIVE:
            link = Link(phase=ConnectionPhase.LIVE)
            await hooks.on_state(link, "polling")
        if not was_live:
            was_live = True
            task_status.started()
        await trio.sleep(interval)
