"""The journal's keeper: retention once an hour, and a look every few seconds at whether it answers."""

import sqlite3
from collections.abc import AsyncGenerator, Callable
from typing import Any, TypeVar, cast

import pytest
import trio
import trio.testing
from attrs import define, evolve, field

from oc_trio.config.accounts import Account
from oc_trio.config.gateway import StoreSettings
from oc_trio.config.mattermost import CatchupSettings
from oc_trio.core.ledger import cancelled
from oc_trio.errors import StoreError
from oc_trio.runtime.process.journal_maintenance import (
    CHECK_SECONDS,
    GIVE_UP_SECONDS,
    PRUNE_SECONDS,
    catchup_reach_ms,
    run_pruning,
    watch_journal,
)
from oc_trio.store.engine import Tx
from oc_trio.store.resume import Resume
from oc_trio.store.store import Store, open_store
from oc_trio.telemetry.health import Health
from oc_trio.telemetry.metrics import Metrics
from tests.logbook import Logbook
from tests.store.rows import admission

T = TypeVar("T")
Clock = trio.testing.MockClock


@pytest.fixture
async def store() -> AsyncGenerator[Store, None]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    async with open_store(connection) as opened:
        yield opened
    connection.close()


@define(eq=False)
class FlakyEngine:
    """An engine that fails or hangs when told to."""

    inner: Any
    mood: str = "well"
    checks: int = field(default=0)

    async def run(self, work: Callable[[Tx], T]) -> T:
        self.checks += 1
        if self.mood == "fails":
            await trio.lowlevel.checkpoint()
            raise StoreError("the disk is full")
        if self.mood == "hangs":
            await trio.sleep_forever()
        return cast("T", await self.inner.run(work))


def flaky_store(store: Store) -> tuple[Store, FlakyEngine]:
    engine = FlakyEngine(store._engine)
    return evolve(store, resume=Resume(cast("Any", engine)), engine=cast("Any", engine)), engine


async def test_what_is_beyond_retention_goes_once_an_hour(
    nursery: trio.Nursery, autojump_clock: Clock, store: Store
) -> None:
    """At the start, and as long as the gateway serves."""
    settings = StoreSettings()
    old = admission("old", decision="ignore", session=None, at=1)
    later = round(settings.retention * 1000) + 10_000
    await store.admission.admit(old)
    nursery.start_soon(run_pruning, store, settings, lambda: later + round(trio.current_time()), lambda: 0)
    await trio.sleep(1)
    assert await store.admission.seen(old.account, ["old"]) == frozenset()
    await store.admission.admit(old)
    await trio.sleep(PRUNE_SECONDS - 10)
    assert await store.admission.seen(old.account, ["old"]) == {"old"}
    await trio.sleep(20)
    assert await store.admission.seen(old.account, ["old"]) == frozenset()
    nursery.cancel_scope.cancel()


async def test_a_message_that_catch_up_can_read_again_stays_known(
    nursery: trio.Nursery, autojump_clock: Clock, store: Store
) -> None:
    """Even if rows are kept for a shorter time: else it would be answered a second time."""
    settings, old = StoreSettings(retention=86_400.0), admission("old", at=1)
    account = Account(catchup=CatchupSettings(max_age=20 * 86_400.0))
    await store.admission.admit(old)
    ended = await store.obligations.open_for(old.account)
    await store.obligations.close([ended[0].id], cancelled("by a test"), 1)
    now = [15 * 86_400_000]
    nursery.start_soon(run_pruning, store, settings, lambda: now[0], lambda: catchup_reach_ms([account]))
    await trio.sleep(1)
    assert await store.obligations.get(ended[0].id) is None
    assert (await store.admission.admit(old)).fresh is False
    now[0] = 22 * 86_400_000
    await trio.sleep(PRUNE_SECONDS)
    assert await store.admission.seen(old.account, ["old"]) == frozenset()
    nursery.cancel_scope.cancel()


async def test_a_journal_that_can_not_be_pruned_is_tried_again(
    nursery: trio.Nursery, autojump_clock: Clock, store: Store, logbook: Logbook
) -> None:
    """A full disk is logged, and pruning is tried again later."""
    broken, engine = flaky_store(store)
    engine.mood = "fails"
    nursery.start_soon(run_pruning, broken, StoreSettings(), lambda: 10**13, lambda: 0)
    await trio.sleep(1.5 * PRUNE_SECONDS)
    assert [line["problem"] for line in logbook.find("could not prune")] == ["the disk is full"] * 2
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("mood", ["fails", "hangs"])
async def test_a_journal_that_stops_answering_is_noticed(
    nursery: trio.Nursery, autojump_clock: Clock, store: Store, logbook: Logbook, mood: str
) -> None:
    """In good time, but not at the first trouble; it is said once, and forgiven when it is over."""
    health = Health(lambda: 0)
    watched, engine = flaky_store(store)
    metrics = Metrics()
    nursery.start_soon(watch_journal, watched, health, metrics)
    await trio.sleep(10 * GIVE_UP_SECONDS)
    assert health.stuck_parts() == ()
    engine.mood = mood
    await trio.sleep(GIVE_UP_SECONDS / 2)
    assert health.stuck_parts() == ()
    await trio.sleep(GIVE_UP_SECONDS)
    assert health.stuck_parts() == ("journal",)
    assert len(logbook.find("the journal fails")) == (1 if mood == "fails" else 0)
    assert ("oc_trio_journal_up 0.0" in metrics.render().decode()) == (mood == "fails")
    if mood == "fails":
        engine.mood = "well"
        await trio.sleep(CHECK_SECONDS + 1)
        assert health.stuck_parts() == ()
    assert len(logbook.find("the journal answers again")) == (1 if mood == "fails" else 0)
    nursery.cancel_scope.cancel()
