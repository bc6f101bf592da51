"""Hands requests for accounts that this process does not serve to the one that does, through the journal.

    relay = Relay(store, clock, metrics, process)
    nursery.start_soon(relay.run)
    answer = await relay.ask(account, request, seconds=2.0)    # None: nobody answered in time, and the row stays

Which endpoints ask is in `relay_endpoints`; who handles the rows is in `relayed_requests`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import trio
from attrs import define, field

from oc_trio.callbacks.app import UNAVAILABLE
from oc_trio.core.relayed import MAX_BODY, RelayedAnswer, RelayedRequest, encode_request, kind_of
from oc_trio.errors import CallbackRefused, StoreError, StoreUnusable
from oc_trio.ids import AccountId
from oc_trio.runtime.clock import Clock
from oc_trio.store.relayed import RelayedRow
from oc_trio.store.store import Store
from oc_trio.telemetry.log import get_logger
from oc_trio.telemetry.metrics import Metrics
from oc_trio.wakeup import Wakeup

log = get_logger(part="relay")

# People wait, and the id by which a form is opened lives for 3 s.
ANSWER_SECONDS = 2.0
# How often the journal is read while somebody waits for an answer, and while nobody does.
LOOK_SECONDS, IDLE_LOOK_SECONDS = 0.1, 0.5
# Open rows of one account: as many requests as hundreds of people make while an account changes its process.
MAX_OPEN_ROWS = 500


@define(eq=False)
class _Caller:
    """Who waits for an answer."""

    answered: trio.Event = field(factory=trio.Event)
    answer: RelayedAnswer | None = None


@define(eq=False)
class Relay:
    """One for the process, which is called `process`; `store` is the journal without any account's fence."""

    store: Store
    clock: Clock
    metrics: Metrics
    process: str
    _callers: dict[str, _Caller] = field(init=False, factory=dict)
    _handlers: dict[AccountId, Wakeup] = field(init=False, factory=dict)
    _wakeup: Wakeup = field(init=False, factory=Wakeup)
    _is_failing: bool = field(init=False, default=False)

    async def ask(
        self, account: AccountId, request: RelayedRequest, *, seconds: float = ANSWER_SECONDS, withdraw: bool = False
    ) -> RelayedAnswer | None:
        """What the process that serves `account` answers; None where it has not answered within `seconds`.

        The request stays then and is handled later, unless `withdraw` is set and nobody has begun with it. Raises
        CallbackRefused where too much waits already, and StoreError: nothing was written.
        """
        kind = kind_of(request).value
        id_, body = self.clock.new_id(), encode_request(request)
        if len(body) > MAX_BODY:
            raise CallbackRefused(413, "too_large")
        row = RelayedRow(id_, account, kind, body, self.process, self.clock.now_ms())
        caller = self._callers[id_] = _Caller()
        try:
            with trio.move_on_after(seconds):
                if not await self.store.relayed.put(row, MAX_OPEN_ROWS):
                    self._count(kind, "refused")
                    log.warning("too many requests wait for a process that serves the account", account=account)
                    raise CallbackRefused(503, UNAVAILABLE)
                self.wake(account)
                await caller.answered.wait()
            answer = caller.answer or await self._give_up(id_, withdraw=withdraw)
        finally:
            del self._callers[id_]
        self._count(kind, "unanswered" if answer is None else "refused" if answer.is_refused else "answered")
        if answer is None:
            log.info("nobody has answered yet for an account", account=account, kind=kind, withdrawn=withdraw)
        return answer

    def wake(self, account: AccountId | None = None) -> None:
        """Look at the journal now; also have `account` look for requests, if this process serves it by now."""
        if account is not None and account in self._handlers:
            self._handlers[account].set()
        self._wakeup.set()

    @contextmanager
    def watch(self, account: AccountId) -> Iterator[Wakeup]:
        """What is set whenever `account` may have requests to handle, for as long as the block runs."""
        wakeup = Wakeup()
        self._handlers[account] = wakeup
        wakeup.set()
        try:
            yield wakeup
        finally:
            if self._handlers.get(account) is wakeup:
                del self._handlers[account]

    async def run(self) -> NoReturn:
        """Read answers for those who wait, and wake accounts that have requests."""
        while True:
            try:
                await self._look()
                self._is_failing = False
            except StoreUnusable:
                raise
            except StoreError as problem:
                if not self._is_failing:
                    log.warning("relayed requests can't be read", problem=str(problem))
                self._is_failing = True
            # Several wake-ups within one pause are one look.
            await trio.sleep(LOOK_SECONDS / 5)
            with trio.move_on_after(LOOK_SECONDS if self._callers else IDLE_LOOK_SECONDS):
                await self._wakeup.wait()

    async def _look(self) -> None:
        if self._callers:
            for id_, text in (await self.store.relayed.answers(tuple(self._callers))).items():
                caller = self._callers.get(id_)
                if caller is not None and text:
                    caller.answer = _read(text)
                    caller.answered.set()
        if self._handlers:
            for account in await self.store.relayed.accounts():
                if account in self._handlers:
                    self._handlers[account].set()

    async def _give_up(self, id_: str, *, withdraw: bool) -> RelayedAnswer | None:
        try:
            text = await self.store.relayed.give_up(id_, self.clock.now_ms(), withdraw=withdraw)
        except (StoreError, KeyError) as problem:
            # Nobody shall read that a request was received which may be in no journal.
            raise CallbackRefused(503, UNAVAILABLE) from problem
        return _read(text) if text else None

    def _count(self, kind: str, result: str) -> None:
        self.metrics.relayed.labels(kind, result).inc()


def _read(text: str) -> RelayedAnswer:
    try:
        return RelayedAnswer.from_json(text)
    except (ValueError, TypeError):
        return RelayedAnswer(None, 500, UNAVAILABLE)
