"""The tool loop of every chat model: ask, run the tools that it calls, send the results back, ask again.

Each model API implements `ChatModel`: how one request is made and read. The loop, its limit and the final event are
here.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from attrs import evolve

from oc_trio.agent.port import Message, Role, ToolCall, ToolResult, TurnRequest
from oc_trio.agent.stream import Emit
from oc_trio.classes import frozen
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

# Requests of one turn: a model that calls tools in a circle has to come to an end, and each request holds the whole
# conversation again.
MAX_ROUNDS = 16
MAX_CALLS = 128  # of one answer, as the OpenAI API allows; each is shown, journaled and sent to the model again

MAX_EXTRA = 10_000  # values in fields that are only kept to be sent back; more are dropped

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
    """The model's response to one request. `note` is a line for the reader about an incomplete answer.

    What the API requires back with the tool results (signed thinking, for example) is in the calls' `opaque`.
    """

    text: str = ""
    calls: tuple[RequestedCall, ...] = ()
    usage: Usage = Usage()
    note: str = ""


@frozen
class ToolRound:
    """A finished request with the results of its tools: the next request repeats both to the model.

    `steering` is what people said meanwhile, for the model to take into account.
    """

    answer: ModelResponse
    results: tuple[ToolResult, ...]
    steering: tuple[Message, ...] = ()


class ChatModel(Protocol):
    """One request to a chat model. `rounds` are those already done in this turn."""

    async def ask(self, request: TurnRequest, rounds: tuple[ToolRound, ...], emit: Emit) -> ModelResponse: ...


async def converse(model: ChatModel, request: TurnRequest, emit: Emit, max_rounds: int = MAX_ROUNDS) -> None:
    """Ask until the model asks for no more tools. Raises `AgentFailed` after `max_rounds` requests."""
    rounds: tuple[ToolRound, ...] = ()
    texts: list[str] = []
    usage = Usage()
    for _ in range(max_rounds):
        answer = await model.ask(request, rounds, _with_paragraph_break(emit, bool(texts)))
        # Without reasoning that has only a closing tag: it is neither shown nor sent to the model again.
        answer = evolve(answer, text=without_reasoning(answer.text))
        usage = _add(usage, answer.usage)
        if answer.text.strip():
            texts.append(answer.text.strip("\n"))
        if not answer.calls:
            if not texts and not rounds:
                raise AgentFailed("the model gave no answer: no text, no tool call", for_user=NO_ANSWER)
            await emit(_final(texts, answer.note, usage))
            return
        # One after the other, as the model wrote them: a later call may rely on an earlier one.
        results = [await run_tool(requested, request, emit) for requested in answer.calls]
        rounds = (*rounds, ToolRound(answer, tuple(results), tuple(await request.steering())))
    raise AgentFailed(
        f"no answer after {max_rounds} rounds of tool calls",
        for_user=f"I gave up after {max_rounds} rounds of tool calls without reaching an answer.",
    )


async def run_tool(requested: RequestedCall, request: TurnRequest, emit: Emit) -> ToolResult:
    """Run one call and emit its start and end; an invalid call gets a failed result, which the model reads."""
    call, problem = requested.call, requested.problem
    try:
        # Cleaned here, whichever API they came by: they go to the draft, the journal and the tool.
        call = evolve(call, id=clean(call.id), name=clean(call.name), arguments=checked_value(call.arguments))
    except BadJson as why:
        call = evolve(call, id=clean(call.id), name=clean(call.name), arguments={})
        problem = f"The arguments can't be used: {why}."
    await emit(ToolStarted(call.id, call.name, call.arguments, opaque=call.opaque))
    result = ToolResult(problem, ToolStatus.FAILED) if problem else await request.tools.call(call)
    await emit(ToolEnded(call.id, call.name, result.status, result.text, result.detail))
    return result


def with_opaque_fields(
    calls: Sequence[RequestedCall], provider: str, message: Mapping[str, Any]
) -> tuple[RequestedCall, ...]:
    """The calls of one answer with the opaque fields that go back to its provider; `message` has the answer's fields.

    Calls beyond `MAX_CALLS` are left out.
    """
    return tuple(
        evolve(
            requested,
            call=evolve(
                requested.call,
                opaque=Opaque(provider, calls[0].call.id, {} if at else message, requested.call.opaque.call),
            ),
        )
        for at, requested in enumerate(calls[:MAX_CALLS])
    )


def call_ids(request: TurnRequest, rounds: tuple[ToolRound, ...]) -> frozenset[str]:
    """The ids of all tool calls in the conversation."""
    return frozenset(call.id for message in transcript(request, rounds) for call in message.tool_calls)


def merge_split_calls(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The messages with the calls of one answer merged into one message again, followed by the results.

    A turn is journaled call by call, so that a restart repeats none; APIs require an answer as they gave it.
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
        calls = tuple(requested.call for requested in done.answer.calls)
        added.append(Message(Role.ASSISTANT, done.answer.text, tool_calls=calls))
        added += [
            Message(Role.TOOL, result.text, tool_call_id=call.id, status=result.status, detail=result.detail)
            for call, result in zip(calls, done.results)
        ]
        added += done.steering
    return (*merge_split_calls(request.messages), *added)


def _final(texts: list[str], note: str, usage: Usage) -> Final:
    if not texts:
        return Final("", usage=usage, silent_reason=NO_TEXT)
    return Final("\n\n".join([*texts, note] if note else texts), usage=usage)


def _with_paragraph_break(emit: Emit, needed: bool) -> Emit:
    """An `emit` that begins a new paragraph where the text of a later round begins."""
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
