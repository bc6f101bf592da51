"""Cleans untrusted text of NUL and lone surrogates, once, where it enters the program. Pure.

A Python string can contain a lone surrogate (half of an emoji's UTF-16 pair), but UTF-8 logs, databases and sockets
can't; PostgreSQL and Mattermost refuse NUL. All text from models, tools, programs, callers, files and the environment
goes through `clean` or `clean_value`, or through `core.json_body`, which does the same for JSON.
"""

import re
from typing import Any

REPLACEMENT = "\ufffd"
_UNCLEAN = re.compile("[\0\ud800-\udfff]")
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")


def clean(text: str) -> str:
    """`text` without NUL, and with U+FFFD in place of each lone surrogate. Clean text is returned as it is."""
    # The common case needs no pattern; this runs for every piece of every stream.
    if is_clean(text):
        return text
    return _UNCLEAN.sub(lambda match: "" if match[0] == "\0" else REPLACEMENT, text)


class SurrogateJoiner:
    """Cleans a text that arrives in pieces, and joins surrogate pairs that were split between two pieces."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, piece: str) -> str:
        """The clean text of `piece`; a high surrogate at its end is held back for the next piece."""
        # Nearly every piece: nothing is held back and nothing could be.
        if not self._held and (piece.isascii() or is_clean(piece)):
            return clean(piece)
        text = self._held + piece
        self._held = text[-1] if text and "\ud800" <= text[-1] <= "\udbff" else ""
        return joined(text[: -1 if self._held else None])

    def end(self) -> str:
        """The rest: U+FFFD if a high surrogate was held back."""
        held, self._held = self._held, ""
        return clean(held)


def joined(text: str) -> str:
    """`text` clean, with adjacent surrogates of a pair joined to one character."""
    if is_clean(text):
        return text
    return clean(_PAIR.sub(lambda match: match[0].encode("utf-16", "surrogatepass").decode("utf-16"), text))


def is_clean(text: str) -> bool:
    """Whether `clean` would change nothing."""
    # Only surrogates can't be encoded. A pattern would take ten times as long to look at each character.
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return False
    return "\0" not in text


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
