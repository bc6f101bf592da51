"""Keeps one account connected: dial, greet or resume, catch up, live, and again with growing pauses.

Per dial three tasks that end together: the reader (never waits for handling), the heartbeat and the pump (hands events
on, one at a time). What an event means is the hooks' business; nothing here is stored except through them.
"""

import logging
import ssl
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import NoReturn

import trio
from attrs import define, field, frozen

from oc_trio.core.events import Event, EventFrame
from oc_trio.core.ratelimit import Lane
from oc_trio.errors import MattermostError, MattermostRejected, MattermostUnavailable, PayloadError
from oc_trio.mattermost.client import Api
from oc_trio.mattermost.groups import only_mattermost
from oc_trio.mattermost.redial import Redial
from oc_trio.mattermost.socket import (
    NO_ANSWER,
    NO_GREETING,
    OUT_OF_ORDER,
    OVERFLOW,
    TOO_LARGE,
    OpenStream,
    ResumePoint,
    Socket,
    open_socket,
    open_tcp_stream,
)

BUFFER = 1024  # events read but not handed on; one more and the socket is closed, to be made good by catch-up
HEARTBEAT_SECONDS = 30.0
ANSWER_SECONDS = 10.0
# How long the pump may go on with what had been read when the socket went.
REST_SECONDS = 5.0

# After these the server's queue is of no use, or asking for it again would fail the same way for ever.
_FORGET = frozenset({NO_GREETING, OUT_OF_ORDER, TOO_LARGE, OVERFLOW})

log = logging.getLogger(__name__)


class ListenerState(Enum):
    """What an operator sees of a connection."""

    CONNECTING = "connecting"
    CATCHING_UP = "catching up"
    LIVE = "live"
    WAITING = "waiting to reconnect"
    AUTH_FAILED = "the token is refused"


@frozen
class Hooks:
    """What the listener calls; all but `save_resume` from one task at a time.

    `on_event` gets every event in order and should return quickly; a MattermostError from it closes the socket and has
    the event told again. `on_connected(resumed)` runs on every connect, with events held back until it returns.
    `save_resume` stores where to go on; None means there is nothing to resume. Cheap: it runs at every heartbeat.
    """

    on_event: Callable[[Event], Awaitable[None]]
    on_connected: Callable[[bool], Awaitable[None]]
    on_state: Callable[[ListenerState, str], Awaitable[None]]
    save_resume: Callable[[ResumePoint | None], Awaitable[None]]


@define(eq=False)
class _Listener:
    api: Api
    hooks: Hooks
    open_stream: OpenStream
    ssl_context: ssl.SSLContext | None
    redial: Redial
    resume: ResumePoint | None
    task_status: trio.TaskStatus[None]
    was_live: bool = False

    async def run(self) -> NoReturn:
        while True:
            try:
                await self.hooks.on_state(ListenerState.CONNECTING, "")
                await self._dial()
            except MattermostError as exc:
                if isinstance(exc, PayloadError) or getattr(exc, "code", "") in _FORGET:
                    self.resume = None
                failure = await confirmed(self.api, exc)
            await self._save()
            refused = isinstance(failure, MattermostRejected) and failure.is_auth
            state = ListenerState.AUTH_FAILED if refused else ListenerState.WAITING
            await self.hooks.on_state(state, str(failure))
            await trio.sleep(self.redial.pause(failure))

    async def _dial(self) -> NoReturn:
        # The upgrade counts against the server's rate limit like any request.
        await self.api.transport.origin.budget.acquire(Lane.FINAL)
        url, token = self.api.transport.origin.websocket_url, self.api.transport.token()
        async with open_socket(
            url, token, self.resume, open_stream=self.open_stream, ssl_context=self.ssl_context
        ) as socket:
            self.resume = ResumePoint(socket.connection_id, socket.handled_seq)
            await _Connection(self, socket).run()

    async def live(self) -> None:
        self.redial.reset()
        await self._save()
        await self.hooks.on_state(ListenerState.LIVE, "")
        if not self.was_live:
            self.was_live = True
            self.task_status.started()

    async def _save(self) -> None:
        await self.hooks.save_resume(self.resume)


@define(eq=False)
class _Connection:
    """One dial's tasks. The first failure is kept; the pump still hands on what was read before it."""

    owner: _Listener
    socket: Socket
    failure: MattermostError | None = None
    rest_scope: trio.CancelScope = field(factory=trio.CancelScope)

    async def run(self) -> NoReturn:
        events_send, events_recv = trio.open_memory_channel[EventFrame](BUFFER)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._heartbeat)
                nursery.start_soon(self._read, events_send)
                with self.rest_scope:
                    await self._pump(events_recv)
                nursery.cancel_scope.cancel()
        except ExceptionGroup as group:
            alone = only_mattermost(group)
            if alone is None:
                raise
            self.failure = self.failure or alone
        raise self.failure or MattermostUnavailable("the websocket was closed")

    async def _read(self, events_send: trio.MemorySendChannel[EventFrame]) -> None:
        async with events_send:
            try:
                while True:
                    await self._read_one(events_send)
            except MattermostError as exc:
                self._fail(exc)

    async def _read_one(self, events_send: trio.MemorySendChannel[EventFrame]) -> None:
        try:
            frame = await self.socket.receive()
        except PayloadError as exc:
            if exc.seq is None:
                raise
            log.warning("skipped an event that can't be read: %s", exc)
            return
        try:
            events_send.send_nowait(frame)
        except trio.WouldBlock:
            problem = f"more than {BUFFER} events wait to be handled"
            raise MattermostUnavailable(problem, code=OVERFLOW) from None
        except trio.BrokenResourceError:  # the pump has ended with an error of its own
            return

    async def _heartbeat(self) -> None:
        while True:
            await trio.sleep(HEARTBEAT_SECONDS)
            if self.failure is not None:
                return
            answered = False
            try:
                with trio.move_on_after(ANSWER_SECONDS):
                    await self.socket.ping()
                    answered = True
            except MattermostUnavailable as exc:
                self._fail(exc)
                return
            if not answered:
                problem = f"no answer to our ping within {ANSWER_SECONDS:g} s"
                self._fail(MattermostUnavailable(problem, code=NO_ANSWER))
                await self.socket.abort()
                return
            await self.owner.hooks.save_resume(self.owner.resume)

    async def _pump(self, events_recv: trio.MemoryReceiveChannel[EventFrame]) -> None:
        async with events_recv:
            await self.owner.hooks.on_state(ListenerState.CATCHING_UP, "")
            await self.owner.hooks.on_connected(self.socket.resumed)
            if self.failure is None:
                await self.owner.live()
            async for frame in events_recv:
                await self.owner.hooks.on_event(frame.event)
                # Not before: what we were told but have not handled must be told again after a resume.
                self.owner.resume = ResumePoint(self.socket.connection_id, frame.seq + 1)

    def _fail(self, exc: MattermostError) -> None:
        if self.failure is None:
            self.failure = exc
            self.rest_scope.deadline = trio.current_time() + REST_SECONDS


async def run_listener(
    api: Api,
    hooks: Hooks,
    *,
    redial: Redial,
    resume: ResumePoint | None = None,
    ssl_context: ssl.SSLContext | None = None,
    open_stream: OpenStream = open_tcp_stream,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> NoReturn:
    """Stay connected until cancelled; started at the first LIVE.

    Errors of the hooks other than MattermostError come out. On the way out the resume point is saved, so that a restart
    of seconds loses no event.
    """
    listener = _Listener(api, hooks, open_stream, ssl_context, redial, resume, task_status)
    try:
        await listener.run()
    finally:
        with trio.move_on_after(2.0, shield=True):
            await hooks.save_resume(listener.resume)


async def run_poller(
    api: Api,
    hooks: Hooks,
    *,
    interval: float,
    redial: Redial,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> NoReturn:
    """Without a websocket: `on_connected(False)`, the catch-up, every `interval` seconds. Started at the first LIVE."""
    was_live = False
    while True:
        try:
            if not was_live or redial.failures:
                await hooks.on_state(ListenerState.CATCHING_UP, "")
            await hooks.on_connected(False)
        except MattermostError as exc:
            failure = await confirmed(api, exc)
            refused = isinstance(failure, MattermostRejected) and failure.is_auth
            await hooks.on_state(ListenerState.AUTH_FAILED if refused else ListenerState.WAITING, str(failure))
            await trio.sleep(redial.pause(failure))
            continue
        if not was_live or redial.failures:
            redial.reset()
            await hooks.on_state(ListenerState.LIVE, "polling")
        if not was_live:
            was_live = True
            task_status.started()
        await trio.sleep(interval)


async def confirmed(api: Api, exc: MattermostError) -> MattermostError:
    """`exc`, or the 401 behind it: a bad token on the upgrade is answered with silence, so REST has to tell."""
    suspicious = isinstance(exc, MattermostRejected) and exc.is_auth
    if not suspicious and getattr(exc, "code", "") != NO_GREETING:
        return exc
    try:
        await api.users.me()
    except MattermostError as told:
        return told
    return MattermostUnavailable(str(exc))
