"""The model of a run: what it answers depends on the question alone, how it gets there on the seed and the attempt.

Equal questions get equal answers, so an answer that was decided before a crash differs from a second one.
"""

import itertools
import random
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

import trio
from attrs import define, evolve, field, frozen

from oc_trio.agent.port import Message, Role, ToolResult, TurnRequest
from oc_trio.agent.scripted import CallTool, Hear, Pause, ScriptedAgent, Step
from oc_trio.core.context import CURRENT_HEADER
from oc_trio.core.model_apis import ModelApi
from oc_trio.core.presentation import Rows
from oc_trio.core.turn_events import AgentEvent, Failed, Final, Media, TextDelta, Thinking
from oc_trio.errors import AgentUnavailable
from tests.simulation.check_history import ModelRequest, model_request_of
from tests.simulation.files import Readings, media_of
from tests.simulation.model_faults import ModelFault, drawn_model_fault
from tests.simulation.model_output import TOKEN, behind, earlier_texts, heads, messages, number_of
from tests.simulation.streams import ModelServer
from tests.simulation.transcript import RunTranscript
from tests.simulation.wire import Wire

Script = Generator[Step, ToolResult | tuple[Message, ...] | None, None]
_WORDS = "the bell of the old tower rings at noon and the market opens under its shadow every day"


@define(eq=False)
class Model:
    """`trouble` is how likely a turn goes wrong or strange; `open_runs` counts streams that nobody has closed,
    `finished_runs` those of all `runs` that came to their last word; `said_at` is when a first answer was whole. Of
    questions whose model had a fault (`faulted`, by number) anything may have been said.
    """

    seed: int
    transcript: RunTranscript
    trouble: float
    slow: float
    is_wordy: bool = False
    has_files: bool = False
    model_fault_rate: float = 0.0
    offer: Callable[[tuple[str, ...]], Rows] = lambda _tokens: ()
    attempts: dict[tuple[str, ...], int] = field(factory=dict)
    failed: set[str] = field(factory=set)
    silent: set[str] = field(factory=set)
    faulted: set[int] = field(factory=set)
    # Of these, those for whom something raised that a model's server can't make anybody raise.
    mishandled: set[int] = field(factory=set)
    tools_done: dict[tuple[str, ...], int] = field(factory=dict)
    open_runs: int = 0
    runs: int = 0
    finished_runs: int = 0
    forgotten: list[str] = field(factory=list)
    said_at: dict[str, float] = field(factory=dict)
    readings: Readings = field(factory=Readings)
    ended: dict[tuple[str, ...], str] = field(factory=dict)
    requests: list[ModelRequest] = field(factory=list)

    def run(
        self, request: TurnRequest, server: ModelServer | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[AgentEvent]]:
        """A turn, whose texts `server` streams where there is one."""
        fault = drawn_model_fault(f"{self.seed} {self.runs}", self.model_fault_rate, asked(request), self._note_fault)
        if fault is None:
            scripted = ScriptedAgent(self.script, token_delay=0.0).run(request)
            return self._counted(scripted if server is None else server.streamed(scripted))
        if fault.is_on_the_wire:
            return self._counted(self._over_the_wire(request, fault))
        changed = evolve(fault.request(request), steering=partial(self._steering, request, fault))

        def script(request: TurnRequest) -> Iterable[Step]:
            return fault.script(self.script(request))

        return self._counted(fault.events(ScriptedAgent(script, token_delay=0.0).run(changed)))

    def _over_the_wire(
        self, request: TurnRequest, fault: ModelFault
    ) -> AbstractAsyncContextManager[AsyncIterator[AgentEvent]]:
        """The answer as a model's server sends it, and whatever that does to it."""
        tokens = asked(request)
        self.script(request)  # it is asked as ever
        fault.report("answers over the wire")
        text = self.answer(tokens)
        api = ModelApi.OPENAI if fault.rng.random() < 0.6 else ModelApi.ANTHROPIC
        wire = Wire(fault.rng, text, fault.report, api)
        return wire.run(evolve(request, steering=partial(self._steering, request, fault)))

    async def _steering(self, request: TurnRequest, fault: ModelFault) -> Sequence[Message]:
        messages = await request.steering()
        fault.joined([token for message in messages for token in _current(message)])
        return messages

    def _note_fault(self, tokens: Sequence[str], what: str, *, on_the_wire: bool) -> None:
        self.transcript.note("model", f"{what}, for {' '.join(tokens)}")
        if not on_the_wire:
            self.mishandled.update(map(number_of, tokens))
        self.faulted.update(map(number_of, tokens))
        self.failed.update(tokens)

    @asynccontextmanager
    async def _counted(
        self, inner: AbstractAsyncContextManager[AsyncIterator[AgentEvent]]
    ) -> AsyncIterator[AsyncIterator[AgentEvent]]:
        self.open_runs += 1
        self.runs += 1
        try:
            async with inner as events:
                yield events
        finally:
            self.open_runs -= 1

    def answer(self, tokens: tuple[str, ...]) -> str:
        """The whole answer to these questions, the same at every attempt."""
        rng = random.Random(f"{self.seed} {tokens}")
        count = rng.randint(90, 120) if rng.random() < 0.06 else rng.randint(3, 12)
        words = [rng.choice(_WORDS.split()) for _ in range(count)]
        return f"Re {' '.join(tokens)}: {' '.join(words)} (end {tokens[-1]})"

    def script(self, request: TurnRequest) -> Script:
        tokens = asked(request)
        attempt = self.attempts[tokens] = self.attempts.get(tokens, 0) + 1
        self.transcript.note("model", f"is asked {' '.join(tokens)}, attempt {attempt}")
        rng = random.Random(f"{self.seed} {tokens} {attempt}")
        self.requests.append(model_request_of(trio.current_time(), tokens, request.messages))
        for message in request.messages:
            self.readings.note(message.text)
        has_result = request.messages[-1].role is Role.TOOL
        if self.is_wordy:
            self._forget_others(tokens)
        if self.tools_done.get(tokens) and not has_result and self.faulted.isdisjoint(map(number_of, tokens)):
            self.forgotten.append(f"a completed tool call of {tokens} was forgotten")
        if self.is_wordy:
            return self._messages(tokens, rng, earlier_texts(request.messages))
        return self._steps(tokens, rng, has_result)

    def _steps(self, tokens: tuple[str, ...], rng: random.Random, has_result: bool) -> Script:
        draw = rng.random() if rng.random() < self.trouble else 1.0
        text = self.answer(tokens)
        delay = rng.choice((0.02, 0.1, 0.4)) if rng.random() < self.slow else rng.choice((0.0, 0.0, 0.05))
        if draw < 0.2:
            self.failed.update(tokens)
            self.finished_runs += 1
            raise AgentUnavailable("the model is overloaded", for_user="The model is overloaded.")
        yield Pause(rng.choice((0.0, 0.1, 0.5, 3.0)))
        if rng.random() < 0.2:
            yield Thinking("hm ")
        if rng.random() < 0.25 and not has_result:
            yield CallTool("look", {"at": tokens[0]})
            yield Pause(0.0)
            self.tools_done[tokens] = self.tools_done.get(tokens, 0) + 1
        if rng.random() < 0.3:
            steered = self._heard((yield Hear()))
            tokens = tuple(dict.fromkeys((*tokens, *steered)))
            text = self.answer(tokens)
        if draw < 0.3:
            self.silent.update(tokens)
            self.finished_runs += 1
            yield Final("", silent_reason="nothing to say")
            return
        if draw < 0.6:
            self.failed.update(tokens)
            yield from _say(text[: rng.randint(5, len(text))], delay, rng)
            self.finished_runs += 1
            yield Failed("The model broke off.", "scripted failure")
            return
        if draw < 0.7:
            yield Pause(rng.uniform(5.0, 25.0))
        yield from _say(text, delay, rng)
        self._has_said(tokens)
        yield Final(text, self._media([tokens]), self.offer(tokens))

    def _heard(self, heard: ToolResult | tuple[Message, ...] | None) -> list[str]:
        """The tokens of what people said meanwhile."""
        messages = heard if isinstance(heard, tuple) else ()
        for message in messages:
            self.readings.note(message.text)
        return [token for message in messages for token in _current(message)]

    def _is_over(self, head: tuple[str, ...], tokens: tuple[str, ...]) -> bool:
        """Whether a turn that had nothing to do with the last of these questions has ended with that answer."""
        return self.ended.setdefault(head, tokens[-1]) in tokens[:-1]

    def _media(self, answered: Iterable[tuple[str, ...]]) -> tuple[Media, ...]:
        """The files of the answers to these questions."""
        if not self.has_files:
            return ()
        return tuple(media for head in dict.fromkeys(answered) for media in media_of(self.seed, head))

    def _forget_others(self, tokens: tuple[str, ...]) -> None:
        """A turn that goes on with other questions, as after an edit of one, begins anew with its tools too."""
        for others in [*self.tools_done]:
            if others[-1] != tokens[-1] and {*others} & {*tokens}:
                del self.tools_done[others]

    def _messages(self, tokens: tuple[str, ...], rng: random.Random, said: list[str]) -> Script:
        """The way of a wordy model: several messages with a tool call after each, as real agents talk."""
        draw = rng.random() if rng.random() < self.trouble else 1.0
        delay = rng.choice((0.02, 0.1, 0.4)) if rng.random() < self.slow else rng.choice((0.0, 0.0, 0.05))
        if draw < 0.2:
            self.failed.update(tokens)
            self.finished_runs += 1
            raise AgentUnavailable("the model is overloaded", for_user="The model is overloaded.")
        left, now = self._left(tokens, said), list[str]()
        breaks_at = rng.randint(0, len(left)) if draw < 0.5 else -1
        yield Pause(rng.choice((0.0, 0.1, 0.5, 3.0)))
        if rng.random() < 0.3:
            yield Thinking("hm ")
        while left:
            if len(now) == breaks_at:
                self.failed.update(tokens)
                self.finished_runs += 1
                yield Failed("The model broke off.", "scripted failure")
                return
            piece = left.pop(0)
            yield from _say(f"\n\n{piece}" if now else piece, delay, rng)
            now.append(piece)
            if left or rng.random() < 0.15:
                yield from self._look(tokens, rng)
            fresh = self._heard((yield Hear())) if rng.random() < 0.3 else []
            more = tuple(token for token in dict.fromkeys(fresh) if token not in tokens)
            if more:
                tokens, left = (*tokens, *more), [*left, *messages(self.seed, more, self.answer(more))]
        self._has_said(tokens)
        # A turn whose text was complete before a crash ends without more text, and its question looks to the next
        # one as if it were its own. What that one has to say is known by its last question.
        answered = [head for head in heads("\n".join([*said, *now])) if not self._is_over(head, tokens)]
        yield Final("\n\n".join(now), self._media(answered), self.offer(answered[-1]) if answered else ())

    def _has_said(self, tokens: tuple[str, ...]) -> None:
        self.finished_runs += 1
        self.said_at |= {token: trio.current_time() for token in tokens if token not in self.said_at}

    def _look(self, tokens: tuple[str, ...], rng: random.Random) -> Script:
        yield CallTool("look", {"at": tokens[0]})
        yield Pause(rng.choice((0.0, 0.0, 1.0)))
        self.tools_done[tokens] = self.tools_done.get(tokens, 0) + 1

    def _left(self, tokens: tuple[str, ...], said: list[str]) -> list[str]:
        """The messages that are still to be said; questions that came later have an answer of their own."""
        begun = heads("\n".join(said))
        known = {token for head in begun for token in head}
        rest = tuple(token for token in tokens if token not in known)
        answers = [*begun, *([rest] if rest else [])]
        return behind([each for head in answers for each in messages(self.seed, head, self.answer(head))], said)


def _say(text: str, delay: float, rng: random.Random) -> Script:
    """A few pieces with pauses between them; nobody needs every word in a piece of its own."""
    cuts = sorted({0, len(text), *(rng.randint(1, len(text)) for _ in range(rng.randint(0, 4)))})
    for start, end in itertools.pairwise(cuts):
        if delay:
            yield Pause(delay * (end - start) / 6)
        yield TextDelta(text[start:end])


def asked(request: TurnRequest) -> tuple[str, ...]:
    """The tokens of what is to be answered, without those of the history around it."""
    users: list[Message] = []
    for message in reversed(request.messages):
        if message.role is Role.USER:
            users.append(message)
        elif message.role is Role.ASSISTANT and not message.tool_calls:
            break  # an earlier turn's answer
    return tuple(dict.fromkeys(token for message in reversed(users) for token in _current(message)))


def _current(message: Message) -> list[str]:
    return TOKEN.findall(message.text.rpartition(CURRENT_HEADER)[2])


@frozen(eq=False)
class StreamedModel:
    """`model` as one process reaches it: over connections of its own."""

    model: Model
    server: ModelServer

    def run(self, request: TurnRequest) -> AbstractAsyncContextManager[AsyncIterator[AgentEvent]]:
        return self.model.run(request, self.server)
