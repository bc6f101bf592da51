"""Assembles the tool calls of a streamed chat completion from their fragments. Pure.

OpenAI numbers the calls and gives each an id with its first fragment. Other servers leave either out, give all calls
the same number, a new id with every fragment, the name in pieces or with each fragment, or write the arguments of
several calls in a row. Every call comes out once, with an id of its own.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from attrs import field

from oc_trio.agent import shapes
from oc_trio.agent.port import ToolCall
from oc_trio.agent.tool_loop import MAX_CALLS, MAX_EXTRA, RequestedCall
from oc_trio.classes import define
from oc_trio.core.json_body import BadJson, has_more_values, read_lenient
from oc_trio.core.text import clean, clean_value, joined
from oc_trio.core.turn_events import Opaque

UNNAMED = "unnamed_tool"
MAX_ARGUMENTS = 1_000_000  # characters of one call's arguments: they are read several times, and written down
_NO_OBJECT = "The arguments must be a JSON object."
_TOO_LONG = f"The arguments are longer than {MAX_ARGUMENTS:,} characters."
_KNOWN = frozenset({"index", "id", "type", "function", "name", "arguments"})


@define
class _StreamedCall:
    """A call while its fragments come in; `whole` is a value of `arguments` that was not text."""

    index: int | None
    id: str = ""
    name: str = ""
    arguments: str = ""
    whole: object = None
    extra: dict[str, Any] = field(factory=dict)
    _looked_at: int = field(default=-1, init=False)
    _is_object: bool = field(default=False, init=False)

    @property
    def given(self) -> object:
        return self.arguments if self.whole is None else self.whole

    @property
    def is_complete(self) -> bool:
        """Whether the arguments are a JSON object already, so that nothing can be missing."""
        if self.whole is not None:
            return True
        if self._looked_at != len(self.arguments):  # it is asked for again with each fragment of any call
            self._looked_at = len(self.arguments)
            self._is_object = self.arguments.rstrip().endswith("}") and _is_object(self.arguments)
        return self._is_object

    def grow(self, arguments: str, *, is_again: bool) -> None:
        """Append a fragment; complete arguments ignore a repetition of themselves, and blanks."""
        if not (self.is_complete and (is_again or not arguments.strip())):
            self.arguments += arguments


class ToolCallReader:
    """Feed it the `tool_calls` of each chunk; `requested_calls` returns the calls."""

    def __init__(self, names: Collection[str] = ()) -> None:
        """`names` are the tools on offer: two whole names are two calls, anything else is a name in pieces."""
        self._calls: list[_StreamedCall] = []
        self._names = frozenset(names)

    def __bool__(self) -> bool:
        return bool(self._calls)

    def feed(self, entries: Sequence[object]) -> None:
        """Read one chunk's entries; what is no object is left out."""
        named: list[_StreamedCall] = []  # an entry with a name never belongs to a call that this list has named before
        for entry in entries:
            if isinstance(entry, dict) and (call := self._read(entry, named)) is not None:
                named.append(call)

    def requested_calls(self, taken: Collection[str] = ()) -> tuple[RequestedCall, ...]:
        """The calls in order, `MAX_CALLS` at most. `taken` are ids that the conversation holds already."""
        used = set(taken)
        return tuple(
            islice((requested for call in self._calls for requested in _requested_calls(call, used)), MAX_CALLS)
        )

    def _read(self, entry: Mapping[str, Any], named: Sequence[_StreamedCall]) -> _StreamedCall | None:
        function = entry.get("function")
        inner = shapes.mapping(function) or entry
        name = shapes.name(inner.get("name")) or shapes.text(function)
        call_id, index, arguments = (
            shapes.name(entry.get("id")),
            shapes.index(entry.get("index")),
            inner.get("arguments"),
        )
        if not (name or call_id or arguments not in (None, "")):
            return None
        call = self._continued(index, call_id, name, arguments)
        if call is not None and name and not (call_id and call_id == call.id) and any(call is other for other in named):
            call = None
        if call is None and len(self._calls) >= MAX_CALLS:
            return None
        if call is None:
            # Arguments without a name behind a whole call are another call of the same tool.
            call = _StreamedCall(index, call_id, name or (self._calls[-1].name if self._calls else ""))
            self._calls.append(call)
        elif name and name != call.name and not call.arguments and call.whole is None:
            call.name = name if name.startswith(call.name) else call.name + name
        call.id = call.id or call_id
        if isinstance(arguments, str):
            call.grow(arguments, is_again=bool(call_id) and call_id == call.id and arguments == call.arguments)
        elif arguments is not None:
            call.whole = arguments
        for key, value in entry.items():
            if key not in _KNOWN and value is not None:
                call.extra[key] = value
        for key, value in shapes.mapping(function).items():
            if key not in _KNOWN and value is not None:
                call.extra.setdefault("function", {})[key] = value
        return call if name else None

    def _continued(self, index: int | None, call_id: str, name: str, arguments: object) -> _StreamedCall | None:
        """The call that a fragment belongs to; None where it begins one."""
        near = [call for call in self._calls if index is None or call.index in (None, index)]
        if call_id and (same := [call for call in near if call.id == call_id]):
            call = same[-1]
            is_other = call.is_complete and ((name and name != call.name) or arguments not in ("", None, call.given))
            return None if is_other and not (name in ("", call.name) and isinstance(arguments, str)) else call
        if not near:
            return None
        last = near[-1]
        if call_id and last.id:
            # Some servers invent an id for every fragment: without a name it goes on with what is not whole yet.
            return None if name or last.is_complete else last
        if last.arguments.strip() == "{}" and not name and not call_id and isinstance(arguments, str):
            last.arguments = ""  # some servers announce every call with empty arguments
            return last
        if last.is_complete:
            return last if name in ("", last.name) and (arguments is None or not str(arguments).strip()) else None
        return None if name and name != last.name and (last.arguments or self._are_two(last.name, name)) else last

    def _are_two(self, one: str, two: str) -> bool:
        return one in self._names and two in self._names and one + two not in self._names


def parse_arguments(given: object) -> tuple[dict[str, Any], str]:
    """The JSON object that a model gave, as text or as it is; else an empty one and the reason, for the model."""
    if given is None or (isinstance(given, str) and not given.strip()):
        return {}, ""
    if isinstance(given, str):
        if len(given) > MAX_ARGUMENTS:
            return {}, _TOO_LONG
        try:
            given = read_lenient(given)
            if isinstance(given, str):  # encoded twice
                given = read_lenient(given)
        except BadJson as exc:
            return {}, f"The arguments are not valid JSON: {exc}"
    return (clean_value(given), "") if isinstance(given, dict) else ({}, _NO_OBJECT)


def free_id(used: Collection[str]) -> str:
    """An id that the conversation does not hold yet: nine letters and digits, as the strictest API wants them."""
    at = len(used)
    while (new_id := f"call{at:05}") in used:
        at += 1
    return new_id


def _requested_calls(call: _StreamedCall, used: set[str]) -> Iterator[RequestedCall]:
    name = clean(call.name).strip()
    argument_values: Sequence[object] = (
        (call.whole,) if call.whole is not None else _split_objects(joined(call.arguments).strip())
    )
    for at, value in enumerate(argument_values):
        call_id = clean(call.id).strip()
        if not call_id or call_id in used:
            call_id = free_id(used)
        used.add(call_id)
        arguments, problem = parse_arguments(value)
        if not name:
            problem = "The call names no tool."
        extra = clean_value(call.extra) if at == 0 and not has_more_values(call.extra, MAX_EXTRA) else {}
        yield RequestedCall(ToolCall(call_id, name or UNNAMED, arguments, Opaque(call=extra)), problem)


def _split_objects(text: str) -> list[str]:
    """The arguments of each call, where several objects follow each other; else the text as it is."""
    if len(text) > MAX_ARGUMENTS:
        return [text]
    decoder, parts, at = json.JSONDecoder(), list[str](), 0
    while at < len(text) and len(parts) < MAX_CALLS:
        start = at
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            return [text]
        if not isinstance(value, dict):
            return [text]
        parts.append(text[start:at])
        at += len(text) - at - len(text[at:].lstrip(" \t\r\n,"))
    return parts or [text]


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
