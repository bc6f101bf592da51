"""What a model refuses to be sent (tools, `max_tokens`, a temperature), found in its words and left out from then on.

Servers refuse with 400, 404, 422 or 500 and in their own words; whether the words name a field is decided here, purely.
`Unsupported` remembers it for each model of one provider and logs it once, with the key that makes it permanent.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from attrs import define, field

from oc_trio.agent.stream import Emit
from oc_trio.core.turn_events import AgentEvent
from oc_trio.errors import AgentError
from oc_trio.telemetry.log import get_logger

T = TypeVar("T")

log = get_logger(part="agent")

TOOLS = "tools"
# Nothing of tools means anything without `tools`.
_WITH_TOOLS = frozenset({TOOLS, "tool_choice", "parallel_tool_calls", "functions", "function_call"})
_NEEDED = frozenset({"model", "messages", "stream", "system"})
_LIMITS = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}

# Looked for in words that `_plain` made plain: lower case, one blank between them.
_TOPIC = (
    r"\b(?:tools?|tool[ _-](?:use|calls?|calling|choice)|function[ _-]?call(?:s|ing)?|functions)\b"
    r"(?! (?:names?|ids?|type|schema|results?|messages?)\b)"
)
_REFUSES_TOOLS = re.compile(
    rf"(?:\bnot|n't|\bcannot|\bno longer)(?: \w+){{0,2}} support\w*(?: [\w'-]+){{0,5}} {_TOPIC}"
    rf"|{_TOPIC}(?: [\w'-]+){{0,2}} (?:not|isn't|aren't|cannot|can't)(?: \w+){{0,2}}"
    r" (?:supported|enabled|allowed|available|permitted)\b"
    rf"|{_TOPIC}(?: [\w'-]+){{0,2}} (?:unsupported|disabled|unavailable)\b"
    rf"|\bunsupported(?: [\w'-]+){{0,3}} {_TOPIC}"
    rf"|\bno(?: \w+){{1,3}} support(?: [\w'-]+){{0,3}} {_TOPIC}"
    rf"|\b(?:no|without|lacks) {_TOPIC} support"
    rf"|{_TOPIC}(?: [\w'-]+){{0,3}} requires? --"
)
_UNKNOWN = re.compile(
    r"\bun(?:supported|known|recogni[sz]ed|expected)\b|\bnot (?:\w+ ){0,2}?(?:support|permit|allow|recogni[sz]e)"
    r"|n't (?:\w+ )?support|\bonly the default\b|\bextra (?:inputs|fields|input)\b|\bno such (?:parameter|field)\b"
    r"|\binvalid (?:parameter|argument|field)\b|\bdeprecated\b|\badditional properties\b"
)
_REFUSES_THINKING = re.compile(
    r"\bsupport(?: \w+)? thinking\b|\bthinking(?: \w+)? not (?:supported|enabled|available)\b"
)
_TOO_LARGE = re.compile(r"\bmax_(?:completion_)?tokens\b(?: [\w'-]+){0,4} (?:is|are) too (?:large|big|high)\b")


def refuses_tools(words: str) -> bool:
    """Whether a server says with these words that its model takes no tools."""
    return _REFUSES_TOOLS.search(_plain(words)) is not None


def refused_fields(body: Mapping[str, Any], words: str) -> frozenset[str]:
    """The optional fields of `body` that a server refuses with these words.

    A long name is enough (`stream_options`); a name that is an ordinary word (`stop`) must stand in quotes.
    """
    if TOOLS in body and refuses_tools(words):
        return frozenset({TOOLS})
    plain = _plain(words)
    if (thinking := body.keys() & {"thinking", "reasoning_effort"}) and _REFUSES_THINKING.search(plain):
        return frozenset(thinking)
    if not _UNKNOWN.search(plain):
        # We added these two ourselves, so that whatever is said of them is no mistake of the operator's.
        return frozenset(name for name in ("stream_options", "reasoning_effort") if name in body and name in words)
    return frozenset(name for name in body if name not in _NEEDED and _names(words, name))


def _plain(words: str) -> str:
    """Lower case, one blank between words, apostrophes only within them."""
    return re.sub(r"(?:[^\w'-]|(?<!\w)'|'(?!\w))+", " ", words.lower().replace("\u2019", "'"))


def _names(words: str, name: str) -> bool:
    escaped = re.escape(name)
    # Pydantic's "top_k: Extra inputs are not permitted" stands at the beginning of a sentence.
    found = rf"['\"`]{escaped}['\"`]|(?:^|: ){escaped}: "
    found += rf"|(?:supplied|parameter|argument|field|property)s?:? {escaped}(?![\w\[.-])"
    if "_" in name or name == "temperature":
        found += rf"|(?<![\w.-]){escaped}(?![\w\[-]|\.\w)"
    return re.search(found, words) is not None


@define
class Unsupported:
    """What each model of one provider was found not to take. All agents of the provider share it."""

    provider: str = ""
    _found: dict[str, frozenset[str]] = field(factory=dict, init=False)

    def shaped(self, model: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """`body` as this model takes it."""
        left_out = self._found.get(model, frozenset())
        made = dict(body)
        for name in left_out & made.keys():
            value, other = made.pop(name), _LIMITS.get(name)
            if other and other not in left_out:
                made.setdefault(other, value)
        if TOOLS in left_out:
            made = {name: value for name, value in made.items() if name not in _WITH_TOOLS}
        return made

    def takes_tools(self, model: str) -> bool:
        return TOOLS not in self._found.get(model, frozenset())

    def learn(self, model: str, sent: Mapping[str, Any], refusal: AgentError) -> bool:
        """Whether `refusal` names something of `sent` that can be left out; it is remembered."""
        refused = refused_fields(sent, refusal.words)
        for name in sorted(refused - self._found.get(model, frozenset())):
            log.warning(_remark(name), model=model, key=self._key(name, model), refusal=str(refusal))
        self._found[model] = self._found.get(model, frozenset()) | refused
        return bool(refused)

    def _key(self, name: str, model: str) -> str:
        entry = f"models.providers.{self.provider or '<id>'}.models[]"
        if name == TOOLS:
            return f'{entry}.tools = false (for id = "{model}")'
        if name in _LIMITS:
            return f'{entry}.maxTokensField = "{_LIMITS[name]}" (for id = "{model}")'
        return ""


def _remark(name: str) -> str:
    if name == TOOLS:
        return "the model takes no tools: asked without them from now on"
    if name in _LIMITS:
        return f"the model refuses {name}: {_LIMITS[name]} is tried instead from now on"
    return f"the model refuses {name}: left out from now on"


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
    once_without: set[str] = set()
    began = False

    async def noted(event: AgentEvent) -> None:
        nonlocal began
        began = True
        await emit(event)

    while True:
        body = known.shaped(model, make(known.takes_tools(model)))
        sent = {name: value for name, value in body.items() if name not in once_without}
        try:
            return await ask(sent, noted)
        except AgentError as refusal:
            if began:
                raise
            limits = sent.keys() & _LIMITS.keys()
            if limits and _TOO_LARGE.search(_plain(refusal.words)):
                # The room that is left depends on the conversation, so this is not remembered.
                once_without |= limits
                log.warning(
                    "the model refuses the answer's length: asked without it", model=model, refusal=str(refusal)
                )
            elif not known.learn(model, sent, refusal):
                raise
