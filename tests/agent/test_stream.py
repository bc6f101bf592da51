"""The stream of a turn keeps the port's promises whatever the agent does."""

import gc

import pytest
import trio
import trio.testing

from oc_trio.agent.stream import Emit, Produce, open_events
from oc_trio.core.turn_events import AgentEvent, Failed, Final, TextDelta, Thinking, ToolStarted
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


async def test_adjacent_deltas_are_joined_while_the_reader_is_busy() -> None:
    """One wake-up for all tokens that came together; kinds are not mixed, and order is kept."""

    async def produce(emit: Emit) -> None:
        for event in (TextDelta("a"), TextDelta("b"), Thinking("c"), Thinking("d"), TextDelta("e")):
            await emit(event)
        await emit(Final("abe"))

    assert await collect(produce) == [TextDelta("ab"), Thinking("cd"), TextDelta("e"), Final("abe")]


@pytest.mark.parametrize("piece", ["a", "a" * 1000])
async def test_a_reader_that_does_not_come_stops_the_agent(piece: str) -> None:
    """What waits for it has a bound, by number and by size."""
    emitted = 0

    async def produce(emit: Emit) -> None:
        nonlocal emitted
        while True:
            await emit(TextDelta(piece))
            emitted += 1

    async with open_events(produce) as events:
        await trio.testing.wait_all_tasks_blocked()
        assert 1 < emitted < 300
        assert emitted * len(piece) < 20_000
        first = await anext(events)
        assert isinstance(first, TextDelta)
        assert len(first.text) == emitted * len(piece)


async def test_the_agent_goes_on_when_its_tool_call_was_taken() -> None:
    """A tool runs only after whoever journals the call has it."""
    emitted: list[str] = []

    async def produce(emit: Emit) -> None:
        await emit(TextDelta("a"))
        await emit(ToolStarted("1", "look"))
        emitted.append("call")
        await emit(Final("a"))

    async with open_events(produce) as events:
        assert await anext(events) == TextDelta("a")
        await trio.testing.wait_all_tasks_blocked()
        assert not emitted
        assert await anext(events) == ToolStarted("1", "look")
        await trio.testing.wait_all_tasks_blocked()
        assert emitted == ["call"]


async def test_an_error_first_is_raised() -> None:
    """An error before the first event is raised: a retry must see it as an exception."""
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
    """An error after the first event becomes the last event, and the text before it stays."""

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
    """An event after the final one raises in the agent."""

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
