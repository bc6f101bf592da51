r"""Keeps people's words from passing for the lines by which the gateway tells a model who said what. Pure.

Only a line that begins like one of ours is changed, by a backslash before its bracket: pasted code stays as it is.
"""

import re

# Whatever a reader may take for the end of a line, and what it does not see at the beginning of one.
_ENDS = r"\n\r\v\f\x1c-\x1e\x85\u2028\u2029"
_UNSEEN = rf"(?:[^\S{_ENDS}]|[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff])*"
_MARKER = (
    rf"\[{_UNSEEN}(?:mattermost\b|chat messages\b|current message\b|messages that there\b|unknown time\]"
    rf"|(?:mon|tue|wed|thu|fri|sat|sun) \d|file [^\]{_ENDS}]*, |\d+ (?:more characters|images? above)\b)"
)
_FORGED = re.compile(rf"(?<=[{_ENDS}])({_UNSEEN})(\\*{_MARKER})", re.IGNORECASE)
_ESCAPED = re.compile(rf"(?<=[{_ENDS}])({_UNSEEN})\\(\\*{_MARKER})", re.IGNORECASE)


def escape(text: str) -> str:
    """`text` to go behind a header on its line: no further line of it begins like a header or marker of ours."""
    return _FORGED.sub(r"\1\\\2", text)


def unescape(text: str) -> str:
    """What `escape` was given; text that it did not write, such as that of an older version, mostly stays as it is."""
    return _ESCAPED.sub(r"\1\2", text)


def one_line(text: str) -> str:
    """`text` with every run of blanks and line ends made one space."""
    return " ".join(text.split())
