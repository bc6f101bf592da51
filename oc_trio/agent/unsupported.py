"""What each model was found not to take, left out from then on.

What a refusal names is `refusals`'. `Unsupported` remembers it for each model of one provider and logs it once, with
the key that makes it permanent.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from attrs import define, field

from oc_trio.agent.refusals import (
    LIMITS,
    NOTHING,
    STREAM,
    THOUGHTS,
    TOOLS,
    Refused,
    is_too_long_an_answer,
    refused,
    refuses_thoughts,
    room_left,
)
from oc_trio.agent.stream import Emit
from oc_trio.core.turn_events import AgentEvent
from oc_trio.errors import AgentError
from oc_trio.telemetry.log import get_logger

T = TypeVar("T")

log = get_logger(part="agent")

# Nothing of tools means anything without `tools`.
_WITH_TOOLS = frozenset({TOOLS, "tool_choice", "parallel_tool_calls", "functions", "function_call"})
_LEAST_THINKING = 1024  # tokens; Anthropic takes no smaller budget
_MORE = {"type": "text", "text": "(thought)"}


@define
class Unsupported:
    """What each model of one provider was found not to take. All agents of the provider share it."""

    provider: str = ""
    _found: dict[str, Refused] = field(factory=dict, init=False)

    def shaped(self, model: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """`body` as this model takes it."""
        known = self._known(model)
        made = dict(body)
        for name in known.fields & made.keys() - {STREAM}:
            value, other = made.pop(name), LIMITS.get(name)
            if other and other not in known.fields:
                made.setdefault(other, value)
        if TOOLS in known.fields:
            made = {name: value for name, value in made.items() if name not in _WITH_TOOLS}
        if STREAM in known.fields:
            made[STREAM] = False
            made.pop("stream_options", None)
        if known.longest:
            made = _shortened(made, known.longest)
        if known.message_fields:
            made["messages"] = [_without(message, known.message_fields) for message in made["messages"]]
        return _without_system(made) if known.system else made

    def takes_tools(self, model: str) -> bool:
        return TOOLS not in self._known(model).fields

    def learn(self, model: str, sent: Mapping[str, Any], refusal: AgentError) -> bool:
        """Whether `refusal` names something of `sent` that can be left out; it is remembered."""
        found, known = refused(sent, refusal.words), self._known(model)
        for remark, key in self._remarks(model, found, known):
            log.warning(remark, model=model, key=key, refusal=str(refusal))
        self._found[model] = known | found
        return bool(found)

    def _known(self, model: str) -> Refused:
        return self._found.get(model, NOTHING)

    def _remarks(self, model: str, found: Refused, known: Refused) -> list[tuple[str, str]]:
        """What is new, each with the key of the configuration that makes it permanent, "" where there is none."""
        entry, which = f"models.providers.{self.provider or '<id>'}.models[]", f'(for id = "{model}")'
        remarks: list[tuple[str, str]] = []
        for name in sorted(found.fields - known.fields):
            if name == TOOLS:
                line = "the model takes no tools: asked without them from now on"
                remarks.append((line, f"{entry}.tools = false {which}"))
            elif name in LIMITS:
                line = f"the model refuses {name}: {LIMITS[name]} is tried instead from now on"
                remarks.append((line, f'{entry}.maxTokensField = "{LIMITS[name]}" {which}'))
            else:
                remarks.append((f"the model refuses {name}: left out from now on", ""))
        if found.longest:
            line = f"the model refuses an answer of more than {found.longest} tokens: asked for no more from now on"
            remarks.append((line, f"{entry}.maxTokens = {found.longest} {which}"))
        if found.system and not known.system:
            line = "the model refuses the system role: its text leads the first question from now on"
            remarks.append((line, ""))
        remarks += [
            (f"the model refuses {name} in messages: left out from now on", "")
            for name in sorted(found.message_fields - known.message_fields)
        ]
        return remarks


def _shortened(body: Mapping[str, Any], longest: int) -> dict[str, Any]:
    """`body` with at most `longest` tokens asked for; thinking, which counts among them, leaves half of them."""
    made = dict(body)
    for name in LIMITS.keys() & made.keys():
        if isinstance(made[name], int):
            made[name] = min(made[name], longest)
    thinking = made.get("thinking")
    if isinstance(thinking, dict) and isinstance(budget := thinking.get("budget_tokens"), int) and budget >= longest:
        made["thinking"] = {**thinking, "budget_tokens": longest // 2}
        if longest // 2 < _LEAST_THINKING:
            del made["thinking"]
    return made


def _without(message: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    made = {name: value for name, value in message.items() if name not in names}
    for key in ("content", "tool_calls"):
        if isinstance(parts := made.get(key), list):
            made[key] = [_without(part, names) if isinstance(part, dict) else part for part in parts]
    if isinstance(function := made.get("function"), dict):
        made["function"] = _without(function, names)
    return made


def _without_thoughts(body: Mapping[str, Any]) -> dict[str, Any]:
    """Without blocks of thinking, and without asking for any; a message that held nothing else keeps a word."""
    made = {name: value for name, value in body.items() if name != "thinking"}
    made["messages"] = [
        {**message, "content": [part for part in content if part.get("type") not in THOUGHTS] or [_MORE]}
        if isinstance(content := message.get("content"), list)
        else message
        for message in body["messages"]
    ]
    return made


def _without_system(body: Mapping[str, Any]) -> dict[str, Any]:
    """The system message in front of the first question: well-formed messages begin with a user's."""
    made = {name: value for name, value in body.items() if name != "system"}
    given = [body.get("system"), *(each["content"] for each in body["messages"] if each["role"] == "system")]
    text = "\n\n".join(filter(None, map(_text, given)))
    first, *later = [each for each in body["messages"] if each["role"] != "system"]
    content = first["content"]
    led = [{"type": "text", "text": text}, *content] if isinstance(content, list) else f"{text}\n\n{content}"
    made["messages"] = [{**first, "content": led} if text else first, *later]
    return made


def _text(content: object) -> str:
    if isinstance(content, list):
        return "\n\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


async def ask_adapting(
    known: Unsupported,
    model: str,
    make: Callable[[bool], Mapping[str, Any]],
    ask: Callable[[dict[str, Any], Emit], Awaitable[T]],
    emit: Emit,
) -> T:
    """`ask` with the body that `make` gives (told whether tools may be used), again without each field that is refused.

    Nothing is asked again after the first event of an answer.
    """
    # What depends on the conversation is not remembered: the room that is left, and whose thoughts it holds.
    room: int | None = None
    is_unlimited = is_thoughtless = began = False

    async def noted(event: AgentEvent) -> None:
        nonlocal began
        began = True
        await emit(event)

    while True:
        body = known.shaped(model, make(known.takes_tools(model)))
        sent = _shortened(body, room) if room else body
        if is_unlimited:
            sent = {name: value for name, value in sent.items() if name not in LIMITS}
        if is_thoughtless:
            sent = _without_thoughts(sent)
        try:
            return await ask(sent, noted)
        except AgentError as refusal:
            if began:
                raise
            limits = [value for name in LIMITS if isinstance(value := sent.get(name), int)]
            found = room_left(refusal.words)
            if found and any(value > found for value in limits):
                room = found
                log.warning(
                    f"the conversation leaves {room} tokens for the answer: asked for no more", **_about(model, refusal)
                )
            elif refuses_thoughts(sent, refusal.words):
                is_thoughtless = True
                log.warning("the model refuses earlier thoughts: asked without thinking", **_about(model, refusal))
            elif known.learn(model, sent, refusal):
                continue
            elif limits and is_too_long_an_answer(refusal.words):
                is_unlimited = True
                log.warning("the model refuses the answer's length: asked without it", **_about(model, refusal))
            else:
                raise


def _about(model: str, refusal: AgentError) -> dict[str, str]:
    return {"model": model, "refusal": str(refusal)}
