"""The port every agent implements: one turn in, a stream of frozen events out.

    async with agent.run(request) as events:
        async for event in events:
            ...

Leaving the block (or cancelling it) closes the model's connection and any tool call. The stream ends with exactly
one `Final` or `Failed`; an agent raises `AgentError` only before its first event. History, budgets, posting and
editing are not the agent's business.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from enum import Enum
from typing import Any, Protocol

from attrs import field

from oc_trio.classes import frozen
from oc_trio.core.turn_events import NOTHING_OPAQUE, AgentEvent, Opaque, ToolStatus
from oc_trio.ids import AgentId, SessionKey
from oc_trio.telemetry.tracing import NO_SPAN, Span


class Role(Enum):
    """Who speaks in a transcript."""

    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


@frozen
class ToolCall:
    """A call that the model asked for; `arguments` as the JSON object it gave, `opaque` what goes back with it."""

    id: str
    name: str
    arguments: Mapping[str, Any] = field(factory=dict, hash=False)
    opaque: Opaque = field(default=NOTHING_OPAQUE, eq=False, repr=False)


@frozen
class ImagePart:
    """An image that a person attached: bytes and their MIME type, checked by content.

    `file_id` is its id at the chat server, by which an image of the past is fetched again.
    """

    mime: str
    data: bytes = field(repr=lambda data: f"<{len(data)} bytes>")
    file_id: str = ""


@frozen
class Message:
    """One entry of a transcript. `tool_calls` belong to assistant entries; `tool_call_id`, `status` (how the call
    ended) and `detail` (its line for people) to tool entries.
    """

    role: Role
    text: str = ""
    images: tuple[ImagePart, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    status: ToolStatus = ToolStatus.COMPLETED
    detail: str = ""


@frozen
class ToolSpec:
    """A tool offered to the model; `parameters` is the JSON Schema of its arguments.

    `side_effects` false says that a repeat is harmless. It is information for agents: the gateway repeats no call in
    either case, and tells a model after a crash that the effect of an interrupted call is unknown.
    """

    name: str
    description: str
    parameters: Mapping[str, Any] = field(factory=dict, hash=False)
    side_effects: bool = True


@frozen
class ToolResult:
    """What a tool answers: `text` goes to the model, `detail` is one short line for people."""

    text: str
    status: ToolStatus = ToolStatus.COMPLETED
    detail: str = ""


class Toolbox(Protocol):
    """The tools of one turn. `call` raises no error for a tool that fails: that is a `ToolResult` too."""

    @property
    def specs(self) -> Sequence[ToolSpec]: ...

    async def call(self, call: ToolCall) -> ToolResult: ...


class NoTools:
    """A turn without tools."""

    specs: Sequence[ToolSpec] = ()

    async def call(self, call: ToolCall) -> ToolResult:
        return ToolResult(f"There is no tool named {call.name}.", ToolStatus.FAILED)


async def nothing_said() -> Sequence[Message]:
    """A turn that nobody talks into."""
    return ()


@frozen
class TurnRequest:
    """One turn: `messages` is the transcript within budget, oldest first, ending with what is to be answered.

    After an interrupted turn the transcript ends with the tool results that had already come in, and the agent
    goes on from there. `thinking` is off, low, medium or high. `model` overrides the agent's own. `steering` gives
    what people said since it was last asked, to be taken up between two requests to the model; what an agent never
    asks for is left to the next turn. `span` is the turn's in a trace: an agent may begin children of it.
    """

    agent: AgentId
    session: SessionKey
    system_prompt: str
    messages: tuple[Message, ...]
    tools: Toolbox = field(factory=NoTools)
    model: str = ""
    thinking: str = ""
    steering: Callable[[], Awaitable[Sequence[Message]]] = nothing_said
    span: Span = field(default=NO_SPAN, eq=False, repr=False)


class Agent(Protocol):
    """Something that answers turns; it may serve many at once."""

    def run(self, request: TurnRequest) -> AbstractAsyncContextManager[AsyncIterator[AgentEvent]]: ...
