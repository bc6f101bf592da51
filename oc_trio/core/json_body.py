"""Parses untrusted JSON: every error is one exception, and the result has clean texts and limited depth.

`read_json` is strict, for callers to whom an error can be returned. `read_lenient` repairs texts instead, for peers to
whom it can't (models, tools, Mattermost's events). Limits of size and time are the caller's.
"""

import contextlib
import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import msgspec

from oc_trio.core.text import clean, is_clean

# What callers send, such as a button's context, nests a few levels.
MAX_DEPTH = 32
# Mattermost and models nest about ten levels. json.loads fails near the recursion limit (1000), and a value that it can
# just read may be too deep to be written again from a deeper stack.
MAX_DEPTH_LENIENT = 100
# About the largest float; most JSON readers can't read larger integers.
_LARGEST_INTEGER = 10**308

# One alternative per kind of escape: a proper surrogate pair, a lone half, NUL, anything else (so that the second
# backslash of an escaped backslash never starts an escape of its own).
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{2})|(?P<nul>u0000)|.)",
    re.DOTALL,
)
_BRACKETS_AND_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


class BadJson(ValueError):
    """The text is not acceptable JSON; str() says why without quoting it."""


def read_json(body: bytes) -> Any:
    """The JSON value in a body of UTF-8 bytes.

    Raises BadJson for bad UTF-8, bad syntax, lone surrogates, NUL, NaN, Infinity and numbers too large for a float or
    of absurd length, and nesting deeper than `MAX_DEPTH`.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise BadJson("not UTF-8") from None
    if not is_clean(text) or _repair_escapes(text) != text:
        raise BadJson("not clean: half of a surrogate pair, or NUL, in a text")
    return _read(text, MAX_DEPTH)


def read_object(body: bytes) -> dict[str, Any]:
    """As `read_json`, and the value must be an object."""
    return _object(read_json(body))


def read_lenient(text: str | bytes, max_depth: int = MAX_DEPTH_LENIENT) -> Any:
    """The JSON value in a peer's text; lone surrogates and bad UTF-8 become U+FFFD, NUL and a BOM are removed.

    Raises BadJson for bad syntax, NaN, Infinity, absurd numbers and nesting deeper than `max_depth`.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    return _read(_repair_escapes(clean(text.removeprefix("\ufeff"))), max_depth)


def read_keeping_surrogates(text: str, max_depth: int = MAX_DEPTH_LENIENT) -> Any:
    """As `read_lenient`, but lone surrogates stay: the caller joins them with those of the next piece.

    What is not joined must go through `core.text.clean` or `clean_value` before use. NaN, Infinity and too large floats
    become None: servers write them beside an answer, as probabilities, and the answer must not fail for that.
    """
    return _read(clean(text.removeprefix("\ufeff")), max_depth, parse_constant=_nothing, parse_float=_finite_or_none)


def read_lenient_object(text: str | bytes, max_depth: int = MAX_DEPTH_LENIENT) -> dict[str, Any]:
    """As `read_lenient`, and the value must be an object."""
    return _object(read_lenient(text, max_depth))


def needs_no_mending(text: str, max_depth: int = MAX_DEPTH_LENIENT) -> bool:
    """Whether `read_lenient` would read a text as it is, if its syntax is JSON's."""
    return (text.isascii() or is_clean(text)) and not _has_bad_escapes(text) and not _is_deeper_than(text, max_depth)


def checked_value(value: Any, max_depth: int = MAX_DEPTH_LENIENT) -> Any:
    """A cleaned copy of a value that another library has parsed: what `read_lenient` would have returned.

    Raises BadJson for values that JSON does not have (NaN, Infinity, other types), for too large numbers, and for
    nesting deeper than `max_depth`.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, int):
        if abs(value) > _LARGEST_INTEGER:
            raise BadJson("not JSON: a number is too large")
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise BadJson("not JSON: NaN or Infinity")
        return value
    if max_depth <= 0:
        raise BadJson("nested too deep")
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise BadJson("not JSON: a key that is no text")
        return {clean(key): checked_value(item, max_depth - 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [checked_value(item, max_depth - 1) for item in value]
    raise BadJson("not JSON")


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadJson("not a JSON object")
    return value


def _read(
    text: str,
    max_depth: int,
    *,
    parse_constant: Callable[[str], Any] | None = None,
    parse_float: Callable[[str], Any] | None = None,
) -> Any:
    if _is_deeper_than(text, max_depth):
        raise BadJson("nested too deep")
    if parse_constant is None and parse_float is None:
        # Takes a third of the time. It refuses what `json` refuses, and what we refuse of what `json` takes.
        with contextlib.suppress(msgspec.MsgspecError, ValueError, RecursionError):
            return msgspec.json.decode(text)
    try:
        return json.loads(text, parse_constant=parse_constant or _refuse_constant, parse_float=parse_float or _finite)
    except BadJson:
        raise
    except (ValueError, RecursionError):
        raise BadJson("not JSON") from None


def has_more_values(value: Any, most: int) -> bool:
    """Whether JSON holds more values than `most`, at any depth; a look at that many tells."""
    seen, left = 0, [value]
    while left:
        item = left.pop()
        inner = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
        seen += len(inner)
        if seen > most:
            return True
        left.extend(inner)
    return False


def _repair_escapes(text: str) -> str:
    return _ESCAPE.sub(_repaired_escape, text) if _has_bad_escapes(text) else text


def _has_bad_escapes(text: str) -> bool:
    """Whether there may be a surrogate or NUL among the escapes."""
    return "\\u" in text and ("\\ud" in text or "\\uD" in text or "\\u0000" in text)


def _repaired_escape(match: re.Match[str]) -> str:
    if match["lone"]:
        return "\\ufffd"
    return "" if match["nul"] else match[0]


def _is_deeper_than(text: str, limit: int) -> bool:
    # Cheap test first: without enough brackets it can't be too deep.
    if text.count("[") + text.count("{") <= limit:
        return False
    depth = 0
    for token in _BRACKETS_AND_STRINGS.finditer(text):
        first = token[0][0]
        depth += (first in "[{") - (first in "]}")
        if depth > limit:
            return True
    return False


def _refuse_constant(name: str) -> NoReturn:
    raise BadJson(f"not JSON: {name}")


def _finite(digits: str) -> float:
    """Refuses `1e999`: Python reads it as infinity, which json.dumps writes as invalid JSON."""
    number = float(digits)
    if not math.isfinite(number):
        raise BadJson("not JSON: a number is too large")
    return number


def _nothing(_name: str) -> None:
    return None


def _finite_or_none(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None
