"""An account stops after its requests in flight: they finish, or are answered 503, before what they use is closed."""

import pytest
import trio
import trio.testing
from attrs import define, field
from trio.testing import MockClock

from oc_trio.core.entities import Channel
from oc_trio.core.hooks import HookKind, WakeHook
from oc_trio.errors import CallbackRefused, StoreError
from oc_trio.runtime.handlers.hooks import HookDelivery, HookHandler, HookTarget
from oc_trio.runtime.handlers.in_flight import GRACE_SECONDS, InFlightRequests, open_in_flight
from oc_trio.sandbox.errors import ApiError
from oc_trio.sandbox.faults import Faults
from oc_trio.sandbox.request import SandboxRequest, SandboxResponse
from tests.runtime.callback_harness import MAIN, callback_harness


async def track_one(in_flight: InFlightRequests, seconds: float, results: list[str], *, shield: bool = False) -> None:
    async def work() -> str:
        with trio.CancelScope(shield=shield):
            await trio.sleep(seconds)
        return "done"

    try:
        results.append(await in_flight.track(work)())
    except CallbackRefused as refused:
        results.append(f"{refused.status_hint} {trio.current_time():g}")


@pytest.mark.parametrize(
    ("seconds", "shield", "result", "left_at"),
    [
        (GRACE_SECONDS - 1, False, "done", GRACE_SECONDS - 1),
        (GRACE_SECONDS + 1, False, f"503 {GRACE_SECONDS:g}", GRACE_SECONDS),
        (GRACE_SECONDS + 1, True, "done", GRACE_SECONDS + 1),
    ],
    ids=["soon done", "too slow", "admitted meanwhile"],
)
async def test_leaving_waits(
    autojump_clock: MockClock, seconds: float, shield: bool, result: str, left_at: float
) -> None:
    """Who is there may finish, for a while; what a shield holds is finished and answered, however long that takes."""
    results: list[str] = []
    async with trio.open_nursery() as nursery:
        async with open_in_flight() as in_flight:
            nursery.start_soon(lambda: track_one(in_flight, seconds, results, shield=shield))
            await trio.testing.wait_all_tasks_blocked()
            assert len(in_flight) == 1
        assert (results, trio.current_time(), len(in_flight)) == ([result], left_at, 0)


async def test_nobody_comes_in_any_more(autojump_clock: MockClock) -> None:
    """A request after the end is refused at once."""
    async with open_in_flight() as in_flight:
        pass
    results: list[str] = []
    await track_one(in_flight, 1.0, results)
    assert results == ["503 0"]


async def test_a_failing_account_sends_everybody_away(autojump_clock: MockClock) -> None:
    """What failed is not to be used any longer than need be; the failure goes on as it is."""
    results: list[str] = []

    async def fail(nursery: trio.Nursery) -> None:
        async with open_in_flight() as in_flight:
            nursery.start_soon(lambda: track_one(in_flight, 1.0, results))
            await trio.testing.wait_all_tasks_blocked()
            raise StoreError("full")

    async with trio.open_nursery() as nursery:
        with pytest.raises(StoreError, match="full"):
            await fail(nursery)
        assert results == ["503 0"]


@define(eq=False)
class Hanging(Faults):
    """The server takes its time to say who somebody is."""

    arrived: trio.Event = field(factory=trio.Event)

    async def before(self, request: SandboxRequest) -> SandboxResponse | None:
        if request.method == "GET" and request.path.startswith("/api/v4/users/"):
            self.arrived.set()
            await trio.sleep(8)
        return None


async def test_a_call_that_is_looked_at_while_the_account_stops(autojump_clock: MockClock) -> None:
    """It is refused in the documented way and was not taken in; before, its client was closed under it."""
    async with trio.open_nursery() as nursery, callback_harness().running() as callbacks:
        await callbacks.registered()
        faults = callbacks.world.faults = Hanging()

        async def call() -> None:
            with pytest.raises(ApiError):  # the sandbox's word for an answer that is not 200
                await callbacks.execute("/oc_status")

        nursery.start_soon(call)
        await faults.arrived.wait()
    assert [answer.status for answer in callbacks.answers] == [503]
    assert callbacks.admitted == []


async def test_hooks_are_tracked_too(autojump_clock: MockClock) -> None:
    """Another program is told to try again by an account that is going."""

    async def nowhere(_: object) -> Channel:
        raise AssertionError("it is not let in")

    async with callback_harness().running() as callbacks, open_in_flight() as in_flight:
        hooks = HookHandler(MAIN, callbacks.requests.services.clock.new_id)
        account = HookTarget(
            callbacks.requests,
            nowhere,
            HookDelivery(callbacks.requests, callbacks.buttons, None).deliver,  # type: ignore[arg-type]
            in_flight,
        )
        with hooks.account(MAIN, account):
            await in_flight.close(0)
            with pytest.raises(CallbackRefused) as refused:
                await hooks.take(HookKind.WAKE, WakeHook(text="now"))
        assert refused.value.status_hint == 503
