"""Admissions per second and CPU per admission, on SQLite and, where its server is installed, PostgreSQL.

    python scripts/bench/store.py [--count N] [--directory DIR]

Prints one line of JSON. `rate` is admissions per second with 1 and with 20 tasks that each wait for durability;
`cpu_ms` is this process's CPU time per admission, threads included, PostgreSQL's own processes not. Both databases
sync every commit to disk, so the directory's disk is what is measured. `postgres_fenced` is the same for the holder of
a lease, whose writes are checked; `renewal` is one renewal of 20 leases, which a process makes every two seconds.
"""

import argparse
import itertools
import json
import os
import platform
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import trio

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from oc_trio.core.ledger import Source
from oc_trio.core.membership import ProcessInfo
from oc_trio.ids import AccountId, ChannelId, SessionKey, UserId
from oc_trio.lease import Fence
from oc_trio.store.admission import ADMIT, Admission
from oc_trio.store.leases import open_leases
from oc_trio.store.store import Store, open_store
from tests.store.cluster import binaries, open_cluster

ACCOUNT = AccountId("default")
ME = ProcessInfo("bench", "bench", 1, "0", 0)
TASKS = (1, 20)
RENEWALS = 200
SYNCS = 500
PAYLOAD = json.dumps({"message": "x" * 260})


def admission(task: int, number: int) -> Admission:
    return Admission(
        account=ACCOUNT,
        trigger=f"{task:04}{number:022}",
        channel_id=ChannelId(f"channel{task}"),
        user_id=UserId("anna"),
        root_id="",
        create_at=number,
        source=Source.LIVE,
        decision=ADMIT,
        reason="mentioned",
        session=SessionKey(f"mattermost:channel{task}"),
        payload=PAYLOAD,
        at=number,
    )


async def admit(store: Store, task: int, count: int) -> None:
    for number in range(count):
        await store.admission.admit(admission(task, number))


async def measure(
    location: str | sqlite3.Connection, tasks: int, count: int, is_fenced: bool = False
) -> dict[str, float]:
    async with open_store(location) as journal:
        store = journal
        if is_fenced:
            epoch = await journal.leases.acquire(ACCOUNT, ME.id, 0)
            store = journal.fenced(Fence(ACCOUNT, ME.id, epoch or 0))
        await admit(store, 9999, 50)  # statements prepared, pages allocated
        wall, cpu = time.perf_counter(), time.process_time()
        async with trio.open_nursery() as nursery:
            for task in range(tasks):
                nursery.start_soon(admit, store, task, count // tasks)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    done = count // tasks * tasks
    return {"rate": round(done / wall), "cpu_ms": round(cpu / done * 1000, 3)}


async def measure_renewals(url: str) -> dict[str, float]:
    async with open_store(url), open_leases(url) as leases:
        held = {AccountId(f"account{number}"): 1 for number in range(20)}
        for account in held:
            await leases.acquire(account, ME.id, 0)
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(RENEWALS):
            await leases.beat(ME, held)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"ms": round(wall / RENEWALS * 1000, 2), "cpu_ms": round(cpu / RENEWALS * 1000, 3)}


@contextmanager
def postgres_places() -> Iterator[Iterator[str]]:
    programs = binaries()
    assert programs is not None
    with open_cluster(programs) as cluster:
        yield (cluster.new_schema() for _ in itertools.count())


def disk_syncs(directory: Path) -> int:
    """Synced writes of 4 KiB per second, one after the other: the ceiling of one task, and a measure of the machine."""
    descriptor = os.open(directory / "syncs", os.O_CREAT | os.O_WRONLY, 0o600)
    began = time.perf_counter()
    for _ in range(SYNCS):
        os.pwrite(descriptor, b"x" * 4096, 0)
        os.fdatasync(descriptor)
    spent = time.perf_counter() - began
    os.close(descriptor)
    return round(SYNCS / spent)


def run_all(directory: Path, count: int) -> dict[str, object]:
    result: dict[str, object] = {
        "bench": "store",
        "python": platform.python_version(),
        "sqlite_version": sqlite3.sqlite_version,
        "admissions": count,
        "disk_syncs": disk_syncs(directory),
    }
    result["sqlite"] = {f"tasks_{n}": trio.run(measure, str(directory / f"journal-{n}"), n, count) for n in TASKS}
    with closing(sqlite3.connect(":memory:")) as connection:
        result["inline"] = {"tasks_1": trio.run(measure, connection, 1, count)}
    if binaries() is None:
        result["postgres"] = None
    else:
        with postgres_places() as urls:
            result["postgres"] = {f"tasks_{n}": trio.run(measure, url, n, count) for n, url in zip(TASKS, urls)}
            result["postgres_fenced"] = {
                f"tasks_{n}": trio.run(measure, url, n, count, True) for n, url in zip(TASKS, urls)
            }
            result["renewal"] = trio.run(measure_renewals, next(urls))
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description="Admissions per second, and CPU per admission.")
    parser.add_argument("--count", type=int, default=5000, help="admissions per measurement")
    parser.add_argument("--directory", type=Path, default=None, help="where the SQLite file goes; a temporary one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        print(json.dumps(run_all(Path(name), options.count)))


if __name__ == "__main__":
    main()
