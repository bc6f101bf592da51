"""The loop that every chat model needs: ask, run the tools it asks for, send the results back, ask again.

One model API is a `Model`: how one request is made and read. The loop, its bound and the final event are here.
"""

from typing import Protocol

from attrs import frozen

from oc_trio.agent.port import Message, Role, ToolCall, ToolResult, TurnRequest
from oc_trio.agent.stream import Emit
from oc_trio.core.turn_events import AgentEvent, Final, TextDelta, Thinking, ToolEnded, ToolStarted, ToolStatus, Usage
from oc_trio.errors import AgentFailed

MAX_ROUNDS = 16

CUT_SHORT = "_(The answer was cut off: the model reached its length limit.)_"
FILTERED = "_(The answer was cut off by the provider's content filter.)_"


@frozen
class Asked:
    """One call that a model made; `problem` says why its arguments can't be used."""

    call: ToolCall
    problem: str = ""


@frozen
class Answer:
    """What one request to a model came to. `note` is a line for the reader about an answer that is not whole.

    `raw` is whatever the API wants to have back when the tool results are sent (signed thinking, for one).
    """

    text: str = ""
    calls: tuple[Asked, ...] = ()
    usage: Usage = Usage()
    note: str = ""
    raw: object = None


@frozen
class Round:
    """A finished request whose tools were run: what the next request repeats to the model.

    `said` is what people said meanwhile, for the model to take into account.
    """

    answer: Answer
    results: tuple[ToolResult, ...]
    said: tuple[Message, ...] = ()


class Model(Protocol):
    """One request to a chat model. `rounds` are those already done in this turn."""

    async def ask(self, request: TurnRequest, rounds: tuple[Round, ...], emit: Emit) -> Answer: ...


async def converse(model: Model, request: TurnRequest, emit: Emit, max_rounds: int = MAX_ROUNDS) -> None:
    """Ask until the model asks for no more tools. Raises `AgentFailed` after `max_rounds` requests."""
    rounds: tuple[Round, ...] = ()
    said: list[str] = []
    usage = Usage()
    for _ in range(max_rounds):
        answer = await model.ask(request, rounds, _spaced(emit, bool(said)))
        usage = _add(usage, answer.usage)
        if answer.text.strip():
            said.append(answer.text.strip("\n"))
        if not answer.calls:
            await emit(_final(said, answer.note, usage))
            return
        results = [await run_tool(asked, request, emit) for asked in answer.calls]
        rounds = (*rounds, Round(answer, tuple(results), tuple(await request.steering())))
    raise AgentFailed(
        f"no answer after {max_rounds} rounds of tool calls",
        for_user=f"I gave up after {max_rounds} rounds of tool calls without reaching an answer.",
    )


async def run_tool(asked: Asked, request: TurnRequest, emit: Emit) -> ToolResult:
    """Run one call and tell the reader; a call that can't be made is a failed result for the model to read."""
    call = asked.call
    await emit(ToolStarted(call.id, call.name, call.arguments))
    result = ToolResult(asked.problem, ToolStatus.FAILED) if asked.problem else await request.tools.call(call)
    await emit(ToolEnded(call.id, call.name, result.status, result.text, result.detail))
    return result


def transcript(request: TurnRequest, rounds: tuple[Round, ...]) -> tuple[Message, ...]:
    """The request's messages followed by what this turn has done so far, for APIs that want nothing raw back."""
    added: list[Message] = []
    for done in rounds:
        calls = tuple(asked.call for asked in done.answer.calls)
        added.append(Message(Role.ASSISTANT, done.answer.text, tool_calls=calls))
        added += [
            Message(Role.TOOL, result.text, tool_call_id=call.id, status=result.status, detail=result.detail)
            for call, result in zip(calls, done.results)
        ]
        added += done.said
    return (*request.messages, *added)


def merged(events: list[TextDelta | Thinking]) -> list[TextDelta | Thinking]:
    """One network chunk often carries several tokens: one event is enough for them."""
    out: list[TextDelta | Thinking] = []
    for event in events:
        if out and isinstance(event, TextDelta) and isinstance(out[-1], TextDelta):
            out[-1] = TextDelta(out[-1].text + event.text)
        elif out and isinstance(event, Thinking) and isinstance(out[-1], Thinking):
            out[-1] = Thinking(out[-1].text + event.text)
        else:
            out.append(event)
    return out


def _final(said: list[str], note: str, usage: Usage) -> Final:
    if not said:
        return Final("", usage=usage, silent_reason="the model returned no text")
    return Final("\n\n".join([*said, note] if note else said), usage=usage)


def _spaced(emit: Emit, needed: bool) -> Emit:
    """The text of a later round starts a paragraph of its own."""
    pending = needed

    async def spaced(event: AgentEvent) -> None:
        nonlocal pending
        if pending and isinstance(event, TextDelta) and event.text.strip("\n"):
            pending = False
            event = TextDelta("\n\n" + event.text.lstrip("\n"))
        await emit(event)

    return spaced


def _add(one: Usage, two: Usage) -> Usage:
    return Usage(one.input_tokens + two.input_tokens, one.output_tokens + two.output_tokens, two.model or one.model)
