"""Health: states with their times, and deadlines for progress that are met or missed."""

import json

import pytest
import trio
import trio.testing

from oc_trio.ids import AccountId
from oc_trio.telemetry.health import AccountHealth, Health

ONE, TWO = AccountId("one"), AccountId("two")


class Clocks:
    """A wall clock in milliseconds and a steady one in seconds, set apart on purpose."""

    def __init__(self) -> None:
        self.wall = 1_700_000_000_000
        self.steady = 50.0

    def now_ms(self) -> int:
        return self.wall

    def monotonic(self) -> float:
        return self.steady


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def health(clocks: Clocks) -> Health:
    return Health(clocks.now_ms, clocks.monotonic)


def test_since_moves_with_the_state_and_with_nothing_else(health: Health, clocks: Clocks) -> None:
    """How long an account has been like this is what an operator asks first."""
    health.update(ONE, state="connecting")
    clocks.wall += 1000
    health.update(ONE, detail="trying")
    assert health.account(ONE).since == clocks.wall - 1000
    clocks.wall += 1000
    health.update(ONE, state="live", detail="")
    assert health.account(ONE).since == health.account(ONE).last_live_at == clocks.wall
    clocks.wall += 1000
    health.update(ONE, state="live")
    assert (health.account(ONE).since, health.account(ONE).last_live_at) == (clocks.wall - 1000, clocks.wall)


def test_an_unknown_account_is_starting(health: Health) -> None:
    """Asking never makes an account appear."""
    assert health.account(ONE) == AccountHealth(ONE)
    assert health.accounts == ()


@pytest.mark.parametrize(
    ("states", "any_live"),
    [
        pytest.param({}, False, id="nobody"),
        pytest.param({ONE: "connecting"}, False, id="not yet"),
        pytest.param({ONE: "live", TWO: "auth_failed"}, True, id="one of two"),
        pytest.param({ONE: "live", TWO: "live"}, True, id="both"),
    ],
)
def test_who_is_live(health: Health, states: dict[AccountId, str], any_live: bool) -> None:
    """One account is enough; none is not."""
    for account, state in states.items():
        health.update(account, state=state)
    assert health.any_live == any_live


def test_readiness_needs_the_gateway_and_an_account(health: Health) -> None:
    """A gateway that drains takes no traffic, however live its accounts are."""
    health.update(TWO, state="live", bot="helper")
    assert health.snapshot()["ready"] is False
    health.phase = "serving"
    assert health.snapshot()["ready"] is True
    health.phase = "draining"
    assert health.snapshot()["ready"] is False


def test_the_status_line_names_each_account(health: Health) -> None:
    """In the order of their names, with the bot where it is known."""
    assert health.status_line() == "starting"
    health.phase = "serving"
    health.update(TWO, state="live", bot="helper")
    health.update(ONE, state="auth_failed")
    assert health.status_line() == "serving; one: auth_failed, two: live as @helper"


def test_a_snapshot_is_plain_json(health: Health) -> None:
    """What the admin API gives away can be encoded as it is."""
    health.update(ONE, state="live")
    assert json.loads(json.dumps(health.snapshot()))["accounts"][0]["state"] == "live"


def test_a_promise_is_broken_when_its_time_is_over(health: Health, clocks: Clocks) -> None:
    """Progress renews a promise; a part that ended in good order promises nothing."""
    health.progress("pump", within_s=10.0)
    health.progress("journal", within_s=60.0)
    clocks.steady += 10.0
    assert health.stuck_parts() == ()
    clocks.steady += 0.1
    assert health.stuck_parts() == ("pump",)
    health.progress("pump", within_s=10.0)
    assert health.stuck_parts() == ()
    clocks.steady += 100.0
    assert health.stuck_parts() == ("journal", "pump")
    health.finished("pump")
    health.finished("never promised")
    assert health.stuck_parts() == ("journal",)


def test_a_corrected_wall_clock_breaks_no_promise(health: Health, clocks: Clocks) -> None:
    """An hour's jump of the system time is not an hour without progress."""
    health.progress("pump", within_s=10.0)
    clocks.wall += 3_600_000
    assert health.stuck_parts() == ()


async def test_promises_are_kept_by_trios_clock(autojump_clock: trio.testing.MockClock) -> None:
    """Without a clock of its own, a promise runs with the event loop's."""
    health = Health(lambda: 0)
    health.progress("pump", within_s=10.0)
    await trio.sleep(11.0)
    assert health.stuck_parts() == ("pump",)
