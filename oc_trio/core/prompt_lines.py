r"""Escapes lines in people's messages that look like the gateway's own labels in a prompt (prompt injection). Pure.

Only a line that begins like one of our labels is changed, by a backslash before its bracket; pasted code stays as it
is.
"""

import re
import unicodedata

# Everything that may be taken for a line end, and everything invisible: white space, control characters, and Unicode's
# default-ignorable characters (fillers, joiners, bidirectional marks, variation selectors, tags).
_ENDS = r"\n\r\v\f\x1c-\x1e\x85\u2028\u2029"
_IGNORABLE = (
    r"\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    r"\u202a-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_UNSEEN = rf"(?:[^\S{_ENDS}]|[{_IGNORABLE}])*"
_MARKER = re.compile(
    r"\[\s*(?:mattermost\b|chat messages\b|current message\b|messages that there\b|unknown time\]|button click\b"
    r"|(?:mon|tue|wed|thu|fri|sat|sun) \d|file [^\]]*, |\d+ (?:more characters|images? above)\b)"
)
# The beginning of a line with a bracket: what precedes it, backslashes, and enough to recognise a label.
_LINE = re.compile(rf"(?<=[{_ENDS}])({_UNSEEN})(\\*)(?=([\[\uff3b\u3010\u3014\ufe5d\u301a][^{_ENDS}]{{0,400}}))")
_HIDDEN = re.compile(rf"[{_IGNORABLE}]")
# Letters of other scripts, and brackets, that look like ours; NFKC covers full-width and mathematical ones.
_ALIKE = str.maketrans("аеорсухіѕтмкнвіοατρεικν【〔﹝〚", "aeopcyxistmkhbioatpeikv[[[[")  # noqa: RUF001 - on purpose


def escape(text: str) -> str:
    """`text` for use after a label on its line: no further line of it begins like one of our labels."""
    return _LINE.sub(lambda line: f"{line[1]}{line[2]}\\" if _is_ours(line[3]) else line[0], text)


def unescape(text: str) -> str:
    """The inverse of `escape`; text that `escape` did not write mostly stays as it is."""
    return _LINE.sub(lambda line: line[1] + line[2][_is_ours(line[3]) :], text)


def _is_ours(line: str) -> bool:
    """Whether `line`, from its bracket on, looks like one of our labels."""
    visible = _HIDDEN.sub("", unicodedata.normalize("NFKC", line).casefold())
    return _MARKER.match(visible.translate(_ALIKE)) is not None


def one_line(text: str) -> str:
    """`text` with every run of white space replaced by one space."""
    return " ".join(text.split())
