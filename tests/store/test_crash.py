"""A process killed in the middle of its work: what it had acknowledged is there, and nothing is half done."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from oc_trio.store.store import open_store
from tests.store.rows import ACCOUNT, SESSION

# Admits from several tasks at once, each with its own channel, and prints a trigger only after its await returned.
ADMITTER = """
import sys, trio
from oc_trio.core.ledger import Source
from oc_trio.ids import AccountId, ChannelId, SessionKey, UserId
from oc_trio.store.admission import Admission
from oc_trio.store.store import open_store

async def admit(store, task):
    for number in range(10**9):
        trigger = f"p{task}-{number:09}"
        await store.admission.admit(Admission(
            AccountId("default"), trigger, ChannelId(f"c{task}"), UserId("anna"), "", number, Source.LIVE, "admit",
            "mentioned", SessionKey(f"s{task}"), '{"text": "%s"}' % ("x" * 300), number))
        print(trigger, flush=True)

async def main():
    async with open_store(sys.argv[1]) as store, trio.open_nursery() as nursery:
        for task in range(8):
            nursery.start_soon(admit, store, task)

trio.run(main)
"""


def run_and_kill(location: str, after: int) -> list[str]:
    """Kill the admitter once it has acknowledged `after` admissions; returns every line that it got out."""
    command = [sys.executable, "-c", ADMITTER, location]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(after)]
        process.kill()
        lines += process.stdout.readlines()
        assert process.wait() == -signal.SIGKILL
    # The last line may have been cut.
    return [line.strip() for line in lines if line.endswith("\n")]


async def check(location: str, acknowledged: list[str]) -> None:
    async with open_store(location) as store:
        owed = {item.trigger: item for item in await store.obligations.open_for(ACCOUNT)}
        missing = [trigger for trigger in acknowledged if trigger not in owed]
        assert missing == []
        # One transaction: an obligation has its seen row, and its channel's watermark is at the last of them.
        assert await store.admission.seen(ACCOUNT, owed) == set(owed)
        assert (await store.stats()).seen == len(owed)
        for mark in await store.watermarks.all(ACCOUNT):
            assert mark.post_id == max(name for name, item in owed.items() if item.channel_id == mark.channel_id)
        assert await store.integrity_check() == ()


@pytest.mark.e2e
@pytest.mark.parametrize("after", [1, 17, 400], ids=lambda after: f"after {after}")
async def test_every_acknowledged_admission_survives_sigkill(tmp_path: Path, after: int) -> None:
    """Twice in a row, on the same file: the lock is free again and the journal is whole."""
    location = str(tmp_path / "journal")
    first = run_and_kill(location, after)
    assert len(first) >= after
    await check(location, first)


@pytest.mark.e2e
async def test_a_second_process_goes_on_where_the_first_was_killed(tmp_path: Path) -> None:
    """What was admitted before is acknowledged again and not owed twice."""
    location = str(tmp_path / "journal")
    first = run_and_kill(location, 50)
    second = run_and_kill(location, len(first) + 50)

    assert set(first[:40]) <= set(second)
    await check(location, first + second)
    async with open_store(location) as store:
        assert {item.session for item in await store.obligations.open_for(ACCOUNT)} <= {f"s{n}" for n in range(8)}
        assert await store.sessions.get(SESSION) is None


@pytest.mark.e2e
@pytest.mark.postgres
async def test_postgres_keeps_every_acknowledged_admission(postgres_url: str) -> None:
    """The same on PostgreSQL, whose lock is free as soon as the server noticed."""
    await check(postgres_url, run_and_kill(postgres_url, 200))
