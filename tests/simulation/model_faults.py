"""Faults of a model: events of its answers are replaced, repeated or left out, or it raises anything.

Which questions had a fault is noted: of those only a visible end is promised, of all others everything.
"""

import random
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

import trio
from attrs import evolve, frozen

from oc_trio.agent.port import ToolCall, ToolResult, ToolSpec, TurnRequest
from oc_trio.core.turn_events import (
    AgentEvent,
    Failed,
    Final,
    Headline,
    PlanStep,
    PlanUpdated,
    TextDelta,
    Thinking,
    ToolEnded,
    ToolStarted,
    ToolStatus,
    Usage,
)
from oc_trio.errors import AgentFailed, MattermostUnavailable, PayloadError

_HALF = "half an emoji: \ud83d"
_ANYTHING: Any = None  # Python lets any value stand in any field

# In the place of an event.
GARBAGE: tuple[Callable[[], Any], ...] = (
    lambda: None,
    lambda: "text",
    lambda: {"choices": {"0": {"delta": {"content": "x"}}}},
    object,
    lambda: TextDelta(_ANYTHING),
    lambda: TextDelta(_HALF),
    lambda: TextDelta("nul \0 and bell \a"),
    lambda: TextDelta("x" * 5000),
    lambda: Thinking(_ANYTHING),
    lambda: Headline(_ANYTHING),
    lambda: PlanUpdated(_ANYTHING),
    lambda: PlanUpdated((_ANYTHING, PlanStep(_HALF, "strange"))),
    lambda: ToolStarted(_ANYTHING, _ANYTHING, _ANYTHING),
    lambda: ToolStarted("call", "look", {"emoji": _HALF}),
    lambda: ToolStarted("call", "look", {"number": float("nan")}),
    lambda: ToolEnded("nobody's", "look", ToolStatus.COMPLETED, _HALF),
    lambda: ToolEnded("call", "look", _ANYTHING, _ANYTHING),
    lambda: Final(_ANYTHING),
    lambda: Final(_HALF),
    lambda: Final("something else altogether"),
    lambda: Final("words", usage=Usage(10**30, -1)),
    lambda: Final("words", usage=_ANYTHING),
    lambda: Final("words", media=(_ANYTHING,)),
    lambda: Final("words", buttons=((_ANYTHING,),)),
    lambda: Failed("", ""),
    lambda: Failed(_ANYTHING, _ANYTHING),
    lambda: Failed(_HALF, _HALF),
)

# Out of an agent, or a tool.
PROBLEMS: tuple[Callable[[], Exception], ...] = (
    lambda: RuntimeError("a mistake"),
    lambda: KeyError("choices"),
    lambda: AttributeError("'NoneType' object has no attribute 'get'"),
    lambda: UnicodeEncodeError("utf-8", "\ud83d", 0, 1, "surrogates not allowed"),
    lambda: ValueError(_HALF),
    RecursionError,
    MemoryError,
    AssertionError,
    lambda: OSError(24, "Too many open files"),
    lambda: trio.TooSlowError(),
    lambda: trio.ClosedResourceError(),
    lambda: MattermostUnavailable("of a tool"),
    lambda: PayloadError("of a tool"),
    lambda: AgentFailed("refused", for_user="The model refused this."),
    lambda: ExceptionGroup("of a nursery", [KeyError("x"), ExceptionGroup("in it", [TypeError("y")])]),
)


class Note(Protocol):
    """Hears what happens, and to which questions."""

    def __call__(self, tokens: Sequence[str], what: str, *, on_the_wire: bool) -> None: ...


@frozen(eq=False)
class ModelFault:
    """What goes wrong in one run of the model; `note` is called with the questions that it is about as it happens."""

    rng: random.Random
    tokens: list[str]
    note: Note
    how: str

    def report(self, what: str) -> None:
        self.note(self.tokens, what, on_the_wire=self.is_on_the_wire)

    @property
    def is_on_the_wire(self) -> bool:
        """Whether what goes wrong goes wrong at the model's server."""
        return self.how == "wire"

    def request(self, request: TurnRequest) -> TurnRequest:
        """The request, of which tools may raise."""
        return evolve(request, tools=_RaisingTools(self, request)) if self.how == "tool" else request

    def joined(self, tokens: Sequence[str]) -> None:
        """These joined the turn: what happens to it happens to them."""
        self.tokens.extend(tokens)

    def script(self, steps: Generator[Any, Any, None]) -> Generator[Any, Any, None]:
        """The steps, of which one raises inside the agent."""
        if self.how != "agent":
            yield from steps
            return
        given, left = None, self.rng.randint(0, 8)
        while True:
            try:
                step = steps.send(given)
            except StopIteration:
                return
            if not left:
                self._raise("raises in the agent")
            left -= 1
            given = yield step

    def events(
        self, inner: AbstractAsyncContextManager[AsyncIterator[AgentEvent]]
    ) -> AbstractAsyncContextManager[AsyncIterator[AgentEvent]]:
        return self._events(inner)

    @asynccontextmanager
    async def _events(
        self, inner: AbstractAsyncContextManager[AsyncIterator[AgentEvent]]
    ) -> AsyncIterator[AsyncIterator[AgentEvent]]:
        async with inner as events:
            yield _FaultyEvents(events, self) if self.how == "events" else events

    def _raise(self, what: str) -> None:
        problem = self.rng.choice(PROBLEMS)()
        self.report(f"{what}: {problem!r}")
        raise problem


def drawn_model_fault(seed: str, share: float, tokens: Sequence[str], note: Note) -> ModelFault | None:
    """None for a run that goes well; drawn from a source of its own, so that the rest of the run stays as it is."""
    # The word is a part of the seed: another one would give other faults to the same seeds.
    rng = random.Random(f"treachery {seed}")
    if rng.random() >= share:
        return None
    how = rng.choice(("events", "events", "events", "agent", "tool", "wire", "wire"))
    return ModelFault(rng, list(tokens), note, how)


class _FaultyEvents:
    """The stream of events, of which each may become something else."""

    def __init__(self, inner: AsyncIterator[AgentEvent], fault: ModelFault) -> None:
        self._inner, self._fault = inner, fault
        self._again: list[AgentEvent] = []
        self._odds = fault.rng.choice((0.05, 0.2, 0.5))

    def __aiter__(self) -> "_FaultyEvents":
        return self

    async def __anext__(self) -> AgentEvent:
        if self._again:
            return self._again.pop()
        event, fault = await self._inner.__anext__(), self._fault
        rng = fault.rng
        if rng.random() >= self._odds:
            return event
        match rng.choice(("garbage", "garbage", "garbage", "twice", "left out", "cut", "raises")):
            case "garbage":
                odd: AgentEvent = rng.choice(GARBAGE)()
                fault.report(f"sends {repr(odd)[:60]!a}")
                return odd
            case "twice":
                fault.report("says it twice")
                self._again.append(event)
                return event
            case "left out" if not isinstance(event, (Final, Failed)):
                fault.report("leaves something out")
                return await self._inner.__anext__()
            case "raises":
                fault._raise("raises at its edge")
        fault.report("stops in the middle")
        raise StopAsyncIteration


@frozen(eq=False)
class _RaisingTools:
    """Tools of which each call raises."""

    fault: ModelFault
    inner: TurnRequest

    @property
    def specs(self) -> Sequence[ToolSpec]:
        return self.inner.tools.specs

    async def call(self, call: ToolCall) -> ToolResult:
        await trio.lowlevel.checkpoint()
        self.fault._raise(f"raises in {call.name}")
        raise AssertionError("never reached")
