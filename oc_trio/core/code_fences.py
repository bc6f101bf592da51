"""Finds fenced code blocks, line by line, and code spans within a line of Markdown.

There are two answers, for two purposes. `likely_code_ranges` accepts fences at any indentation, as models write them in
lists; it is used for layout and for reasoning tags. `certain_code_ranges` returns only what every Markdown parser takes
for code, and nothing after a doubtful fence; it is used where a wrong guess would let `@channel` through. For what
counts as a mention see `commonmark_code`, which also knows indented blocks and spans over several lines.
"""

import re
from collections.abc import Callable, Iterator

from oc_trio.classes import frozen

_FENCE = re.compile(r"(?P<indent>[ \t]*)(?P<marker>`{3,}|~{3,})(?P<info>[^\r\n]*)")
_MARKS = ("```", "~~~")  # every fence has one of them
_TICKS = re.compile(r"`+")
_TICKS_OR_ESCAPE = re.compile(r"\\.|`+")
# A fence after a list or quote marker belongs to that container, so it may end before its closing line.
_NESTED_FENCE = re.compile(r"(?:[ \t]+|[ \t]*(?:[>*+-]|\d{1,9}[.)]).*)(?:`{3}|~{3})")
# Constructs that may swallow a backtick, which then opens nothing: links, references, autolinks, raw URLs.
_SWALLOWS_TICKS = re.compile(r"\]\(|\]:|<|://|www\.", re.IGNORECASE)


@frozen
class CodeFence:
    """An open code fence: `marker` is the run of backticks or tildes, `info` the language after it."""

    indent: str
    marker: str
    info: str

    @property
    def opening(self) -> str:
        return f"{self.indent}{self.marker}{self.info}"

    @property
    def closing(self) -> str:
        return f"{self.indent}{self.marker}"

    def closed_by(self, line: str) -> bool:
        # Not str.strip(): a no-break space keeps a fence open.
        run = line.strip(" \t")
        return len(run) >= len(self.marker) and not run.strip(self.marker[0])


def opened_by(line: str) -> CodeFence | None:
    """The fence that this line opens; a backtick fence can't have a backtick in its info (CommonMark 4.5)."""
    match = _FENCE.fullmatch(line)
    if match is None or (match["marker"][0] == "`" and "`" in match["info"]):
        return None
    return CodeFence(match["indent"], match["marker"], match["info"].rstrip())


def fence_after(text: str, fence: CodeFence | None = None) -> CodeFence | None:
    """The fence that is still open at the end of `text`; `fence` was open at its start."""
    # Most texts have none, and finding that out line by line takes many times as long.
    if fence is None and not any(mark in text for mark in _MARKS):
        return None
    for _, line in _lines(text):
        fence = _next_fence(line, fence)
    return fence


def prose_lines(text: str, fence: CodeFence | None = None) -> Iterator[tuple[int, str]]:
    """Offset and text of each line that begins outside fenced code, fence openings among them."""
    for start, line in _lines(text):
        if fence is None:
            yield start, line
        fence = _next_fence(line, fence)


def likely_code_ranges(text: str) -> tuple[tuple[int, int], ...]:
    """Half-open ranges of fenced blocks (with their fence lines) and of code spans, in order."""
    ranges: list[tuple[int, int]] = []
    fence: CodeFence | None = None
    for start, line in _lines(text):
        if fence is None:
            fence = opened_by(line)
            ranges.extend([(start, start + len(line))] if fence else _shifted(_spans(line)[0], start))
        else:
            ranges.append((start, start + len(line)))
            if fence.closed_by(line):
                fence = None
    return tuple(ranges)


def certain_code_ranges(text: str) -> tuple[tuple[int, int], ...]:
    """Half-open ranges that every parser takes for code, without opening fence lines. Line ends must be `\\n` alone."""
    ranges: list[tuple[int, int]] = []
    paragraph: list[tuple[int, str]] = []
    fence: CodeFence | None = None
    for start, line in _lines(text):
        if fence is not None:
            ranges.append((start, start + len(line)))
            if fence.closed_by(line):
                # How far a closing line may be indented is where parsers differ, so nothing below it is certain.
                if line[:1] in " \t":
                    break
                fence = None
            continue
        # Where a fence within a list ends depends on the list's indentation: from here on nothing is certain.
        if _NESTED_FENCE.match(line):
            break
        fence = opened_by(line)
        if fence is not None or not line.strip(" \t"):
            ranges.extend(_paragraph_spans(paragraph))
            paragraph = []
        else:
            paragraph.append((start, line))
    else:
        ranges.extend(_paragraph_spans(paragraph))
    return tuple(sorted(ranges))


def outside(ranges: tuple[tuple[int, int], ...], text: str, change: Callable[[str], str]) -> str:
    """`text` with `change` applied to the parts that lie outside `ranges`."""
    parts: list[str] = []
    at = 0
    for start, end in ranges:
        parts += [change(text[at:start]), text[start:end]]
        at = end
    parts.append(change(text[at:]))
    return "".join(parts)


def _next_fence(line: str, fence: CodeFence | None) -> CodeFence | None:
    if fence is None:
        return opened_by(line)
    return None if fence.closed_by(line) else fence


def _lines(text: str) -> Iterator[tuple[int, str]]:
    at = 0
    for line in text.split("\n"):
        yield at, line
        at += len(line) + 1


def _spans(line: str) -> tuple[list[tuple[int, int]], bool]:
    """Code spans of one line, and whether every run of backticks found its partner."""
    spans: list[tuple[int, int]] = []
    paired = True
    at = 0
    while run := _TICKS_OR_ESCAPE.search(line, at):
        at = run.end()
        if run[0][0] == "\\":
            continue
        close = next((m for m in _TICKS.finditer(line, at) if len(m[0]) == len(run[0])), None)
        if close is None:
            paired = False
        else:
            at = close.end()
            spans.append((run.start(), at))
    return spans, paired


def _paragraph_spans(paragraph: list[tuple[int, str]]) -> list[tuple[int, int]]:
    """Code spans of a paragraph in which no backtick can pair across lines or vanish into a link."""
    ranges: list[tuple[int, int]] = []
    for start, line in paragraph:
        spans, paired = _spans(line)
        if not paired or _SWALLOWS_TICKS.search(line):
            return []
        ranges.extend(_shifted(spans, start))
    return ranges


def _shifted(spans: list[tuple[int, int]], by: int) -> list[tuple[int, int]]:
    return [(start + by, end + by) for start, end in spans]
