"""An agent without a model: it runs a script of steps. For the demo, tests and simulations; offline and deterministic.

A script maps a request to steps; `oc_trio.agent.scripted_directives` is one that reads directives from the last
message. All waiting is `trio.sleep`, so a mock clock skips it.
"""

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import trio
from attrs import field

from oc_trio.agent.port import Message, ToolCall, ToolResult, TurnRequest
from oc_trio.agent.stream import Emit, EventStream, open_events
from oc_trio.agent.tool_loop import RequestedCall, run_tool
from oc_trio.classes import frozen
from oc_trio.core.turn_events import (
    AgentEvent,
    Button,
    Failed,
    Final,
    Media,
    TextDelta,
    Usage,
)


@frozen
class Pause:
    """Wait this many seconds."""

    seconds: float


@frozen
class Say:
    """Stream `text` word by word, `delay` seconds before each; None takes the agent's own token delay."""

    text: str
    delay: float | None = None


@frozen
class CallTool:
    """Call a tool of the request; a generator script gets the `ToolResult` as the value of its `yield`."""

    name: str
    arguments: Mapping[str, Any] = field(factory=dict, hash=False)
    call_id: str = ""


@frozen
class Hear:
    """Read the steering messages; a generator script gets them as the value of its `yield`."""


@frozen
class Attach:
    """Add files or rows of buttons to the final reply."""

    media: tuple[Media, ...] = ()
    buttons: tuple[tuple[Button, ...], ...] = ()


Step = AgentEvent | Pause | Say | CallTool | Hear | Attach
# What a generator script gets as the value of its `yield`: a tool's result, or steering messages.
StepResult = ToolResult | tuple[Message, ...] | None
Script = Callable[[TurnRequest], "Iterable[Step] | Generator[Step, Any, None]"]


class ScriptedAgent:
    """Runs `script(request)`. Steps end early at a `Final` or `Failed`; otherwise the final is the text so far.

    A script may raise: an `AgentError` is treated as a model's, anything else is a bug and leaves `run`.
    """

    def __init__(self, script: Script, *, token_delay: float = 0.03) -> None:
        self._script = script
        self._token_delay = token_delay

    def run(self, request: TurnRequest) -> AbstractAsyncContextManager[EventStream]:
        async def produce(emit: Emit) -> None:
            await _ScriptRun(request, emit, self._token_delay).play(self._script(request))

        return open_events(produce)


class _ScriptRun:
    def __init__(self, request: TurnRequest, emit: Emit, token_delay: float) -> None:
        self._request = request
        self._emit = emit
        self._token_delay = token_delay
        self._texts: list[str] = []
        self._attached: list[Attach] = []
        self._calls = 0
        self._ended = False

    async def play(self, steps: Iterable[Step]) -> None:
        source = iter(steps)
        answer: StepResult = None
        while not self._ended:
            # A step may wait for nothing: other tasks, and a cancellation, get their chance here.
            await trio.lowlevel.checkpoint()
            try:
                step = source.send(answer) if isinstance(source, Generator) else next(source)
            except StopIteration:
                break
            answer = await self._take(step)
        if not self._ended:
            await self._emit(self._final())

    async def _take(self, step: Step) -> StepResult:
        match step:
            case Pause():
                await trio.sleep(step.seconds)
            case Say():
                await self._say(step)
            case CallTool():
                return await self._call(step)
            case Hear():
                return tuple(await self._request.steering())
            case Attach():
                self._attached.append(step)
            case _:
                self._texts += [step.text] if isinstance(step, TextDelta) else []
                self._ended = isinstance(step, Final | Failed)
                await self._emit(step)
        return None

    async def _say(self, step: Say) -> None:
        delay = self._token_delay if step.delay is None else step.delay
        for token in tokens(step.text):
            await trio.sleep(delay)
            self._texts.append(token)
            await self._emit(TextDelta(token))

    async def _call(self, step: CallTool) -> ToolResult:
        self._calls += 1
        call = ToolCall(step.call_id or f"call_{self._calls}", step.name, step.arguments)
        return await run_tool(RequestedCall(call), self._request, self._emit)

    def _final(self) -> Final:
        text = "".join(self._texts)
        read = sum(len(message.text.split()) for message in self._request.messages)
        return Final(
            text,
            media=tuple(media for attached in self._attached for media in attached.media),
            buttons=tuple(row for attached in self._attached for row in attached.buttons),
            usage=Usage(read, len(text.split()), "scripted"),
            silent_reason="" if text or self._attached else "the script had nothing to say",
        )


def tokens(text: str) -> list[str]:
    """`text` split after each run of white space; joined again it is `text`."""
    out: list[str] = []
    word = ""
    for at, char in enumerate(text):
        word += char
        if char.isspace() and not text[at + 1 : at + 2].isspace():
            out.append(word)
            word = ""
    return [*out, word] if word else out
