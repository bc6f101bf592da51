r"""Keeps people's words from passing for the lines by which the gateway tells a model who said what. Pure.

Only a line that begins like one of ours is changed, by a backslash before its bracket: pasted code stays as it is.
"""

import re
import unicodedata

# Whatever a reader may take for the end of a line, and what it does not see: blanks, control characters, and what
# Unicode calls default ignorable (fillers, joiners, marks of direction, variation selectors, tags).
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
# The beginning of a line with a bracket, the backslashes before it and as much as tells what it is.
_LINE = re.compile(rf"(?<=[{_ENDS}])({_UNSEEN})(\\*)(?=([\[\uff3b\u3010\u3014\ufe5d\u301a][^{_ENDS}]{{0,400}}))")
_HIDDEN = re.compile(rf"[{_IGNORABLE}]")
# Letters of other scripts, and brackets, that look like ours; NFKC knows wide and mathematical ones.
_ALIKE = str.maketrans("аеорсухіѕтмкнвіοατρεικν【〔﹝〚", "aeopcyxistmkhbioatpeikv[[[[")  # noqa: RUF001 - on purpose


def escape(text: str) -> str:
    """`text` to go behind a header on its line: no further line of it begins like a header or marker of ours."""
    return _LINE.sub(lambda line: f"{line[1]}{line[2]}\\" if _is_ours(line[3]) else line[0], text)


def unescape(text: str) -> str:
    """What `escape` was given; text that it did not write, such as that of an older version, mostly stays as it is."""
    return _LINE.sub(lambda line: line[1] + line[2][_is_ours(line[3]) :], text)


def _is_ours(line: str) -> bool:
    """Whether `line`, from its bracket on, looks like one of our own."""
    seen = _HIDDEN.sub("", unicodedata.normalize("NFKC", line).casefold())
    return _MARKER.match(seen.translate(_ALIKE)) is not None


def one_line(text: str) -> str:
    """`text` with every run of blanks and line ends made one space."""
    return " ".join(text.split())
