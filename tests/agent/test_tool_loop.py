"""The tool loop asks, calls, sends back and ends, whatever model it is given."""

import pytest
from attrs import define, field

from oc_trio.agent.port import Message, Role, ToolCall, ToolResult, TurnRequest
from oc_trio.agent.stream import Emit
from oc_trio.agent.tool_loop import (
    CUT_SHORT,
    NO_ANSWER,
    ModelResponse,
    RequestedCall,
    ToolRound,
    converse,
    merge_split_calls,
    transcript,
)
from oc_trio.core.turn_events import (
    AgentEvent,
    Final,
    Opaque,
    TextDelta,
    ToolEnded,
    ToolStarted,
    ToolStatus,
    Usage,
)
from oc_trio.errors import AgentFailed
from oc_trio.ids import AgentId, SessionKey
from tests.agent.model_server import Tools


@define
class Model:
    """Plays answers and records how many rounds it was shown."""

    answers: list[ModelResponse]
    shown: list[int] = field(factory=list)

    async def ask(self, request: TurnRequest, rounds: tuple[ToolRound, ...], emit: Emit) -> ModelResponse:
        self.shown.append(len(rounds))
        answer = self.answers.pop(0)
        for word in answer.text.splitlines(keepends=True):
            await emit(TextDelta(word))
        return answer


async def play(*answers: ModelResponse, tools: Tools | None = None) -> list[AgentEvent]:
    events: list[AgentEvent] = []

    async def emit(event: AgentEvent) -> None:
        events.append(event)

    request = TurnRequest(AgentId("a"), SessionKey("s"), "", (), tools=tools or Tools())
    await converse(Model(list(answers)), request, emit)
    return events


def calls(*names: str, problem: str = "") -> tuple[RequestedCall, ...]:
    return tuple(RequestedCall(ToolCall(name, "look"), problem) for name in names)


async def test_calls_of_one_answer_run_in_order() -> None:
    """Each is shown as it begins and as it ends."""
    tools = Tools(ToolResult("x"), ToolResult("y", ToolStatus.DENIED, "no"))
    events = await play(ModelResponse(calls=calls("1", "2")), ModelResponse("ok"), tools=tools)
    assert events[:4] == [
        ToolStarted("1", "look"),
        ToolEnded("1", "look", ToolStatus.COMPLETED, "x"),
        ToolStarted("2", "look"),
        ToolEnded("2", "look", ToolStatus.DENIED, "y", "no"),
    ]


async def test_a_call_that_makes_no_sense_is_not_made() -> None:
    """The model reads why."""
    tools = Tools()
    events = await play(ModelResponse(calls=calls("1", problem="bad")), ModelResponse("ok"), tools=tools)
    assert events[1] == ToolEnded("1", "look", ToolStatus.FAILED, "bad")
    assert tools.calls == []


async def test_rounds_become_paragraphs_and_their_usage_is_summed() -> None:
    """What streamed is what the final says."""
    tools = Tools(ToolResult("x"), ToolResult("y"))
    events = await play(
        ModelResponse("One.\n", calls("1"), Usage(1, 2, "m")),
        ModelResponse("", calls("2"), Usage(3, 4)),
        ModelResponse("\n\nTwo.\nThree.", usage=Usage(5, 6), note=CUT_SHORT),
        tools=tools,
    )
    streamed = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert events[-1] == Final(f"One.\n\nTwo.\nThree.\n\n{CUT_SHORT}", usage=Usage(9, 12, "m"))
    assert streamed.split() == ["One.", "Two.", "Three."]
    assert "\n\nTwo." in streamed


async def test_an_answer_without_text_is_a_failure_unless_tools_were_called() -> None:
    """What the tools did may be all that was asked for."""
    with pytest.raises(AgentFailed) as caught:
        await play(ModelResponse(" \n"))
    assert caught.value.for_user == NO_ANSWER
    events = await play(ModelResponse(calls=calls("a")), ModelResponse(), tools=Tools(ToolResult("x")))
    assert events[-1] == Final("", silent_reason="the model returned no text")


async def test_a_lone_closing_tag_ends_thinking() -> None:
    """What stands before it is neither said nor told to the model in the next round."""
    answers = (ModelResponse("Hm.\n</think>\n\nI look.", calls("a")), ModelResponse("I know.</think>4."))
    events = await play(*answers, tools=Tools(ToolResult("x")))
    assert events[-1] == Final("I look.\n\n4.")


def test_the_transcript_repeats_what_this_turn_has_done() -> None:
    """Calls on the assistant's side, results by id."""
    done = ToolRound(ModelResponse("Look.", calls("1")), (ToolResult("x"),))
    request = TurnRequest(AgentId("a"), SessionKey("s"), "", (Message(Role.USER, "go"),))
    assert transcript(request, (done,)) == (
        Message(Role.USER, "go"),
        Message(Role.ASSISTANT, "Look.", tool_calls=(ToolCall("1", "look"),)),
        Message(Role.TOOL, "x", tool_call_id="1"),
    )


async def test_what_people_say_is_taken_up_between_requests() -> None:
    """After the tools of a round, in the order in which it was said; the model is shown it behind the results."""
    messages_meanwhile = [[Message(Role.USER, "wait, not that")], []]

    async def steering() -> list[Message]:
        return messages_meanwhile.pop(0)

    async def emit(event: AgentEvent) -> None:
        pass

    request = TurnRequest(
        AgentId("a"), SessionKey("s"), "", (), tools=Tools(ToolResult("x"), ToolResult("y")), steering=steering
    )
    transcripts: list[tuple[Message, ...]] = []

    @define
    class Listening(Model):
        async def ask(self, request: TurnRequest, rounds: tuple[ToolRound, ...], emit: Emit) -> ModelResponse:
            transcripts.append(transcript(request, rounds))
            return await super().ask(request, rounds, emit)

    await converse(
        Listening([ModelResponse(calls=calls("1")), ModelResponse(calls=calls("2")), ModelResponse("ok")]),
        request,
        emit,
    )
    assert [message.role.value for message in transcripts[1]] == ["assistant", "tool", "user"]
    assert [message.text for message in transcripts[2] if message.role is Role.USER] == ["wait, not that"]


def test_calls_of_one_answer_go_back_together() -> None:
    """They are written down one by one, and one that never ended is not there."""

    def call(name: str, batch: str) -> Message:
        made = ToolCall(name, "look", opaque=Opaque("p", batch))
        return Message(Role.ASSISTANT, "Look." if name == batch else "", tool_calls=(made,))

    def result(name: str) -> Message:
        return Message(Role.TOOL, name, tool_call_id=name)

    user = Message(Role.USER, "go")
    a, b, c = (call(name, batch) for name, batch in (("a", "a"), ("b", "a"), ("c", "c")))
    written = (user, a, result("a"), b, result("b"), c, result("c"))
    joined = Message(Role.ASSISTANT, "Look.", tool_calls=(*a.tool_calls, *b.tool_calls))
    assert merge_split_calls(written) == (user, joined, result("a"), result("b"), c, result("c"))
