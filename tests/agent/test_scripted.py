"""The scripted agent plays its steps in order and ends with exactly one final event."""

from collections.abc import Generator, Iterable

import pytest
import trio
import trio.testing

from oc_trio.agent.port import ToolCall, ToolResult, ToolSpec, TurnRequest
from oc_trio.agent.scripted import Attach, CallTool, Pause, Say, ScriptedAgent, Step, tokens
from oc_trio.core.turn_events import (
    AgentEvent,
    Button,
    Failed,
    Final,
    Headline,
    TextDelta,
    ToolEnded,
    ToolStarted,
    Usage,
)
from oc_trio.errors import AgentFailed
from oc_trio.ids import AgentId, SessionKey


class Tools:
    """Records the calls; answers with their number."""

    specs = (ToolSpec("look", "looks"),)

    def __init__(self) -> None:
        self.calls: list[ToolCall] = []

    async def call(self, call: ToolCall) -> ToolResult:
        self.calls.append(call)
        return ToolResult(f"seen {len(self.calls)}")


def turn(tools: Tools | None = None) -> TurnRequest:
    return TurnRequest(AgentId("a"), SessionKey("s"), "", (), tools=tools or Tools())


async def play(script: Iterable[Step], tools: Tools | None = None) -> list[AgentEvent]:
    async with ScriptedAgent(lambda _: script).run(turn(tools)) as events:
        return [event async for event in events]


async def test_text_streams_word_by_word_with_the_delay(autojump_clock: trio.testing.MockClock) -> None:
    """Each word waits for the token delay, and the final repeats the whole."""
    started = trio.current_time()
    events = await play([Say("one two  three")])
    assert events == [
        TextDelta("one "),
        TextDelta("two  "),
        TextDelta("three"),
        Final("one two  three", usage=Usage(0, 3, "scripted")),
    ]
    assert trio.current_time() - started == pytest.approx(0.09)


async def test_events_pauses_and_attachments_play_in_order(autojump_clock: trio.testing.MockClock) -> None:
    """A pause takes its time; attachments come with the final."""
    row = (Button("Yes", "yes"),)
    events = await play([Headline("Looking"), Pause(5), Attach(buttons=(row,))])
    assert events == [Headline("Looking"), Final("", buttons=(row,), usage=Usage(0, 0, "scripted"))]
    assert trio.current_time() == pytest.approx(5)


async def test_a_generator_gets_the_result_of_its_call(autojump_clock: trio.testing.MockClock) -> None:
    """The value of `yield CallTool(...)` is what the tool answered."""

    def script() -> Generator[Step, ToolResult | None, None]:
        result = yield CallTool("look", {"at": 1})
        assert result is not None
        yield Say(result.text)

    tools = Tools()
    events = await play(script(), tools)
    assert [type(event) for event in events] == [ToolStarted, ToolEnded, TextDelta, TextDelta, Final]
    assert tools.calls == [ToolCall("call_1", "look", {"at": 1})]
    assert isinstance(events[-1], Final)
    assert events[-1].text == "seen 1"


async def test_nothing_follows_a_failure() -> None:
    """Steps after `Failed` are not played."""
    assert await play([Failed("no", "op"), TextDelta("late")]) == [Failed("no", "op")]


async def test_a_script_may_raise_before_its_first_event() -> None:
    """An agent error leaves the iteration as it is."""

    def script() -> Iterable[Step]:
        raise AgentFailed("op", for_user="sorry")
        yield Pause(0)

    with pytest.raises(AgentFailed, match="op"):
        await play(script())


async def test_a_script_may_raise_after_its_first_event() -> None:
    """Later it becomes the last event."""

    def script() -> Iterable[Step]:
        yield TextDelta("well")
        raise AgentFailed("op", for_user="sorry")

    assert await play(script()) == [TextDelta("well"), Failed("sorry", "op")]


async def test_leaving_early_stops_the_script(autojump_clock: trio.testing.MockClock) -> None:
    """No time passes for the steps that nobody reads."""
    async with ScriptedAgent(lambda _: [TextDelta("a"), Pause(100)]).run(turn()) as events:
        assert await anext(events) == TextDelta("a")
    assert trio.current_time() < 1


@pytest.mark.parametrize("text", ["", " ", "a", "a b", " a\n\nb ", "a  b c"])
def test_tokens_joined_are_the_text(text: str) -> None:
    """Cutting loses nothing."""
    assert "".join(tokens(text)) == text
