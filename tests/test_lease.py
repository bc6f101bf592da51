"""The holder's view of its lease: it stops before anybody else may begin, whatever its clocks do."""

from typing import Any

import pytest
import trio
import trio.testing
from attrs import define

from oc_trio.errors import LeaseLost, MattermostUnavailable
from oc_trio.ids import AccountId
from oc_trio.lease import LEASE_SECONDS, MARGIN_SECONDS, RENEW_SECONDS, Fence, Lease, boot_time

SURE_SECONDS = LEASE_SECONDS - MARGIN_SECONDS


@define
class SleepingClock:
    """Goes on with Trio's clock, and by `slept` besides: what passed while the machine was asleep."""

    slept: float = 0.0

    def __call__(self) -> float:
        return trio.current_time() + self.slept


def a_lease(clock: Any = trio.current_time) -> Lease:
    lease = Lease(Fence(AccountId("default"), "p1", 3), clock)
    lease.renewed(clock())
    return lease


def test_two_renewals_may_fail() -> None:
    """Only the third one that fails costs the lease."""
    assert 2 * RENEW_SECONDS < SURE_SECONDS
    assert boot_time() <= boot_time()


async def test_it_ends_before_the_database_lets_others_have_it(autojump_clock: trio.testing.MockClock) -> None:
    """Its time begins when the database was asked, not when that answered."""
    lease = Lease(Fence(AccountId("default"), "p1", 3), trio.current_time)
    assert not lease.is_sure
    asked_at = trio.current_time()
    await trio.sleep(2.5)
    lease.renewed(asked_at)
    assert lease.seconds_left == pytest.approx(SURE_SECONDS - 2.5)
    await trio.sleep(SURE_SECONDS - 2.5)
    assert not lease.is_sure


async def test_a_request_is_cut_off_at_the_end(autojump_clock: trio.testing.MockClock) -> None:
    """Whoever made it learns that nobody knows what became of it, if it writes."""
    for writes in (False, True):
        lease, began = a_lease(), trio.current_time()
        with pytest.raises(LeaseLost) as caught, lease.guard(writes=writes):
            await trio.sleep(60)
        assert trio.current_time() - began == pytest.approx(SURE_SECONDS)
        assert isinstance(caught.value, MattermostUnavailable)
        assert caught.value.ambiguous is writes
        assert lease.lost.is_set()
        assert str(caught.value) == "the lease of account default is lost: it was not renewed in time"


async def test_a_renewal_lets_open_requests_go_on(autojump_clock: trio.testing.MockClock) -> None:
    """They have as long as the lease has."""
    lease = a_lease()

    async def renew() -> None:
        for _ in range(4):
            asked_at = trio.current_time()
            await trio.sleep(RENEW_SECONDS)
            lease.renewed(asked_at)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(renew)
        with lease.hold(), lease.guard():
            await trio.sleep(SURE_SECONDS + RENEW_SECONDS)
        assert lease.is_sure


async def test_a_late_answer_shortens_nothing(autojump_clock: trio.testing.MockClock) -> None:
    """An older renewal that is heard of later takes no time away."""
    lease = a_lease()
    await trio.sleep(2)
    lease.renewed(trio.current_time())
    lease.renewed(trio.current_time() - 2)
    assert lease.seconds_left == pytest.approx(SURE_SECONDS)


async def test_who_serves_the_account_just_ends(autojump_clock: trio.testing.MockClock) -> None:
    """All tasks are cancelled in the moment of the loss, requests among them; only clean-up hears of the reason."""
    lease, log = a_lease(), list[str]()

    async def work() -> None:
        try:
            with lease.guard(writes=True):
                await trio.sleep_forever()
        except LeaseLost:
            log.append("the request")
        finally:
            with trio.move_on_after(30, shield=True):
                try:
                    await lease.check()
                except LeaseLost as problem:
                    log.append(str(problem))

    async def lose() -> None:
        await trio.sleep(1)
        lease.lose("another process serves it")
        lease.lose("a second reason")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(lose)
        with lease.hold():
            await work()
            log.append("not reached")
        assert trio.current_time() == pytest.approx(1)
    assert log == ["the lease of account default is lost: another process serves it"]
    assert not lease.is_sure
    lease.renewed(trio.current_time())
    assert not lease.is_sure


async def test_a_machine_that_slept_sends_nothing(autojump_clock: trio.testing.MockClock) -> None:
    """Trio's own clock may have stood still meanwhile: the first look at the lease's clock ends everything."""
    clock = SleepingClock()
    lease, sent = a_lease(clock), list[str]()
    with lease.hold():
        await trio.sleep(1)
        clock.slept = 60
        await lease.check()
        sent.append("a request")
    assert sent == []
    assert lease.lost.is_set()
    with pytest.raises(LeaseLost) as caught, lease.guard(writes=True):
        sent.append("another one")
    assert sent == []
    assert not caught.value.ambiguous


async def test_the_only_process_has_it_for_ever(autojump_clock: trio.testing.MockClock) -> None:
    """Without leases nothing ends."""
    lease = Lease.unlimited(AccountId("default"))
    with lease.hold(), lease.guard():
        await trio.sleep(3600)
    await lease.check()
    assert lease.is_sure
