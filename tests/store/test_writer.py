import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio
import trio.testing

from oc_trio.errors import StoreError
from oc_trio.store.engine import Result, Tx
from oc_trio.store.sqlite import SqliteDriver
from oc_trio.store.writer import MAX_BATCH, MAX_PENDING, open_writer


class Recording(SqliteDriver):
    """SQLite that keeps what it was told, and stops at a gate before each commit."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.said: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.waits = threading.Event()

    def execute(self, sql: str, params: Sequence[object] = ()) -> Result:
        self.said.append(sql.split()[0])
        if sql == "COMMIT":
            self.waits.set()
            self.gate.wait()
        return super().execute(sql, params)


@pytest.fixture
def driver(tmp_path: Path) -> Recording:
    with sqlite3.connect(tmp_path / "j") as connection:
        connection.execute("CREATE TABLE t (n INTEGER PRIMARY KEY)")
    connection.close()
    return Recording(tmp_path / "j")


def insert(tx: Tx, number: int) -> int:
    return tx.run("INSERT INTO t (n) VALUES (?)", number)


def written_numbers(driver: Recording) -> list[int]:
    """What a process that starts now would find."""
    connection = sqlite3.connect(driver._path or "")
    rows = connection.execute("SELECT n FROM t ORDER BY n").fetchall()
    connection.close()
    return [row[0] for row in rows]


async def hold(driver: Recording) -> None:
    """Wait until the writer stands before a commit."""
    await trio.to_thread.run_sync(driver.waits.wait)
    driver.waits.clear()


async def test_what_returned_is_durable(driver: Recording) -> None:
    """Another connection sees a write as soon as the await has returned."""
    async with open_writer(driver) as engine:
        for number in range(5):
            await engine.run(lambda tx, number=number: insert(tx, number))  # type: ignore[misc]
            assert written_numbers(driver) == list(range(number + 1))


async def test_waiting_writes_share_a_commit(driver: Recording) -> None:
    """What queues up behind a commit goes into the next one."""
    driver.gate.clear()
    async with open_writer(driver) as engine, trio.open_nursery() as nursery:
        nursery.start_soon(engine.run, lambda tx: insert(tx, 0))
        await hold(driver)
        for number in range(1, 21):
            nursery.start_soon(engine.run, lambda tx, number=number: insert(tx, number))
        await trio.testing.wait_all_tasks_blocked()
        driver.gate.set()

    assert written_numbers(driver) == list(range(21))
    assert driver.said.count("COMMIT") == 2
    assert driver.said.count("SAVEPOINT") == 0


async def test_a_batch_is_bounded(driver: Recording) -> None:
    """One failing commit can't take more than a batch with it."""
    driver.gate.clear()
    async with open_writer(driver) as engine, trio.open_nursery() as nursery:
        nursery.start_soon(engine.run, lambda tx: insert(tx, 0))
        await hold(driver)
        for number in range(1, MAX_BATCH + 2):
            nursery.start_soon(engine.run, lambda tx, number=number: insert(tx, number))
        await trio.testing.wait_all_tasks_blocked()
        driver.gate.set()

    assert driver.said.count("COMMIT") == 3


async def test_cancelling_cancels_the_wait_and_not_the_write(driver: Recording) -> None:
    """A caller that is cancelled while its transaction is on the way leaves the transaction whole."""
    driver.gate.clear()
    async with open_writer(driver) as engine:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(engine.run, lambda tx: insert(tx, 1))
            await hold(driver)
            nursery.start_soon(engine.run, lambda tx: insert(tx, 2))
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        driver.gate.set()

        assert await engine.run(lambda tx: tx.value("SELECT COUNT(*) FROM t")) == 2
    assert written_numbers(driver) == [1, 2]


async def test_a_cancelled_caller_hands_nothing_in(driver: Recording) -> None:
    """Cancelled before the call, the transaction never happens."""
    async with open_writer(driver) as engine:
        with trio.CancelScope() as scope:
            scope.cancel()
            await engine.run(lambda tx: insert(tx, 1))
        assert await engine.run(lambda tx: tx.value("SELECT COUNT(*) FROM t")) == 0


async def test_what_is_given_up_never_begins(driver: Recording, mock_clock: trio.testing.MockClock) -> None:
    """Behind a commit that takes long; what is in that commit is waited for."""
    driver.gate.clear()
    said: list[str] = []

    async def write(number: int) -> None:
        try:
            await engine.run_soon(lambda tx: insert(tx, number), 10)
            said.append(f"{number} written")
        except StoreError as problem:
            said.append(f"{number}: {problem}")

    async with open_writer(driver) as engine, trio.open_nursery() as nursery:
        nursery.start_soon(write, 1)
        await hold(driver)
        nursery.start_soon(write, 2)
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(10)
        await trio.testing.wait_all_tasks_blocked()
        assert said == ["2: the journal did not begin within 10 s"]
        driver.gate.set()

    assert said[1:] == ["1 written"]
    assert written_numbers(driver) == [1]


async def test_leaving_writes_what_was_handed_in(driver: Recording) -> None:
    """A shutdown that cancels everybody loses nothing that was on its way."""
    driver.gate.clear()
    with trio.CancelScope() as scope:
        async with open_writer(driver) as engine, trio.open_nursery() as nursery:
            for number in range(3):
                nursery.start_soon(engine.run, lambda tx, number=number: insert(tx, number))
            await hold(driver)
            scope.cancel()
            driver.gate.set()

    assert written_numbers(driver) == [0, 1, 2]


async def test_room_is_bounded_and_the_overflow_waits(driver: Recording) -> None:
    """Beyond the bound callers wait outside the queue, and nothing is refused or lost."""
    driver.gate.clear()
    surplus = MAX_PENDING + 5
    async with open_writer(driver) as engine, trio.open_nursery() as nursery:
        for number in range(surplus):
            nursery.start_soon(engine.run, lambda tx, number=number: insert(tx, number))
        await trio.testing.wait_all_tasks_blocked()
        assert len(engine._pending) == MAX_PENDING
        driver.gate.set()
    assert len(written_numbers(driver)) == surplus


async def test_a_closed_store_says_so(driver: Recording) -> None:
    """A late caller gets an error instead of waiting for ever."""
    async with open_writer(driver) as engine:
        pass

    with pytest.raises(StoreError, match="closed"):
        await engine.run(lambda tx: insert(tx, 1))


async def test_a_fault_of_the_writer_fails_those_who_wait(tmp_path: Path) -> None:
    """A programming error in the driver ends the thread, fails the callers, and is raised on leaving."""

    class Faulty(SqliteDriver):
        def begin(self) -> None:
            raise ZeroDivisionError

    async def wait_for_it() -> None:
        async with open_writer(Faulty(tmp_path / "j")) as engine:
            for _ in range(2):
                with pytest.raises(StoreError):
                    await engine.run(lambda tx: tx.value("SELECT 1"))

    with pytest.raises(ZeroDivisionError):
        await wait_for_it()


async def test_errors_of_the_block_come_out_as_they_are(driver: Recording) -> None:
    """No exception group is put around what the caller raises."""
    with pytest.raises(StoreError, match="mine"):
        async with open_writer(driver):
            raise StoreError("mine")


async def test_errors_of_the_database_are_translated(driver: Recording) -> None:
    """A caller sees StoreError with the database's words, in and outside of transactions."""

    def outside() -> None:
        raise sqlite3.OperationalError("disk I/O error")

    async with open_writer(driver) as engine:
        with pytest.raises(StoreError, match="no such table: nowhere"):
            await engine.run(lambda tx: tx.all("SELECT * FROM nowhere"))
        with pytest.raises(StoreError, match="disk I/O error"):
            await engine.run_unlocked(outside)
