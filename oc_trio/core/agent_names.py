"""Finds mentions of an agent by name, which count beside the bot's @username.

The patterns are the operator's regular expressions, or made from the agent's identity. Names in code don't count.
"""

import re
from collections.abc import Iterable

from oc_trio.core.commonmark_code import blank_code

# Zero-width and bidirectional marks: removed, so that they can neither hide a name nor make one.
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
# A repeated group that ends with a repeat can take exponential time (ReDoS) on a text made for it.
_EXPLOSIVE = re.compile(r"[+*}][?+]?\)+[+*{]")
# An operator's pattern may take time by the square of this, in the event loop: all tasks wait.
_MAX_CHARS = 4000

NamePatterns = tuple[re.Pattern[str], ...]


def is_explosive(pattern: str) -> bool:
    """Whether a regular expression repeats a group that ends with a repeat, as `(a+)+` does."""
    return _EXPLOSIVE.search(pattern) is not None


def compile_patterns(patterns: Iterable[str]) -> NamePatterns:
    """Compiles the operator's patterns, ignoring case. Raises re.error for an invalid one."""
    return tuple(re.compile(pattern, re.IGNORECASE) for pattern in patterns)


def name_patterns(name: str, emoji: str = "") -> NamePatterns:
    """Patterns for an identity: its name as a word, with or without @, `**` or `_` around it, and its emoji.

    >>> is_named("hey _Ada_, are you there?", name_patterns("Ada"))
    True
    """
    words = r"\s+".join(re.escape(word) for word in name.split())
    patterns = [rf"(?<![^\W_])@?{words}(?![^\W_])"] if words else []
    if emoji.strip():
        patterns.append(re.escape(emoji.strip()))
    return compile_patterns(patterns)


def is_named(text: str, patterns: NamePatterns) -> bool:
    """Whether one of the patterns matches outside code; only the first 4,000 characters are searched."""
    if not patterns:
        return False
    plain = blank_code(_INVISIBLE.sub("", text[:_MAX_CHARS]))
    return any(pattern.search(plain) for pattern in patterns)
