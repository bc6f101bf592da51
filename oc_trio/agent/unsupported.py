"""Remembers what each model has refused in requests, and leaves it out from then on.

`refusals` finds what an error text refuses. `Unsupported` remembers it for each model of one provider, and logs it
once, with the configuration key that makes it permanent.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from attrs import field

from oc_trio.agent.adapted import adapted, shortened, without_thoughts
from oc_trio.agent.refusals import LIMITS, NOTHING, TOOLS, RefusedParts, find_refused, refuses_thoughts
from oc_trio.agent.refused_lengths import is_too_long_an_answer, room_left
from oc_trio.agent.stream import Emit
from oc_trio.classes import define
from oc_trio.core.turn_events import AgentEvent
from oc_trio.errors import AgentError
from oc_trio.telemetry.log import get_logger

T = TypeVar("T")

log = get_logger(part="agent")


@define
class Unsupported:
    """The refused parts by model of one provider. All agents of the provider share it."""

    provider: str = ""
    # In memory alone: a restart asks anew, as the server's model may have been exchanged.
    _found: dict[str, RefusedParts] = field(factory=dict, init=False)

    def adapt(self, model: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """`body` as this model takes it."""
        return adapted(body, self._known(model))

    def takes_tools(self, model: str) -> bool:
        return TOOLS not in self._known(model).fields

    def learn(self, model: str, sent: Mapping[str, Any], refusal: AgentError, needed: frozenset[str]) -> bool:
        """Whether `refusal` names something of `sent` that can be left out; it is remembered."""
        refused, known = find_refused(sent, refusal.words, needed), self._known(model)
        for line, key in self._log_lines(model, refused, known):
            log.warning(line, model=model, key=key, refusal=str(refusal))
        self._found[model] = known | refused
        return bool(refused)

    def _known(self, model: str) -> RefusedParts:
        return self._found.get(model, NOTHING)

    def _log_lines(self, model: str, refused: RefusedParts, known: RefusedParts) -> list[tuple[str, str]]:
        """A log line for each new refusal, with the configuration key that makes it permanent, "" for none."""
        entry, which = f"models.providers.{self.provider or '<id>'}.models[]", f'(for id = "{model}")'
        log_lines: list[tuple[str, str]] = []
        for name in sorted(refused.fields - known.fields):
            if name == TOOLS:
                line = "the model takes no tools: asked without them from now on"
                log_lines.append((line, f"{entry}.tools = false {which}"))
            elif name in LIMITS:
                line = f"the model refuses {name}: {LIMITS[name]} is tried instead from now on"
                log_lines.append((line, f'{entry}.maxTokensField = "{LIMITS[name]}" {which}'))
            else:
                log_lines.append((f"the model refuses {name}: left out from now on", ""))
        if refused.longest and refused.longest != known.longest:
            line = f"the model refuses an answer of more than {refused.longest} tokens: asked for no more from now on"
            log_lines.append((line, f"{entry}.maxTokens = {refused.longest} {which}"))
        if refused.system and not known.system:
            line = "the model refuses the system role: its text leads the first question from now on"
            log_lines.append((line, ""))
        if refused.ids and not known.ids:
            log_lines.append(
                ("the model refuses ids of tool calls that others gave: plain ones are sent from now on", "")
            )
        log_lines += [
            (f"the model wants {name} with every tool call: sent blank where there is none from now on", "")
            for name in sorted(refused.lacking - known.lacking)
        ]
        log_lines += [
            (f"the model refuses {name} in schemas of tools: left out from now on", "")
            for name in sorted(refused.keywords - known.keywords)
        ]
        log_lines += [
            (f"the model refuses {name} in messages: left out from now on", "")
            for name in sorted(refused.message_fields - known.message_fields)
        ]
        return log_lines


async def ask_adapting(
    known: Unsupported,
    model: str,
    make: Callable[[bool], Mapping[str, Any]],
    ask: Callable[[dict[str, Any], Emit], Awaitable[T]],
    emit: Emit,
    needed: frozenset[str] = frozenset(),
) -> T:
    """Call `ask` with the body that `make` returns, and repeat it without the parts that are refused.

    `make` is called with whether tools may be used. `needed` fields are never left out. Nothing is repeated after the
    first event of an answer.
    """
    # Not remembered, since it depends on the conversation: the room that is left, and whose thinking it has.
    room: int | None = None
    is_unlimited = is_without_thinking = began = False

    async def emit_and_note(event: AgentEvent) -> None:
        nonlocal began
        began = True
        await emit(event)

    def body() -> dict[str, Any]:
        adapted_body = known.adapt(model, make(known.takes_tools(model)))
        adapted_body = shortened(adapted_body, room) if room else adapted_body
        if is_unlimited:
            adapted_body = {name: value for name, value in adapted_body.items() if name not in LIMITS}
        return without_thoughts(adapted_body) if is_without_thinking else adapted_body

    sent = body()
    while True:
        try:
            return await ask(sent, emit_and_note)
        except AgentError as refusal:
            if began:
                raise
            limits = [value for name in LIMITS if isinstance(value := sent.get(name), int)]
            room_in_window = room_left(refusal.words)
            if room_in_window and any(value > room_in_window for value in limits):
                room = room_in_window
                line = f"the conversation leaves {room} tokens for the answer: asked for no more"
                log.warning(line, **_log_fields(model, refusal))
            elif refuses_thoughts(sent, refusal.words):
                is_without_thinking = True
                log.warning("the model refuses earlier thoughts: asked without thinking", **_log_fields(model, refusal))
            elif known.learn(model, sent, refusal, needed):
                pass  # logged there
            elif limits and not needed & LIMITS.keys() and is_too_long_an_answer(refusal.words):
                is_unlimited = True
                log.warning("the model refuses the answer's length: asked without it", **_log_fields(model, refusal))
            # Nothing could be left out: the same request would be refused again.
            if (again := body()) == sent:
                raise
            sent = again


def _log_fields(model: str, refusal: AgentError) -> dict[str, str]:
    return {"model": model, "refusal": str(refusal)}
