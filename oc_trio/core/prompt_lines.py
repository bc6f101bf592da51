r"""Escapes lines in people's messages that look like the gateway's own labels in a prompt (prompt injection). Pure.

Only a line that begins like one of our labels, behind marks of quotes and emphasis if there are any, is changed, by a
backslash before its bracket; pasted code stays as it is.
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
# What may stand before a bracket without making the line another one: what is unseen, Markdown's marks of quotes,
# lists, headings, tables and emphasis, and backslashes.
_MARKS = r">\uff1e*\uff0a_~`#|+\-\u2022\\"
_BEFORE = rf"(?:[^\S{_ENDS}]|[{_IGNORABLE}{_MARKS}])*"
_MARKER = re.compile(
    r"\[[\s*_~`]*(?:mattermost\b|chat messages\b|current message\b|messages that there\b|unknown time\]|button click\b"
    r"|(?:mon|tue|wed|thu|fri|sat|sun) \d|file [^\]]*, |\d+ (?:more characters|images? above)\b"
    r"|event\]\s*[^\s(]|attachment\]|\d+ attachments\]|id:\S* channel:)"
)
# The beginning of a line with a bracket: what precedes it, and enough to recognise a label.
_LINE = re.compile(rf"(?:\A|(?<=[{_ENDS}]))({_BEFORE})(?=([\[\uff3b\u3010\u3014\ufe5d\u301a][^{_ENDS}]{{0,400}}))")
_HIDDEN = re.compile(rf"[{_IGNORABLE}]")
# Letters of other scripts, and brackets, that look like ours; NFKC covers full-width and mathematical ones.
_ALIKE = str.maketrans("аеорсухіѕтмкнвіοατρεικν【〔﹝〚", "aeopcyxistmkhbioatpeikv[[[[")  # noqa: RUF001 - on purpose


def escape(text: str, *, is_marked: bool = False) -> str:
    """`text` for use after a label on its line: no line of it begins like one of our labels, but for the first where
    `is_marked`, which begins with one that we wrote.
    """

    def escaped(line: re.Match[str]) -> str:
        is_written_by_us = is_marked and line.start() == 0
        return f"{line[1]}\\" if _is_ours(line[2]) and not is_written_by_us else line[1]

    return _LINE.sub(escaped, text)


def unescape(text: str) -> str:
    """The inverse of `escape`; text that `escape` did not write mostly stays as it is."""
    return _LINE.sub(lambda line: line[1].removesuffix("\\") if _is_ours(line[2]) else line[1], text)


def _is_ours(line: str) -> bool:
    """Whether `line`, from its bracket on, looks like one of our labels."""
    visible = _HIDDEN.sub("", unicodedata.normalize("NFKC", line).casefold())
    return _MARKER.match(visible.translate(_ALIKE)) is not None


def one_line(text: str) -> str:
    """`text` with every run of white space replaced by one space."""
    return " ".join(text.split())
