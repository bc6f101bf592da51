"""Reads JSON values of a model's server: a value of an unexpected type reads as empty. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from oc_trio.core.text import clean

# More tokens than any model reads or writes for one request; sums of a turn's requests fit into 32 bits.
_MAX_TOKENS = 100_000_000
_LONGEST_NAME = 200


def mapping(value: object) -> Mapping[str, Any]:
    """An object, or an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> Sequence[Any]:
    """A list; a single object counts as a list of one."""
    if isinstance(value, list):
        return value
    return [value] if isinstance(value, dict) else ()


def text(value: object) -> str:
    """A string, or an empty one."""
    return value if isinstance(value, str) else ""


def name(value: object) -> str:
    """A string or a number as text of at most 200 characters: for ids, names, types and codes."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**18:
        value = str(value)
    return clean(text(value)[:_LONGEST_NAME])


def index(value: object) -> int | None:
    """An index, also one written as text; None for anything else."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        value = int(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 10**9:
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9 else None


def count(value: object) -> int:
    """A number of tokens; 0, which means unknown, for what can't be one."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_TOKENS else 0


def text_and_thinking(value: object) -> tuple[str, str]:
    """The text and the thoughts of a message's content: a string, a part, or a list of parts."""
    if isinstance(value, str):
        return value, ""
    texts: list[str] = []
    thoughts: list[str] = []
    for part in items(value) if not isinstance(value, list) else value:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict):
            texts.append(text(part.get("text")) or text(part.get("refusal")))
            inner = part.get("thinking")
            thoughts.append(inner if isinstance(inner, str) else "".join(text_and_thinking(inner)))
    return "".join(texts), "".join(thoughts)
