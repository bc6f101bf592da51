"""Splits a long text into posts: at a line break if possible, else at a space, else between two characters.

An open code fence is closed at the end of a chunk and reopened with its info string in the next; a table that continues
in the next chunk repeats its header rows there. Only white space at a cut is lost.
"""

import re
import unicodedata
from enum import Enum

from oc_trio.core.code_fences import CodeFence, fence_after, prose_lines
from oc_trio.core.tables import header_after, is_header, is_row

# Code points that Mattermost accepts in one post (`PostMessageMaxRunesV2`); more is a 400.
SERVER_LIMIT = 16_383
# OpenClaw's default, and what servers take whose database still has the column of before Mattermost 5.0.
DEFAULT_LIMIT = 4_000

_BLANK_LINE = re.compile(r"\n[ \t]*\n")
_PARENTHESIS = re.compile("[()]")
_SPACES = (" ", "\t")
_HEADING = re.compile(r" {0,3}#{1,6}(?:[ \t]|$)")
_ZERO_WIDTH_JOINER = "\u200d"
# Long enough for every emoji sequence in Unicode 15 (10 code points) and for most stacked accents.
_LONGEST_CLUSTER = 32


class ChunkMode(Enum):
    """`LENGTH` fills each post line by line; `NEWLINE` prefers to cut between paragraphs."""

    LENGTH = "length"
    NEWLINE = "newline"


def chunk(text: str, limit: int = DEFAULT_LIMIT, mode: ChunkMode = ChunkMode.LENGTH) -> tuple[str, ...]:
    """Posts of at most min(limit, SERVER_LIMIT) code points each; none if the text is only white space."""
    limit = max(1, min(limit, SERVER_LIMIT))
    rest = text.strip("\n").rstrip()
    fence: CodeFence | None = None
    header, is_row_split = "", False
    chunks: list[str] = []
    while rest:
        opening = f"{fence.opening}\n" if fence else ""
        # Repeated header rows must leave at least half of each post to the rows.
        if len(header) >= limit // 2:
            header = ""
        if header and is_row_split:
            # The rest of a row that was cut; the rows after it get the header rows again.
            end, _, below = rest.partition("\n")
            if len(end) <= limit and is_row(below.partition("\n")[0]):
                chunks.append(end)
                rest, is_row_split = below, False
        if header and not is_row_split:
            opening = f"{header}\n"
        if len(opening) + len(rest) <= limit:
            chunks.append(opening + rest)
            break
        before, text = fence, rest
        head, rest, fence = _split(text, limit - len(opening), mode, before)
        closing = f"\n{fence.closing}" if fence else ""
        header = header_after(head, header, before)
        # Header rows alone make no post, since the next one begins with them.
        if (head.strip() or opening) and (head != header or len(header) >= limit // 2):
            chunks.append(opening + head + closing)
        gap = text[len(head) : len(text) - len(rest)]
        is_row_split = "\n" not in gap
        if not is_row_split and (gap.count("\n") > 1 or not is_row(rest.partition("\n")[0])):
            header = ""
        fence = _affordable(fence, limit)
    return tuple(piece for piece in chunks if piece.strip())


def _split(text: str, room: int, mode: ChunkMode, before: CodeFence | None) -> tuple[str, str, CodeFence | None]:
    """The head that fits into `room` with the closing fence line, the rest, and the fence left open."""
    space = room
    while True:
        head, rest = _cut(text, space, mode, before)
        after = fence_after(head, before)
        over = len(head) + (len(after.closing) + 1 if after else 0) - room
        if over <= 0:
            return head, rest, after
        if space <= over:
            return head, rest, None
        space -= over


def _cut(text: str, space: int, mode: ChunkMode, before: CodeFence | None) -> tuple[str, str]:
    # One more than fits: white space right behind the last character is a place to cut, too.
    window = text[: space + 1]
    if mode is ChunkMode.NEWLINE:
        gaps = [start - 1 for start, line in prose_lines(window, before) if start > 1 and not line.strip(" \t")]
        # A blank line at the end of the window may be the beginning of a longer line.
        gaps = [gap for gap in gaps if _BLANK_LINE.match(text, gap) and text[:gap].strip()]
        if gaps:
            return _apart(text, _before_lone_heading(text, gaps[-1]), None)
    line_end = window.rfind("\n")
    if line_end > 0:
        line_end = _before_bare_header(text, _before_late_fence(text, line_end, before), before)
        fence = fence_after(text[:line_end], before)
        return _apart(text, _before_lone_heading(text, line_end) if fence is None else line_end, fence)
    fence = fence_after(window[:space], before)
    at = _last_space(window)
    if at > 0 and fence is None:
        return _apart(text, at, None)
    at = at + 1 if 0 < at < space else _between_characters(text, space)
    return text[:at], text[at:]


def _apart(text: str, at: int, fence: CodeFence | None) -> tuple[str, str]:
    """Both sides of the white space at `at`; inside code exactly one character is dropped, the line break."""
    if fence is not None:
        return text[:at], text[at + 1 :]
    rest = text[at:].lstrip(" \t") if text[at] != "\n" else text[at:].lstrip("\n")
    return text[:at].rstrip(), rest


def _before_late_fence(text: str, at: int, before: CodeFence | None) -> int:
    """A cut before a code block that begins in the second half of the chunk and would be split, else `at`."""
    if before is not None or fence_after(text[:at]) is None:
        return at
    # The last line that begins in prose is the one that opens the fence.
    opening = max(start for start, _ in prose_lines(text[:at]))
    return opening - 1 if opening - 1 > at // 2 else at


def _before_bare_header(text: str, at: int, before: CodeFence | None) -> int:
    """A cut before a table of which only the header rows would be above the cut, else `at`."""
    if fence_after(text[:at], before) is not None:
        return at
    *_, above, last = ("", "", *text[:at].split("\n"))
    if is_header(above, last):
        bare = f"{above}\n{last}"
    elif is_header(last, text[at + 1 :].partition("\n")[0]):
        bare = last
    else:
        return at
    start = at - len(bare) - 1
    return start if start > 0 and text[:start].strip() else at


def _before_lone_heading(text: str, at: int) -> int:
    """A cut in prose before headings that would have nothing below them in their post, else `at`."""
    above = text[:at].rstrip()
    while (start := above.rfind("\n")) > 0 and _HEADING.match(above, start + 1):
        above, at = above[:start].rstrip(), start
    return at


def _last_space(window: str) -> int:
    """The last space outside parentheses (a link's address, a call), else the last space, else -1."""
    depth, begin = 0, 0
    outside: list[tuple[int, int]] = []
    for match in _PARENTHESIS.finditer(window):
        if depth == 0:
            outside.append((begin, match.start()))
        depth = depth + 1 if match[0] == "(" else max(0, depth - 1)
        begin = match.end()
    if depth == 0:
        outside.append((begin, len(window)))
    for start, end in reversed(outside):
        if (at := max(window.rfind(space, start, end) for space in _SPACES)) > 0:
            return at
    return max(map(window.rfind, _SPACES))


def _between_characters(text: str, at: int) -> int:
    """The last offset at or before `at` that does not split a grapheme cluster; `at` if there is none nearby."""
    for place in range(at, max(0, at - _LONGEST_CLUSTER), -1):
        if not _joined(text, place):
            return place
    return at


def _joined(text: str, at: int) -> bool:
    """Whether the code points around `at` belong to one grapheme cluster (an approximation of UAX 29)."""
    if at >= len(text):
        return False
    left, right = text[at - 1], text[at]
    if _ZERO_WIDTH_JOINER in (left, right) or unicodedata.category(right) in ("Mn", "Me", "Mc"):
        return True
    # Skin tones, and the tags that spell a region's flag.
    if "\U0001f3fb" <= right <= "\U0001f3ff" or "\U000e0020" <= right <= "\U000e007f":
        return True
    if not ("\U0001f1e6" <= right <= "\U0001f1ff"):
        return False
    # Regional indicators form pairs from the left: an odd number before `at` would split a flag.
    flags = len(text[:at]) - len(text[:at].rstrip("".join(map(chr, range(0x1F1E6, 0x1F200)))))
    return flags % 2 == 1


def _affordable(fence: CodeFence | None, limit: int) -> CodeFence | None:
    """The fence to reopen; a shorter one, or None, if its lines would take more than two thirds of a post."""
    if fence is None or len(fence.opening) + len(fence.closing) + 2 <= limit * 2 // 3:
        return fence
    bare = CodeFence("", fence.marker, "")
    return bare if 2 * len(bare.marker) + 2 <= limit * 2 // 3 else None
