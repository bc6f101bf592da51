"""The restart rule of one account: how long it pauses, by whose fault it failed, and what the log says."""

from pathlib import Path

import pytest
import trio
import trio.testing

from oc_trio.config.document import Document
from oc_trio.config.load import build
from oc_trio.errors import FenceRefused, LeaseLost, RowRefused, StoreError
from oc_trio.lease import LEASE_SECONDS, MARGIN_SECONDS, Fence, Lease
from oc_trio.runtime.clock import Clock
from oc_trio.runtime.drain import Drain
from oc_trio.runtime.process.placement import plans
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
    return [line["seconds"] for line in logbook.find(line)]


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


CUT_OFF = [
    pytest.param(FenceRefused("another process serves the account"), id="a refused write"),
    pytest.param(ExceptionGroup("", [LeaseLost("lost"), StoreError("postgres: away")]), id="a refused request"),
]


@pytest.mark.parametrize("problem", CUT_OFF)
async def test_whoever_lost_the_lease_is_not_started_again(
    problem: Exception, tmp_path: Path, autojump_clock: trio.testing.MockClock, logbook: Logbook
) -> None:
    """It is no failure of the account; what clean-up meets on its way out is none either."""
    starts, plan = 0, a_plan(tmp_path)
    lease = Lease(Fence(plan.id, "p1", 1), trio.current_time)
    lease.renewed(trio.current_time())

    async def serve(_plan: AccountPlan, _drain: Drain, _lease: Lease) -> None:
        nonlocal starts
        starts += 1
        await trio.sleep(1)
        raise problem

    async def clean_up(_plan: AccountPlan, _drain: Drain, _lease: Lease) -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise StoreError("postgres: away")

    metrics = Metrics()
    async with trio.open_nursery() as nursery:
        ended = AccountSupervisor(nursery, serve, Clock(), Health(lambda: 0), metrics).start(
            plan, drain_seconds=1.0, lease=lease
        )
        assert ended is not None
        await ended.wait()
        assert (starts, trio.current_time(), lease.lost.is_set()) == (1, 1, True)
        other = Lease(Fence(plan.id, "p1", 2), trio.current_time)
        other.renewed(trio.current_time())
        ended = AccountSupervisor(nursery, clean_up, Clock(), Health(lambda: 0), metrics).start(
            plan, drain_seconds=1.0, lease=other
        )
        assert ended is not None
        await ended.wait()
        assert trio.current_time() == pytest.approx(1 + LEASE_SECONDS - MARGIN_SECONDS)
    assert not metrics.registry.get_sample_value("oc_trio_account_restarts_total", {"account": plan.id})
    assert other.why == "it was not renewed in time"
