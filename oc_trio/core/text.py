"""Cleans text that comes from outside, once, at the edge that it enters by. Pure.

A lone surrogate (half of an emoji's UTF-16 pair) fits into a Python string and into no UTF-8 log, database or socket;
PostgreSQL and Mattermost refuse NUL. Whatever is read from models, tools, programs, callers, files and the environment
goes through `clean` or `clean_value`, or through `core.json_body`, which does the same for JSON.
"""

import re
from typing import Any

REPLACEMENT = "\ufffd"
_UNCLEAN = re.compile("[\0\ud800-\udfff]")
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")


def clean(text: str) -> str:
    """`text` without NUL, and with U+FFFD in place of each lone surrogate. Clean text is returned as it is."""
    if text.isascii() and "\0" not in text:
        return text
    return _UNCLEAN.sub(lambda match: "" if match[0] == "\0" else REPLACEMENT, text)


class HalfJoiner:
    """Cleans a text that comes in pieces: a surrogate pair that was cut in two becomes its character again."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, piece: str) -> str:
        """The clean text of `piece`, without a first half at its end that the next piece may complete."""
        if not self._held and (piece.isascii() or is_clean(piece)):
            return clean(piece)
        text = self._held + piece
        self._held = text[-1] if text and "\ud800" <= text[-1] <= "\udbff" else ""
        return joined(text[: -1 if self._held else None])

    def end(self) -> str:
        """What is left: U+FFFD for a half that stayed alone."""
        held, self._held = self._held, ""
        return clean(held)


def joined(text: str) -> str:
    """`text` clean, with neighbouring halves of a surrogate pair made one character."""
    if is_clean(text):
        return text
    return clean(_PAIR.sub(lambda match: match[0].encode("utf-16", "surrogatepass").decode("utf-16"), text))


def is_clean(text: str) -> bool:
    """Whether `clean` would change nothing."""
    return _UNCLEAN.search(text) is None


def clean_value(value: Any) -> Any:
    """A JSON value (as `json.loads` gives it) with every string and key in it cleaned.

    The value must not be nested deeper than the interpreter can call; `core.json_body` bounds that.
    """
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(key) if isinstance(key, str) else key: clean_value(item) for key, item in value.items()}
    if isinstance(value, list):
        return [clean_value(item) for item in value]
    return value
