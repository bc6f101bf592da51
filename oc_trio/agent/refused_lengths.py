"""Finds in a model server's error text how long an answer may be. Pure.

The limit is the model's own, or the room that the conversation leaves in its context window.
"""

import re

from oc_trio.agent.refusal_words import flat, plain

_TOO_LARGE = re.compile(r"\bmax_(?:completion_)?tokens\b(?: [\w'-]+){0,4} (?:is|are) too (?:large|big|high)\b")
_LEAST = 16  # tokens; a smaller number in the text is not the limit of an answer
# Looked for in words without quotes, in lower case. The longest answer of a model:
_NAME = r"\bmax(?:imum)?[_ ]?(?:completion[_ ]|output[_ ]?|new[_ ])?tokens\b"
_LONGEST = tuple(
    re.compile(pattern)
    for pattern in (
        rf"{_NAME}: [\d,_]+ > (\d[\d,_]*)",
        r"\bsupports? at most (\d[\d,_]*) (?:completion |output )?tokens\b",
        rf"\brange of {_NAME}(?: value)? (?:is|should be|must be) \[\d+, ?(\d[\d,_]*)\]",
        rf"{_NAME}(?: value)? (?:must|should) be (?:less than or equal to|at most|no more than|<=) (\d[\d,_]*)",
        rf"{_NAME}[^.]{{0,120}}?(?:\. )?expected a value (?:<=|less than or equal to|at most) (\d[\d,_]*)",
        r"\bmaximum tokens you requested exceeds the model limit of (\d[\d,_]*)",
        rf"{_NAME}(?: value)? of \d+ but the supported range is from \d+(?: \(inclusive\))? to (\d[\d,_]*)",
    )
)
# The room that a conversation leaves: the model's window, and what the conversation takes of it.
_ROOM = tuple(
    re.compile(pattern)
    for pattern in (
        r"exceed context limit: (?P<taken>\d+) \+ \d+ > (?P<window>\d+)",
        r"maximum context length is (?P<window>\d+) tokens.{0,80}?\((?P<taken>\d+) (?:in|of) [^,;)]{1,40}[,;]",
        r"requested \d+ output tokens and your prompt contains (?:at least )?(?P<taken>\d+)",
        r"\(\d+ > (?P<window>\d+) - (?P<taken>\d+)\)",
    )
)
_WINDOW = re.compile(r"maximum context length is (\d+)")


def longest_answer(words: str) -> int | None:
    """The model's limit of tokens per answer, if the error text has it."""
    plain_words = flat(words)
    # The number in it is the whole window's, not an answer's: see `room_left`.
    if "maximum context length" in plain_words:
        return None
    for pattern in _LONGEST:
        if match := pattern.search(plain_words):
            limit = int(match[1].replace(",", "").replace("_", ""))
            limit -= plain_words[match.end() :].startswith(" (exclusive)")
            return limit if limit >= _LEAST else None
    return None


def room_left(words: str) -> int | None:
    """The tokens that the conversation leaves for the answer, if the error text says so."""
    plain_words = flat(words)
    for pattern in _ROOM:
        if match := pattern.search(plain_words):
            parts = match.groupdict()
            window = parts.get("window") or ((known := _WINDOW.search(plain_words)) and known[1])
            room = int(window) - int(parts["taken"]) if window else 0
            return room if room > 0 else None
    return None


def is_too_long_an_answer(words: str) -> bool:
    """Whether the longest answer that was asked for is refused, by the model or for this conversation."""
    return _TOO_LARGE.search(plain(words)) is not None
