"""Whether a text calls an agent by name: the patterns that count as a mention beside the bot's @username.

Patterns are the operator's regular expressions, or made from the agent's identity. What stands in code calls nobody.
"""

import re
from collections.abc import Iterable

from oc_trio.core.markdown_code import blank_code

# Zero-width and bidirectional marks: invisible, and so no way to hide a name or to make one.
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
# A repeat of something that itself ends with a repeat can take exponential time on a text made for it.
_EXPLOSIVE = re.compile(r"[+*}][?+]?\)+[+*{]")
_LONGEST = 4000

Names = tuple[re.Pattern[str], ...]


def is_explosive(pattern: str) -> bool:
    """Whether a regular expression repeats a group that ends with a repeat, as `(a+)+` does."""
    return _EXPLOSIVE.search(pattern) is not None


def compile_names(patterns: Iterable[str]) -> Names:
    """The operator's patterns, case ignored. Raises re.error for one that is none."""
    return tuple(re.compile(pattern, re.IGNORECASE) for pattern in patterns)


def names_of(name: str, emoji: str = "") -> Names:
    """An identity's name as a word, with or without @ and decorations such as `**` and `_`, and its emoji.

    >>> is_named("hey _Ada_, are you there?", names_of("Ada"))
    True
    """
    words = r"\s+".join(re.escape(word) for word in name.split())
    patterns = [rf"(?<![^\W_])@?{words}(?![^\W_])"] if words else []
    if emoji.strip():
        patterns.append(re.escape(emoji.strip()))
    return compile_names(patterns)


def is_named(text: str, names: Names) -> bool:
    """Whether one of the names stands in the text outside code; only the beginning of a very long text is read."""
    if not names:
        return False
    plain = blank_code(_INVISIBLE.sub("", text[:_LONGEST]))
    return any(name.search(plain) for name in names)
