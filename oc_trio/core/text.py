"""Cleans text that comes from outside, once, at the edge that it enters by. Pure.

A lone surrogate (half of an emoji's UTF-16 pair) fits into a Python string and into no UTF-8 log, database or socket;
PostgreSQL and Mattermost refuse NUL. Whatever is read from models, tools, programs, callers, files and the environment
goes through `clean` or `clean_value`, or through `core.json_body`, which does the same for JSON.
"""

import re
from typing import Any

REPLACEMENT = "\ufffd"
_UNCLEAN = re.compile("[\0\ud800-\udfff]")


def clean(text: str) -> str:
    """`text` without NUL, and with U+FFFD in place of each lone surrogate. Clean text is returned as it is."""
    if text.isascii() and "\0" not in text:
        return text
    return _UNCLEAN.sub(lambda match: "" if match[0] == "\0" else REPLACEMENT, text)


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
