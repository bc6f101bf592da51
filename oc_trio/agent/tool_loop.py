"""The loop that every chat model needs: ask, run the tools it asks for, send the results back, ask again.

One model API is a `ChatModel`: how one request is made and read. The loop, its bound and the final event are here.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from attrs import evolve, frozen

from oc_trio.agent.port import Message, Role, ToolCall, ToolResult, TurnRequest
from oc_trio.agent.stream import Emit
from oc_trio.core.json_body import BadJson, checked_value
from oc_trio.core.reasoning import without_reasoning
from oc_trio.core.text import clean
from oc_trio.core.turn_events import (
    NOTHING_OPAQUE,
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

MAX_ROUNDS = 16
MOST_CALLS = 128  # of one answer, as the OpenAI API allows; each is shown, written down and told to the model again

MOST_EXTRA = 10_000  # values in fields that are only kept to be sent back; more are dropped

CUT_SHORT = "_(The answer was cut off: the model reached its length limit.)_"
FILTERED = "_(The answer was cut off by the provider's content filter.)_"
NO_ANSWER = "The model gave no answer."
# Why a turn is silent whose model called tools and then ended without text.
NO_TEXT = "the model returned no text"


@frozen
class RequestedCall:
    """One call that a model made; `problem` says why its arguments can't be used."""

    call: ToolCall
    problem: str = ""


@frozen
class ModelResponse:
    """What one request to a model came to. `note` is a line for the reader about an answer that is not whole.

    What the API wants to have back with the tool results (signed thinking, for one) is in the calls' `opaque`.
    """

    text: str = ""
    calls: tuple[RequestedCall, ...] = ()
    usage: Usage = Usage()
    note: str = ""


@frozen
class ToolRound:
    """A finished request whose tools were run: what the next request repeats to the model.

    `said` is what people said meanwhile, for the model to take into account.
    """

    answer: ModelResponse
    results: tuple[ToolResult, ...]
    said: tuple[Message, ...] = ()


class ChatModel(Protocol):
    """One request to a chat model. `rounds` are those already done in this turn."""

    async def ask(self, request: TurnRequest, rounds: tuple[ToolRound, ...], emit: Emit) -> ModelResponse: ...


async def converse(model: ChatModel, request: TurnRequest, emit: Emit, max_rounds: int = MAX_ROUNDS) -> None:
    """Ask until the model asks for no more tools. Raises `AgentFailed` after `max_rounds` requests."""
    rounds: tuple[ToolRound, ...] = ()
    said: list[str] = []
    usage = Usage()
    for _ in range(max_rounds):
        answer = await model.ask(request, rounds, _spaced(emit, bool(said)))
        # Without thoughts that only a closing tag gives away: they are neither said nor told to the model again.
        answer = evolve(answer, text=without_reasoning(answer.text))
        usage = _add(usage, answer.usage)
        if answer.text.strip():
            said.append(answer.text.strip("\n"))
        if not answer.calls:
            if not said and not rounds:
                raise AgentFailed("the model gave no answer: no text, no tool call", for_user=NO_ANSWER)
            await emit(_final(said, answer.note, usage))
            return
        results = [await run_tool(asked, request, emit) for asked in answer.calls]
        rounds = (*rounds, ToolRound(answer, tuple(results), tuple(await request.steering())))
    raise AgentFailed(
        f"no answer after {max_rounds} rounds of tool calls",
        for_user=f"I gave up after {max_rounds} rounds of tool calls without reaching an answer.",
    )


async def run_tool(asked: RequestedCall, request: TurnRequest, emit: Emit) -> ToolResult:
    """Run one call and tell the reader; a call that can't be made is a failed result for the model to read."""
    call, problem = asked.call, asked.problem
    try:
        # Whichever way they came: they go to the draft, the journal and the tool.
        call = evolve(call, id=clean(call.id), name=clean(call.name), arguments=checked_value(call.arguments))
    except BadJson as why:
        call = evolve(call, id=clean(call.id), name=clean(call.name), arguments={})
        problem = f"The arguments can't be used: {why}."
    await emit(ToolStarted(call.id, call.name, call.arguments, opaque=call.opaque))
    result = ToolResult(problem, ToolStatus.FAILED) if problem else await request.tools.call(call)
    await emit(ToolEnded(call.id, call.name, result.status, result.text, result.detail))
    return result


def tagged(calls: Sequence[RequestedCall], provider: str, message: Mapping[str, Any]) -> tuple[RequestedCall, ...]:
    """The calls of one answer with what goes back to its provider; `message` are fields of the answer as a whole.

    Those beyond `MOST_CALLS` are left out.
    """
    return tuple(
        evolve(
            asked,
            call=evolve(
                asked.call,
                opaque=Opaque(provider, calls[0].call.id, {} if at else message, asked.call.opaque.call),
            ),
        )
        for at, asked in enumerate(calls[:MOST_CALLS])
    )


def call_ids(request: TurnRequest, rounds: tuple[ToolRound, ...]) -> frozenset[str]:
    """The ids of all tool calls that the conversation holds."""
    return frozenset(call.id for message in transcript(request, rounds) for call in message.tool_calls)


def rejoined(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The messages with calls of one answer in one message again, the results behind it.

    A turn is written down call by call, so that a restart repeats none; APIs want an answer as they gave it.
    """
    out: list[Message] = []
    batch, at = "", 0
    for message in messages:
        opaque = message.tool_calls[0].opaque if message.tool_calls else NOTHING_OPAQUE
        if message.role is Role.ASSISTANT:
            if batch and opaque.batch == batch and not message.text.strip():
                out[at] = evolve(out[at], tool_calls=(*out[at].tool_calls, *message.tool_calls))
                continue
            batch, at = opaque.batch, len(out)
        elif message.role is not Role.TOOL:
            batch = ""
        out.append(message)
    return tuple(out)


def transcript(request: TurnRequest, rounds: tuple[ToolRound, ...]) -> tuple[Message, ...]:
    """The request's messages followed by what this turn has done so far."""
    added: list[Message] = []
    for done in rounds:
        calls = tuple(asked.call for asked in done.answer.calls)
        added.append(Message(Role.ASSISTANT, done.answer.text, tool_calls=calls))
        added += [
            Message(Role.TOOL, result.text, tool_call_id=call.id, status=result.status, detail=result.detail)
            for call, result in zip(calls, done.results)
        ]
        added += done.said
    return (*rejoined(request.messages), *added)


def _final(said: list[str], note: str, usage: Usage) -> Final:
    if not said:
        return Final("", usage=usage, silent_reason=NO_TEXT)
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
