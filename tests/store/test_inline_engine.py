import sqlite3
from contextlib import closing

import pytest
import trio
from trio.testing import MockClock

from oc_trio.errors import StoreError
from oc_trio.store.inline_engine import InlineEngine
from oc_trio.store.store import open_store
from tests.store.rows import ACCOUNT, admission


async def test_a_crash_loses_nothing_that_was_acknowledged() -> None:
    """A store abandoned at any await is opened again on the same connection with all it had."""
    with closing(sqlite3.connect(":memory:")) as connection:
        with trio.CancelScope() as crash:
            async with open_store(connection) as store:
                await store.admission.admit(admission("p1"))
                crash.cancel()
                await store.admission.admit(admission("p2"))

        async with open_store(connection) as store:
            assert [item.trigger for item in await store.obligations.open_for(ACCOUNT)] == ["p1"]


async def test_a_transaction_left_open_is_undone() -> None:
    """What a crash interrupted in the middle never happened."""
    with closing(sqlite3.connect(":memory:")) as connection:
        async with open_store(connection):
            connection.execute("BEGIN")
            connection.execute("INSERT INTO cron VALUES ('half', 1, '')")
        async with open_store(connection) as store:
            assert await store.cron.last_run("half") is None


async def test_no_threads_and_no_time(autojump_clock: MockClock) -> None:
    """A thousand writes under a mock clock take no time at all."""
    with closing(sqlite3.connect(":memory:")) as connection:
        with trio.fail_after(0.001):
            async with open_store(connection) as store:
                for number in range(1000):
                    await store.cron.record_run("job", number)


async def test_a_cancelled_caller_writes_nothing() -> None:
    """Cancelled before the call, the transaction never happens."""
    with closing(sqlite3.connect(":memory:")) as connection:
        async with open_store(connection) as store:
            with trio.CancelScope() as scope:
                scope.cancel()
                await store.cron.record_run("job", 1)
            assert await store.cron.last_run("job") is None


async def test_errors_are_translated() -> None:
    """The same errors come out as with the writer thread."""
    with closing(sqlite3.connect(":memory:")) as connection:
        engine = InlineEngine(connection)
        with pytest.raises(StoreError, match="no such table"):
            await engine.run(lambda tx: tx.all("SELECT * FROM nowhere"))

    with pytest.raises(StoreError, match="closed"):
        await engine.run_unlocked(engine.driver.check)
