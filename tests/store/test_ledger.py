"""The ledger against a model of it: whatever is called in whatever order, and crashed in between."""

import sqlite3
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
import trio
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from oc_trio.core.ledger import (
    OUTBOX_MOVES,
    ObligationState,
    OutboxState,
    Outcome,
    Source,
    cancelled,
    delivered,
    failed,
    silent,
)
from oc_trio.errors import StoreError
from oc_trio.ids import ChannelId, ObligationId, OutboxId, TurnId
from oc_trio.store.admission import ADMIT, CONTEXT, DENY, IGNORE, obligation_id
from oc_trio.store.retention import Retention
from oc_trio.store.store import Store, open_store
from tests.store.rows import ACCOUNT, admission, outgoing, post, turn

pytestmark = pytest.mark.slow

T = TypeVar("T")

TRIGGERS = st.sampled_from([f"p{number}" for number in range(6)])
TURNS = st.sampled_from([TurnId(f"t{number}") for number in range(4)])
ROWS = st.sampled_from([OutboxId(f"o{number}") for number in range(3)])
CHANNELS = st.sampled_from([ChannelId("town"), ChannelId("lab")])
OUTCOMES = st.sampled_from([delivered(post("a1")), silent("nothing"), failed("down", post("n1")), cancelled("anna")])
KEEP_ALL = Retention(seen_rows=10**6, transcript_rows=10**6)


class Ledger(RuleBasedStateMachine):
    """The model: decisions per trigger, the end of each obligation, the greatest time per channel, row states."""

    def __init__(self) -> None:
        super().__init__()
        self.connection = sqlite3.connect(":memory:")
        self.now = 1
        self.decisions: dict[str, str] = {}
        self.ends: dict[str, Outcome | None] = {}
        self.bound: dict[str, TurnId] = {}
        self.unfinished: dict[TurnId, bool] = {}
        self.marks: dict[str, tuple[int, str]] = {}
        self.rows: dict[OutboxId, OutboxState] = {}

    def call(self, work: Callable[[Store], Awaitable[T]]) -> T:
        """Every step is a life of its own: the store is opened, used once and abandoned."""

        async def live() -> T:
            async with open_store(self.connection) as store:
                return await work(store)

        return trio.run(live)

    def tick(self) -> int:
        self.now += 1
        return self.now

    @rule(
        trigger=TRIGGERS,
        channel=CHANNELS,
        decision=st.sampled_from([ADMIT, CONTEXT, IGNORE, DENY]),
        source=st.sampled_from([Source.LIVE, Source.CATCHUP, Source.EDIT]),
        create_at=st.integers(1, 20),
    )
    def admit(self, trigger: str, channel: ChannelId, decision: str, source: Source, create_at: int) -> None:
        item = admission(
            trigger, channel_id=channel, decision=decision, source=source, create_at=create_at, at=self.tick()
        )
        before = self.decisions.get(trigger)
        admitted = self.call(lambda store: store.admission.admit(item))

        woken = source is Source.EDIT and decision == ADMIT and before in (CONTEXT, IGNORE)
        assert admitted.fresh is (before is None)
        assert (admitted.obligation is not None) is (decision == ADMIT and (before is None or woken))
        if before is None or woken:
            self.decisions[trigger] = decision
        if admitted.obligation is not None:
            assert trigger not in self.ends
            self.ends[trigger] = None
        self.marks[channel] = max(self.marks.get(channel, (0, "")), (create_at, trigger))

    @rule(name=TURNS, triggers=st.lists(TRIGGERS, min_size=1, max_size=3, unique=True))
    def begin(self, name: TurnId, triggers: list[str]) -> None:
        ids = [obligation_id(ACCOUNT, trigger) for trigger in triggers]
        at = self.tick()
        try:
            got = self.call(lambda store: store.turns.begin(turn(name), ids, at))
        except StoreError:
            assert not self.unfinished[name]
            return
        owed = [trigger for trigger in triggers if trigger in self.ends and self.ends[trigger] is None]
        assert got == tuple(obligation_id(ACCOUNT, trigger) for trigger in owed)
        if owed:
            self.unfinished[name] = True
        losers = {self.bound[trigger] for trigger in owed if trigger in self.bound} - {name}
        self.bound.update(dict.fromkeys(owed, name))
        for loser in losers:
            if not self.owed_by(loser):
                self.unfinished[loser] = False

    def owed_by(self, name: TurnId) -> list[str]:
        return [trigger for trigger, end in self.ends.items() if end is None and self.bound.get(trigger) == name]

    @rule(name=TURNS, outcome=OUTCOMES)
    def end(self, name: TurnId, outcome: Outcome) -> None:
        at = self.tick()
        ended = self.call(lambda store: store.turns.end(name, outcome, at))
        mine = self.owed_by(name)
        assert ended == len(mine)
        if name in self.unfinished:
            self.unfinished[name] = False
        self.ends.update(dict.fromkeys(mine, outcome))

    @rule(triggers=st.lists(TRIGGERS, max_size=3, unique=True), outcome=OUTCOMES)
    def close(self, triggers: list[str], outcome: Outcome) -> None:
        ids = [obligation_id(ACCOUNT, trigger) for trigger in triggers]
        at = self.tick()
        moved = self.call(lambda store: store.obligations.close(ids, outcome, at))
        mine = [trigger for trigger in triggers if trigger in self.ends and self.ends[trigger] is None]
        assert moved == len(mine)
        self.ends.update(dict.fromkeys(mine, outcome))

    @rule(name=ROWS)
    def put(self, name: OutboxId) -> None:
        new = self.call(lambda store: store.outbox.put([outgoing(name)]))
        assert new == (name not in self.rows)
        self.rows.setdefault(name, OutboxState.QUEUED)

    @precondition(lambda self: self.rows)
    @rule(data=st.data(), to=st.sampled_from(list(OutboxState)))
    def move(self, data: st.DataObject, to: OutboxState) -> None:
        name = data.draw(st.sampled_from(sorted(self.rows)))
        at = self.tick()

        async def step(store: Store) -> bool:
            match to:
                case OutboxState.QUEUED:
                    return await store.outbox.requeue(name, "lost")
                case OutboxState.SENDING:
                    return await store.outbox.mark_sending(name, at)
                case OutboxState.CONFIRMED:
                    return await store.outbox.confirm(name, post(f"a-{name}"), at) is None
                case OutboxState.DEAD:
                    return await store.outbox.mark_dead(name, "gone", at)

        state = self.rows[name]
        try:
            moved = self.call(step)
        except StoreError:
            assert to is not state
            assert to not in OUTBOX_MOVES[state]
        else:
            assert moved is (to in OUTBOX_MOVES[state])
            assert moved or to is state
            self.rows[name] = to

    @rule()
    def prune_the_young(self) -> None:
        now = self.now
        assert self.call(lambda store: store.prune(now, KEEP_ALL)) == 0

    @rule()
    def crash_in_a_transaction(self) -> None:
        self.connection.execute("BEGIN")
        self.connection.execute("DELETE FROM schema_version")

    @invariant()
    def the_journal_is_the_model(self) -> None:
        async def read(store: Store) -> None:
            owed = await store.obligations.open_for(ACCOUNT)
            assert {item.trigger for item in owed} == {name for name, end in self.ends.items() if end is None}
            for trigger, end in self.ends.items():
                item = await store.obligations.get(ObligationId(obligation_id(ACCOUNT, trigger)))
                assert item is not None
                assert item.turn == self.bound.get(trigger)
                assert item.state is (end.state if end else ObligationState.OPEN)
                assert (item.outcome_posts, item.outcome_reason) == ((end.posts, end.reason) if end else ((), ""))
            marks = {mark.channel_id: (mark.create_at, mark.post_id) for mark in await store.watermarks.all(ACCOUNT)}
            assert marks == self.marks
            unfinished = {row.id: row.state for row in await store.outbox.unfinished(ACCOUNT)}
            assert unfinished == {name: state for name, state in self.rows.items() if OUTBOX_MOVES[state]}
            resumed = {item.id for item in await store.turns.unfinished(ACCOUNT)}
            assert resumed == {name for name, going in self.unfinished.items() if going}
            # What is owed by a turn is found by a restart, whatever happened to that turn before.
            assert {item.turn for item in owed if item.turn is not None} <= resumed

        self.call(read)

    def teardown(self) -> None:
        self.connection.close()


TestLedger = Ledger.TestCase
TestLedger.settings = settings(
    max_examples=100, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
