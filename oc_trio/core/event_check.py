"""Validates the events of third-party agents: right types, clean text, arguments that are JSON. Pure.

Python does not check the types of fields; what is not checked here would fail later, in the journal or in the chat.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from attrs import evolve

from oc_trio.core.json_body import BadJson, read_lenient_object
from oc_trio.core.text import clean
from oc_trio.core.turn_events import (
    AgentEvent,
    Button,
    Failed,
    Final,
    Headline,
    Media,
    PlanStep,
    PlanUpdated,
    TextDelta,
    Thinking,
    ToolEnded,
    ToolStarted,
    ToolStatus,
    Usage,
)

# Of one list in an event: steps of a plan, files, rows of buttons and the buttons of a row. No post shows as many, and
# each is looked at again and again while an answer grows or is delivered.
MAX_ITEMS = 100
MAX_TOKENS = 2**53  # every JSON reader keeps integers exact up to here, and the journal adds many of them up


class BadEvent(ValueError):
    """The value is no event, or one of its fields has a wrong type; str() names the field and quotes no value."""


def token_count(value: object) -> int:
    """`value` as a number of tokens. Raises ValueError for anything but a whole number from 0 to `MAX_TOKENS`."""
    # Agents in other languages may write 12.0.
    if isinstance(value, float) and value.is_integer() and abs(value) <= MAX_TOKENS:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_TOKENS:
        raise ValueError("a whole number from 0 to 2^53")
    return value


def checked(event: object) -> AgentEvent:
    """`event` with clean text. Raises BadEvent."""
    # By the exact class: a subclass could have fields that nobody checks.
    if type(event) not in _EVENTS:
        raise BadEvent(f"{type(event).__name__} is no event")
    checked_event: AgentEvent = _read(event)
    return checked_event


def _read(value: Any) -> Any:
    kind = type(value)
    changes = {name: read(f"{kind.__name__}.{name}", getattr(value, name)) for name, read in _FIELDS[kind].items()}
    return evolve(value, **changes)


def _text(what: str, value: object) -> str:
    if not isinstance(value, str):
        raise BadEvent(f"{what} is no text")
    # `str`, since a subclass of it may compare or hash as it likes.
    return clean(str(value))


def _flag(what: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise BadEvent(f"{what} is not True or False")
    return value


def _status(what: str, value: object) -> ToolStatus:
    if not isinstance(value, ToolStatus):
        raise BadEvent(f"{what} is no ToolStatus")
    return value


def _arguments(what: str, value: object) -> Mapping[str, Any]:
    """A mapping that JSON can represent: the transcript and the model's server accept nothing else."""
    if not isinstance(value, Mapping):
        raise BadEvent(f"{what} is no mapping")
    try:
        # There and back, so that what is checked is what will be kept: keys become texts, tuples lists.
        return read_lenient_object(json.dumps(dict(value)))
    except (TypeError, ValueError, RecursionError) as problem:
        detail = str(problem) if isinstance(problem, BadJson) else type(problem).__name__
        raise BadEvent(f"{what} can't be written as JSON ({detail})") from None


def _one(kind: type) -> Callable[[str, object], Any]:
    def read(what: str, value: object) -> Any:
        if type(value) is not kind:
            raise BadEvent(f"{what} is no {kind.__name__}")
        return _read(value)

    return read


def _many(read: Callable[[str, object], Any]) -> Callable[[str, object], tuple[Any, ...]]:
    def read_all(what: str, value: object) -> tuple[Any, ...]:
        if not isinstance(value, (tuple, list)):
            raise BadEvent(f"{what} is no tuple")
        if len(value) > MAX_ITEMS:
            raise BadEvent(f"{what} has more than {MAX_ITEMS} items")
        return tuple(read(what, one) for one in value)

    return read_all


def _count(what: str, value: object) -> int:
    try:
        return token_count(value)
    except ValueError as problem:
        raise BadEvent(f"{what} is not {problem}") from None


_Readers = Mapping[str, Callable[[str, object], Any]]

_FIELDS: Mapping[type, _Readers] = {
    Thinking: {"text": _text},
    TextDelta: {"text": _text},
    Headline: {"text": _text},
    ToolStarted: {"call_id": _text, "name": _text, "arguments": _arguments, "detail": _text},
    ToolEnded: {"call_id": _text, "name": _text, "status": _status, "result": _text, "detail": _text},
    PlanStep: {"text": _text, "state": _text},
    PlanUpdated: {"steps": _many(_one(PlanStep))},
    Media: {"path": _text, "url": _text, "name": _text, "mime": _text},
    Button: {"label": _text, "value": _text, "url": _text, "style": _text, "id": _text},
    Usage: {"input_tokens": _count, "output_tokens": _count, "model": _text},
    Final: {
        "text": _text,
        "media": _many(_one(Media)),
        "buttons": _many(_many(_one(Button))),
        "usage": _one(Usage),
        "silent_reason": _text,
    },
    Failed: {"for_user": _text, "for_operator": _text, "retryable": _flag},
}
_EVENTS = frozenset({Thinking, TextDelta, Headline, ToolStarted, ToolEnded, PlanUpdated, Final, Failed})
