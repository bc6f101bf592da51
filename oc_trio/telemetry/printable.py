"""Sanitises values for log lines: control characters are escaped, long texts cut, odd objects made printable.

So foreign text can't send escape sequences to a terminal, forge a log line, or make logging fail.
"""

import math
import re
from collections.abc import Mapping, MutableMapping
from typing import Any

from structlog.typing import EventDict

from oc_trio.core.text import clean

LONGEST = 50_000  # characters of one value: a traceback is shorter, a model's answer may not be
# Levels of a value in a line of the log; nobody reads deeper, and one that contains itself has to end.
DEEPEST = 20
# Up to here the tests below cost less than what they save.
_SHORT = 100
_LARGEST = 2**63  # larger integers lose digits in readers of JSON logs
# C0 and C1, line separators, and the marks that turn the direction of text.
_CONTROLS = re.compile("[\0-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
_OURS = frozenset({"exception", "stack"})  # written by structlog in several lines


def is_plain(text: str) -> bool:
    """Whether a text is short and such that `plain` would return it as it is."""
    return len(text) <= LONGEST and text.isascii() and "\0" not in text


def plain(value: Any, depth: int = 0) -> Any:
    """`value` as a value that json.dumps takes: clean text of at most `LONGEST` characters, finite numbers."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        # Most values: an id or a word.
        if type(value) is str and len(value) <= _SHORT and value.isascii() and "\0" not in value:
            return value
        text = clean(str(value))
        return text if len(text) <= LONGEST else f"{text[:LONGEST]}... [{len(text) - LONGEST} more]"
    if isinstance(value, int):
        return value if abs(value) < _LARGEST else f"a number of {value.bit_length()} bits"
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if depth >= DEEPEST:
        return "..."
    if isinstance(value, Mapping):
        return {plain(text_of(key), depth): plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item, depth + 1) for item in value]
    return plain(text_of(value), depth)


def text_of(value: Any) -> str:
    """str(), or the type's name where that fails."""
    try:
        return str(value)
    except (ValueError, TypeError, AttributeError, LookupError, RuntimeError):
        return f"<{type(value).__name__}>"


def escaped(text: str) -> str:
    """`text` with each control character as an escape, on one line."""
    return _CONTROLS.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def printable_event(_logger: Any, _method: str, event: EventDict) -> MutableMapping[str, Any]:
    """For text on a terminal. The lines of a traceback are indented, so that none can look like a line of ours."""
    return {
        str(key): _indented(value) if key in _OURS and isinstance(value, str) else _printable(plain(value))
        for key, value in event.items()
    }


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return escaped(value)
    if isinstance(value, dict):
        return {escaped(key): _printable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_printable(item) for item in value]
    return value


def _indented(text: str) -> str:
    return "\n".join("    " + escaped(line) for line in plain(text).split("\n"))
