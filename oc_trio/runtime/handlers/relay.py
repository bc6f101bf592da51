"""Hands requests for accounts that this process does not serve to the one that does, through the journal.

Notices to all other processes take the same way: to read their configuration again, to look at the scheduled jobs.

    relay = Relay(store, clock, metrics, process)
    nursery.start_soon(relay.run)
    answer = await relay.ask(account, request, seconds=2.0)    # None: nobody answered in time, and the row stays
    relay.announce(NoticeKind.RELOAD)

Which endpoints ask is in `relay_endpoints`; who handles the rows is in `relayed_requests`.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

import trio
from attrs import field

from oc_trio.callbacks.reply import UNAVAILABLE
from oc_trio.classes import define
from oc_trio.core.relayed import (
    MAX_BODY,
    NoticeKind,
    RelayedAnswer,
    RelayedRequest,
    StopSession,
    encode_request,
    kind_of,
)
from oc_trio.errors import CallbackRefused, StoreError, StoreUnusable
from oc_trio.ids import AccountId, SessionKey
from oc_trio.runtime.clock import Clock
from oc_trio.store.notify import RELAYED, Notices
from oc_trio.store.relayed import ProcessNotice, RelayedRow
from oc_trio.store.store import Store
from oc_trio.telemetry.log import get_logger
from oc_trio.telemetry.metrics import Metrics
from oc_trio.wakeup import Wakeup

log = get_logger(part="relay")

# People wait, and the id by which a form is opened lives for 3 s by Mattermost's documentation; it is 30 s on a default
# server (tests/contract/README.md, Dialogs).
ANSWER_SECONDS = 2.0
# A journal that takes longer than that to hear that nobody waits counts as away.
GIVE_UP_SECONDS = 1.0
# How often the journal is read while somebody waits for an answer, and while nobody does; and where the database tells
# what is new, for what it may not have told.
LOOK_SECONDS, IDLE_LOOK_SECONDS = 0.1, 0.5
NOTIFIED_LOOK_SECONDS, NOTIFIED_IDLE_LOOK_SECONDS = 0.5, 5.0
# Several notices within such a time are one look.
PAUSE_SECONDS = 0.02
# Open rows of one account: as many requests as hundreds of people make while an account changes its process.
MAX_OPEN_ROWS = 500
# An operator waits, and a command that asks the gateway gives up after 5 s.
STOP_SECONDS = 3.0
# A notice of the last moments before the start is followed, too: it may be about a file that had been read by then.
# Clocks of machines differ.
FOLLOWED_MS = 10_000


@define(eq=False)
class _Caller:
    """Who waits for an answer."""

    answered: trio.Event = field(factory=trio.Event)
    answer: RelayedAnswer | None = None
    # Told to ask again: what has not been written by then shall not be.
    is_refused: bool = False


@define(eq=False)
class Relay:
    """One for the process, which is called `process`; `store` is the journal without any account's fence, `notices` are
    those of its database.
    """

    store: Store
    clock: Clock
    metrics: Metrics
    process: str
    notices: Notices = field(factory=Notices)
    # By the row's id, for as long as a caller waits; the guard of the public port bounds how many there are.
    _callers: dict[str, _Caller] = field(init=False, factory=dict)
    _handlers: dict[AccountId, Wakeup] = field(init=False, factory=dict)
    _followers: dict[str, Callable[[], object]] = field(init=False, factory=dict)
    # Those of the last look: a notice stays in the journal for an hour or two, and is followed once.
    _known_notices: frozenset[str] = field(init=False, default=frozenset())
    _to_announce: set[NoticeKind] = field(init=False, factory=set)
    # Requests that were refused while the journal did not answer. The oldest are forgotten: they are done, if at all.
    _to_withdraw: deque[str] = field(init=False, factory=lambda: deque(maxlen=MAX_OPEN_ROWS))
    _began_ms: int = field(init=False)
    _wakeup: Wakeup = field(init=False, factory=Wakeup)
    _is_failing: bool = field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        self._began_ms = self.clock.now_ms()
        self.notices.follow(RELAYED, self.wake)

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
        # Known before its row is there: the answer may be read before `put` has returned.
        caller = self._callers[id_] = _Caller()
        try:
            with trio.move_on_after(seconds):
                if not await self.store.relayed.put(row, MAX_OPEN_ROWS, is_wanted=lambda: not caller.is_refused):
                    self._count(kind, "refused")
                    log.warning("too many requests wait for a process that serves the account", account=account)
                    raise CallbackRefused(503, UNAVAILABLE)
                self.wake(account)
                await caller.answered.wait()
            answer = caller.answer or await self._give_up(id_, withdraw=withdraw)
        except CallbackRefused:
            caller.is_refused = True
            raise
        finally:
            del self._callers[id_]
        self._count(kind, "unanswered" if answer is None else "refused" if answer.is_refused else "answered")
        if answer is None:
            log.info("nobody has answered yet for an account", account=account, kind=kind, withdrawn=withdraw)
        return answer

    def announce(self, kind: NoticeKind) -> None:
        """Let all other processes have a notice, as soon as the journal takes it. Never waits."""
        self._to_announce.add(kind)
        self._wakeup.set()

    def follow(self, kind: NoticeKind, act: Callable[[], object]) -> None:
        """Call `act`, which never waits, at each notice of that kind from another process."""
        self._followers[kind.value] = act

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
        # Requests may be there from before.
        wakeup.set()
        try:
            yield wakeup
        finally:
            # A new run of the account may have put its own in the place by now.
            if self._handlers.get(account) is wakeup:
                del self._handlers[account]

    async def run(self) -> NoReturn:
        """Read answers for those who wait, wake accounts that have requests, write notices and follow them."""
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
            await trio.sleep(PAUSE_SECONDS)
            with trio.move_on_after(self._seconds_to_next_look()):
                await self._wakeup.wait()

    def _seconds_to_next_look(self) -> float:
        if self.notices.is_listening:
            return NOTIFIED_LOOK_SECONDS if self._callers else NOTIFIED_IDLE_LOOK_SECONDS
        return LOOK_SECONDS if self._callers else IDLE_LOOK_SECONDS

    async def _look(self) -> None:
        await self._withdraw()
        if self._callers:
            for id_, text in (await self.store.relayed.answers(tuple(self._callers))).items():
                caller = self._callers.get(id_)
                if caller is not None and text:
                    caller.answer = _read(text)
                    caller.answered.set()
        for kind in sorted(self._to_announce, key=lambda each: each.value):
            # Before the write: what is announced during it may be more than others have read by then.
            self._to_announce.discard(kind)
            try:
                await self.store.relayed.announce(self.clock.new_id(), kind.value, self.process, self.clock.now_ms())
            except StoreError:
                self._to_announce.add(kind)  # for the next look
                raise
        accounts, notices = await self.store.relayed.look()
        for account in accounts:
            if account in self._handlers:
                self._handlers[account].set()
        self._follow(notices)

    def _follow(self, notices: tuple[ProcessNotice, ...]) -> None:
        for notice in reversed(notices):
            is_new = notice.id not in self._known_notices and notice.created_at > self._began_ms - FOLLOWED_MS
            if is_new and notice.process != self.process and notice.kind in self._followers:
                log.info("a notice of another process", kind=notice.kind, process=notice.process)
                self._followers[notice.kind]()
        self._known_notices = frozenset(notice.id for notice in notices)

    async def _give_up(self, id_: str, *, withdraw: bool) -> RelayedAnswer | None:
        try:
            with trio.fail_after(GIVE_UP_SECONDS):
                text = await self.store.relayed.give_up(id_, self.clock.now_ms(), withdraw=withdraw)
        except (StoreError, KeyError, trio.TooSlowError) as problem:
            # Nobody shall read that a request was received which may be in no journal, and none be done that was
            # refused: its caller makes it again.
            self._to_withdraw.append(id_)
            raise CallbackRefused(503, UNAVAILABLE) from problem
        return _read(text) if text else None

    async def _withdraw(self) -> None:
        while self._to_withdraw:
            # Where there is no such row, it was not written, and no later: writes keep their order.
            with suppress(KeyError):
                await self.store.relayed.give_up(self._to_withdraw[0], self.clock.now_ms(), withdraw=True)
            self._to_withdraw.popleft()

    def _count(self, kind: str, result: str) -> None:
        self.metrics.relayed.labels(kind, result).inc()


async def stop_elsewhere(relay: Relay, session: SessionKey, account: AccountId | None) -> bool | None:
    """Stop a conversation that another process serves: whether anything ran or waited; None where nobody answered,
    and nothing will be stopped. Without `account` it is the one that the journal names. Raises StoreError.
    """
    if account is None:
        row = await relay.store.sessions.get(session)
        if row is None:
            return False
        account = row.account
    answer = await relay.ask(account, StopSession(session), seconds=STOP_SECONDS, withdraw=True)
    return None if answer is None or answer.is_refused else answer.value is True


def _read(text: str) -> RelayedAnswer:
    try:
        return RelayedAnswer.from_json(text)
    except (ValueError, TypeError):
        return RelayedAnswer(None, 500, UNAVAILABLE)
