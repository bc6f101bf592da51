"""The restart rule of one account: how long it pauses, by whose fault it failed, and what the log says."""

from pathlib import Path

import pytest
import trio
import trio.testing

from oc_trio.config.document import Document
from oc_trio.config.load import build
from oc_trio.errors import RowRefused, StoreError
from oc_trio.lease import Lease
from oc_trio.runtime.clock import Clock
from oc_trio.runtime.drain import Drain
from oc_trio.runtime.process.reload import plans
from oc_trio.runtime.process.supervisor import JOURNAL_RESTART, RESTART, AccountPlan, AccountSupervisor
from oc_trio.telemetry.health import Health
from oc_trio.telemetry.metrics import Metrics
from tests.logbook import Logbook


def a_plan(state: Path) -> AccountPlan:
    account = {"baseUrl": "https://chat.example.com", "botToken": "t", "groupPolicy": "open"}
    loaded = build(Document({"channels": {"mattermost": account}}), {"HOME": str(state)})
    (plan,) = plans(loaded).values()
    return plan


async def failures(problem: Exception, plan: AccountPlan, seconds: float, line: str, logbook: Logbook) -> list[float]:
    """The pauses of an account that does nothing but fail, as its log has them."""

    async def serve(_plan: AccountPlan, _drain: Drain, _lease: Lease) -> None:
        await trio.lowlevel.checkpoint()
        raise problem

    async with trio.open_nursery() as nursery:
        AccountSupervisor(nursery, serve, Clock(), Health(lambda: 0), Metrics()).start(plan, drain_seconds=1.0)
        await trio.sleep(seconds)
        nursery.cancel_scope.cancel()
    return [line["seconds"] for line in logbook.said(line)]


JOURNAL = StoreError("sqlite: database or disk is full")
REFUSED = RowRefused("sqlite refuses what a row would hold")
BUG = ZeroDivisionError("a bug")
SOON, LATE = JOURNAL_RESTART.maximum, RESTART.maximum
FULL, MISTAKE = "the journal failed; starting the account again", "account failed; starting it again"
CAUSES = [
    pytest.param(JOURNAL, SOON, FULL, id="journal"),
    pytest.param(ExceptionGroup("", [JOURNAL, ExceptionGroup("", [JOURNAL])]), SOON, FULL, id="tasks"),
    pytest.param(ExceptionGroup("", [JOURNAL, BUG]), LATE, MISTAKE, id="a defect as well"),
    pytest.param(BUG, LATE, MISTAKE, id="a defect"),
    pytest.param(REFUSED, LATE, MISTAKE, id="a row that the journal refuses"),
    pytest.param(ExceptionGroup("", [JOURNAL, REFUSED]), LATE, MISTAKE, id="such a row and the journal"),
]


@pytest.mark.parametrize(("problem", "longest", "line"), CAUSES)
async def test_how_long_it_pauses(
    problem: Exception,
    longest: float,
    line: str,
    tmp_path: Path,
    autojump_clock: trio.testing.MockClock,
    logbook: Logbook,
) -> None:
    """Pauses grow; once the disk has room again, or the database is back, nobody waits for minutes."""
    pauses = await failures(problem, a_plan(tmp_path), 3600.0, line, logbook)
    assert pauses[0] < 5
    assert longest / 2 < max(pauses) <= longest * 1.5
