"""The stream of a turn keeps the port's promises whatever the agent does."""

import gc

import pytest
import trio
import trio.testing

from oc_trio.agent.stream import Emit, Produce, open_events
from oc_trio.core.turn_events import AgentEvent, Failed, Final, TextDelta
from oc_trio.errors import AgentFailed, AgentUnavailable


async def collect(produce: Produce) -> list[AgentEvent]:
    async with open_events(produce) as events:
        return [event async for event in events]


async def test_events_come_in_order() -> None:
    """What is emitted is what is read."""

    async def produce(emit: Emit) -> None:
        await emit(TextDelta("a"))
        await emit(Final("a"))

    assert await collect(produce) == [TextDelta("a"), Final("a")]


async def test_an_error_first_is_raised() -> None:
    """Whoever retries must see it as an exception."""
    error = AgentUnavailable("op", for_user="sorry", retry_after=3)

    async def produce(emit: Emit) -> None:
        raise error

    with pytest.raises(AgentUnavailable) as caught:
        await collect(produce)
    assert caught.value is error


@pytest.mark.parametrize(("kind", "retryable"), [(AgentUnavailable, True), (AgentFailed, False)])
async def test_an_error_later_is_the_last_event(
    kind: type[AgentUnavailable] | type[AgentFailed], retryable: bool
) -> None:
    """What was said stays said."""

    async def produce(emit: Emit) -> None:
        await emit(TextDelta("a"))
        raise kind("op", for_user="sorry")

    assert await collect(produce) == [TextDelta("a"), Failed("sorry", "op", retryable)]


async def test_an_error_after_the_end_changes_nothing() -> None:
    """The turn has its one last event already."""

    async def produce(emit: Emit) -> None:
        await emit(Final("a"))
        raise AgentFailed("op", for_user="sorry")

    assert await collect(produce) == [Final("a")]


async def test_an_agent_without_an_end_gets_one() -> None:
    """A stream never just stops."""

    async def produce(emit: Emit) -> None:
        await emit(TextDelta("a"))

    events = await collect(produce)
    assert isinstance(events[-1], Failed)


async def test_a_bug_leaves_as_it_is() -> None:
    """Neither the agent's nor the reader's error is wrapped in a group."""

    async def produce(emit: Emit) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await collect(produce)


async def test_speaking_after_the_end_is_a_bug() -> None:
    """It is found in the agent's own tests."""

    async def produce(emit: Emit) -> None:
        await emit(Final("a"))
        await emit(TextDelta("b"))

    with pytest.raises(AssertionError, match="after its last event"):
        await collect(produce)


@pytest.mark.slow
async def test_leaving_early_cancels_the_agent(autojump_clock: trio.testing.MockClock) -> None:
    """Whatever it waits for is unwound before the block is left, and nothing is left to the garbage collector."""
    record: list[str] = []

    async def produce(emit: Emit) -> None:
        try:
            await emit(TextDelta("a"))
            await trio.sleep(1000)
        finally:
            record.append("unwound")

    async with open_events(produce) as events:
        await anext(events)
    assert record == ["unwound"]
    assert trio.current_time() < 1
    gc.collect()


async def test_a_deadline_around_one_event_leaves_the_stream_usable(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A reader may give up waiting and come back."""

    async def produce(emit: Emit) -> None:
        await trio.sleep(5)
        await emit(Final("late"))

    async with open_events(produce) as events:
        with trio.move_on_after(1) as scope:
            await anext(events)
        assert scope.cancelled_caught
        assert await anext(events) == Final("late")
