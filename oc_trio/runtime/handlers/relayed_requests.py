"""Handles requests for one account that arrived at other processes, by the handlers that a direct request has.

A row is taken, handled and ended with the answer. A crash in between has it handled again, by this process or the next
that serves the account: what a handler admits, claims or posts has a key made of the request, so it happens once.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NoReturn, assert_never

import trio
from attrs import field

from oc_trio.callbacks.endpoints import ButtonEndpoint, CommandEndpoint
from oc_trio.callbacks.reply import UNAVAILABLE
from oc_trio.classes import define, frozen
from oc_trio.core.interactions import ButtonCallback
from oc_trio.core.questions import DialogAnswer
from oc_trio.core.relayed import (
    RelayedAnswer,
    RelayedHook,
    RelayedRequest,
    StopSession,
    decode_request,
    order_key,
)
from oc_trio.core.slash import SlashCall, match_call
from oc_trio.errors import CallbackRefused, FenceRefused, MattermostError, StoreError, StoreUnusable
from oc_trio.ids import SessionKey
from oc_trio.runtime.conversation.keyed_queue import KeyedSerialQueue
from oc_trio.runtime.handlers.in_flight import GRACE_SECONDS
from oc_trio.runtime.handlers.relay import ANSWER_SECONDS, Relay
from oc_trio.runtime.services import AccountServices
from oc_trio.store.relayed import RelayedRow
from oc_trio.telemetry.log import get_logger
from oc_trio.wakeup import Wakeup

log = get_logger(part="relayed_requests")

# As many as Mattermost would have answered at the same time, more or less.
AT_ONCE = 8
# Mattermost waits 30 s for an answer; nothing that handles a request takes longer.
HANDLE_SECONDS = 30.0
# What can't be handled yet, as before the account's commands are registered, is tried again after growing pauses, for
# so long; hooks until they are stale.
RETRY_SECONDS, LONGEST_RETRY, GIVE_UP_MS = 0.5, 15.0, 600_000
# Whoever asked for so long ago does not expect anything any more.
STALE_MS = 24 * 3_600_000
# A caller whose process died gives up unseen. A little longer than it may wait, and clocks of machines differ.
UNSEEN_MS = int(ANSWER_SECONDS * 1000) + 500
STALE = "Nobody could do it in time."


@frozen(eq=False)
class RelayedHandlers:
    """What a request of each kind is given to. `stop` stops a conversation and says whether anything ran there."""

    buttons: ButtonEndpoint
    command: CommandEndpoint | None
    hook: Callable[[RelayedHook], Awaitable[str]]
    stop: Callable[[SessionKey], bool]


@define(eq=False)
class RelayedRequests:
    """One account's."""

    services: AccountServices
    handlers: RelayedHandlers
    _queue: KeyedSerialQueue[tuple[RelayedRow, RelayedRequest]]
    _limiter: trio.CapacityLimiter = field(init=False, factory=lambda: trio.CapacityLimiter(AT_ONCE))
    # Rows that are queued or being handled.
    _known: set[str] = field(init=False, factory=set)
    _is_failing: bool = field(init=False, default=False)

    async def run(self, wakeup: Wakeup) -> NoReturn:
        """Take rows in the order in which they came; those of one person one after the other."""
        while True:
            await wakeup.wait()
            try:
                # Without those that are known: hooks that can't be handled yet would hide what comes after them.
                for row in await self.services.store.relayed.open_for(self.services.account, tuple(self._known)):
                    self._known.add(row.id)
                    await self._begin(row)
                self._is_failing = False
            except StoreUnusable:
                raise
            except StoreError as problem:
                if not self._is_failing:
                    log.warning("requests for the account can't be read", problem=str(problem))
                self._is_failing = True
            # Rows that could not be handled yet stay open, and wake this again.
            await trio.sleep(0.02)

    async def _begin(self, row: RelayedRow) -> None:
        try:
            request = decode_request(row.body)
        except ValueError as problem:
            log.error("a relayed request can't be read", account=row.account, kind=row.kind, problem=str(problem))
            await self._end(row, RelayedAnswer(None, 500, UNAVAILABLE))
            self._known.discard(row.id)
            return
        self._queue.put(order_key(request), (row, request))

    # Not `retry.retrying`: "not yet" is an answer of a handler, and no error.
    async def handle(self, row: RelayedRow, request: RelayedRequest) -> None:
        """Handle a row, again and again until it has ended. Those of the same person wait behind it."""
        pause, is_waiting = RETRY_SECONDS, False
        while True:
            try:
                async with self._limiter:
                    if await self._try(row, request):
                        self._known.discard(row.id)
                        return
            except StoreUnusable:
                raise
            except FenceRefused:
                return  # left to the process that serves the account by now
            except StoreError as problem:
                if not is_waiting:
                    log.warning("a relayed request waits for the journal", kind=row.kind, problem=str(problem))
                is_waiting = True
            await trio.sleep(pause)
            pause = min(2 * pause, LONGEST_RETRY)

    async def _try(self, row: RelayedRow, request: RelayedRequest) -> bool:
        """Whether the row has ended."""
        services = self.services
        if not await services.store.relayed.take(row.id):
            return True
        age = services.clock.now_ms() - row.created_at
        if age > STALE_MS:
            log.warning("a relayed request is too old", account=row.account, kind=row.kind)
            await self._end(row, RelayedAnswer(None, 503, STALE))
            return True
        answer = await self._answer(row, request)
        # 503 is "not yet"; other failures of the server are told to those who wait, and tried again for those who have
        # read that their request was received.
        is_passing = answer.status == 503 or (answer.status >= 500 and age > UNSEEN_MS)
        # What failed is the question to Mattermost about a token that is ours.
        is_passing = is_passing or (answer.status == 401 and self._has_our_token(request))
        if is_passing and age < (STALE_MS if isinstance(request, RelayedHook) else GIVE_UP_MS):
            return False
        is_late = await self._end(row, answer) or services.clock.now_ms() - row.created_at > UNSEEN_MS
        if is_late:
            await self._apply(row, request, answer)
        return True

    def _has_our_token(self, request: RelayedRequest) -> bool:
        if not isinstance(request, SlashCall) or self.handlers.command is None:
            return False
        return match_call(request, self.handlers.command.registered() or ()) is not None

    async def _answer(self, row: RelayedRow, request: RelayedRequest) -> RelayedAnswer:
        # Stays where a defect or the limit of time ends the work.
        answer = RelayedAnswer(None, 500, UNAVAILABLE)

        async def work() -> None:
            nonlocal answer
            try:
                with trio.move_on_after(HANDLE_SECONDS):
                    answer = RelayedAnswer(await self._call(request))
            except CallbackRefused as refusal:
                answer = RelayedAnswer(None, refusal.status_hint, refusal.reason)
            except MattermostError as problem:
                log.info("a relayed request failed", kind=row.kind, problem=str(problem))
                answer = RelayedAnswer(None, 503, UNAVAILABLE)

        await self.services.boundary.contain(work, "relayed request", {"kind": row.kind})
        return answer

    async def _call(self, request: RelayedRequest) -> Any:
        handlers = self.handlers
        match request:
            case SlashCall():
                if handlers.command is None:
                    raise CallbackRefused(404, "the account has no commands")
                return await handlers.command.call(request)
            case ButtonCallback():
                return dict(await handlers.buttons.click(request))
            case DialogAnswer():
                return dict(await handlers.buttons.dialog(request))
            case RelayedHook():
                return await handlers.hook(request)
            case StopSession():
                return handlers.stop(request.session)
            case _:
                assert_never(request)

    async def _end(self, row: RelayedRow, answer: RelayedAnswer) -> bool:
        services = self.services
        result = "refused" if answer.is_refused else "handled"
        services.metrics.relayed_handled.labels(row.account, row.kind, result).inc()
        return await services.store.relayed.end(row.id, answer.to_json(), services.clock.now_ms())

    async def _apply(self, row: RelayedRow, request: RelayedRequest, answer: RelayedAnswer) -> None:
        """Do what Mattermost would have done with an answer that nobody waits for any more."""
        log.info("a relayed request was handled late", account=row.account, kind=row.kind, status=answer.status)
        if answer.is_refused:
            log.warning("a relayed request was refused", account=row.account, kind=row.kind, why=answer.reason)
            return
        update = answer.value.get("update") if isinstance(answer.value, Mapping) else None
        if not isinstance(request, ButtonCallback) or not isinstance(update, Mapping):
            return
        try:
            await self.services.api.posts.patch(
                request.post_id, message=update.get("message"), props=update.get("props")
            )
        except MattermostError as problem:
            log.info("a post keeps its buttons", post=request.post_id, problem=str(problem))


@asynccontextmanager
async def open_relayed_requests(
    relay: Relay | None, services: AccountServices, handlers: RelayedHandlers
) -> AsyncIterator[None]:
    """Handle the account's requests from other processes for as long as the block runs; at its end those that have
    begun get as long as direct ones. Without a relay there are none.
    """
    if relay is None:
        yield
        return
    async with trio.open_nursery() as handling:

        async def handle(item: tuple[RelayedRow, RelayedRequest]) -> None:
            await requests.handle(*item)

        requests = RelayedRequests(services, handlers, KeyedSerialQueue(handling, handle))
        with relay.watch(services.account) as wakeup:
            async with trio.open_nursery() as taking:
                taking.start_soon(requests.run, wakeup)
                yield
                taking.cancel_scope.cancel()
        handling.cancel_scope.deadline = trio.current_time() + GRACE_SECONDS
