"""Formats exceptions for the log without quoting message texts: type and frames, a message only where it is safe.

Python's own errors quote the value that they refuse (`KeyError('...')`, `invalid literal for int(): '...'`), which may
be what a person or a model wrote. Only errors of ours and of the operating system keep their text.
"""

import sys
import traceback
from collections.abc import Iterator, MutableMapping, Sequence
from typing import Any

import structlog
from structlog.typing import EventDict

from oc_trio.errors import OcTrioError


def in_words(problem: BaseException) -> str:
    """One line that quotes nothing: our own errors' text, of others the type, and the system's reason or the place."""
    if isinstance(problem, OcTrioError):
        return str(problem)
    kind = type(problem).__name__
    if isinstance(problem, OSError) and problem.strerror:
        return f"{kind}: {problem.strerror}"
    frames = traceback.extract_tb(problem.__traceback__)
    return f"{kind} in {frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else kind


class Tracebacks:
    """A processor that puts `exception` in the place of `exc_info`: rows for JSON, text for people."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        # Frames without their locals: locals hold tokens.
        self._rows = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)

    def __call__(self, _logger: Any, _method: str, event: EventDict) -> MutableMapping[str, Any]:
        problem = _exception(event.pop("exc_info", None))
        if problem is not None:
            rows = self._rows((type(problem), problem, problem.__traceback__))
            texts = {str(one): _reason(one) for one in _all(problem) if isinstance(one, (OcTrioError, OSError))}
            for row in rows:
                _hide(row, texts)
            event["exception"] = rows if self._as_json else "\n".join(_lines(rows))
        return event


def _exception(exc_info: Any) -> BaseException | None:
    if isinstance(exc_info, tuple):
        exc_info = exc_info[1]
    elif exc_info and not isinstance(exc_info, BaseException):
        exc_info = sys.exc_info()[1]
    return exc_info if isinstance(exc_info, BaseException) else None


def _reason(problem: OcTrioError | OSError) -> str:
    return (problem.strerror or "") if isinstance(problem, OSError) else str(problem)


def _all(problem: BaseException) -> Iterator[BaseException]:
    """The exception with its causes, contexts and members, each once."""
    waiting, visited = [problem], set[int]()
    while waiting:
        current = waiting.pop()
        # By identity: causes and contexts may form a circle.
        if id(current) not in visited:
            visited.add(id(current))
            yield current
            members = current.exceptions if isinstance(current, BaseExceptionGroup) else ()
            waiting += [each for each in (current.__cause__, current.__context__, *members) if each is not None]


def _hide(row: dict[str, Any], texts: dict[str, str]) -> None:
    """Remove all texts but the safe ones from a row of structlog's, and from those of a group's members."""
    row["exc_value"] = texts.get(row["exc_value"], "")
    row["exc_notes"], row["syntax_error"] = [], None
    for member in row.get("exceptions") or ():
        for inner in member:
            _hide(inner, texts)


def _lines(rows: Sequence[dict[str, Any]], indent: str = "") -> Iterator[str]:
    for row in reversed(rows):
        yield f"{indent}Traceback (most recent call last):"
        for frame in row["frames"]:
            yield f'{indent}  File "{frame["filename"]}", line {frame["lineno"]}, in {frame["name"]}'
        yield indent + row["exc_type"] + (f": {row['exc_value']}" if row["exc_value"] else "")
        for member in row.get("exceptions") or ():
            yield from _lines(member, indent + "  | ")
