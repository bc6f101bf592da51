"""Finds code in Markdown about as Mattermost does: fenced blocks, indented blocks, and spans over several lines.

Used to decide what is a mention: a name in code is none. Layout and escaping use `code_fences`, which goes line by line
and can continue from a fence that an earlier chunk left open.
"""

import re

_FENCE = re.compile(r"(?P<quote>(?:[ ]{0,3}>)*)(?P<indent>[ \t]*)(?P<marks>`{3,}|~{3,})(?P<info>[^\n]*)")
_LIST_ITEM = re.compile(r"[ ]{0,3}(?:[-*+]|\d{1,9}[.)])[ \t]")
_INDENTED = re.compile(r"(?: {4}|[ ]{0,3}\t)[ \t]*\S")
_TICKS = re.compile(r"`+")


def commonmark_code_ranges(text: str) -> tuple[tuple[int, int], ...]:
    """The code of a text as (start, end) offsets, in order and without overlap; fences and backticks are included."""
    ranges: list[tuple[int, int]] = []
    prose_start = 0
    for start, end in _block_ranges(text):
        ranges += _span_ranges(text, prose_start, start)
        ranges.append((start, end))
        prose_start = end
    ranges += _span_ranges(text, prose_start, len(text))
    return tuple(ranges)


def blank_code(text: str) -> str:
    """The text with each character of code except newlines replaced by a space, so that offsets stay the same."""
    pieces: list[str] = []
    done = 0
    for start, end in commonmark_code_ranges(text):
        pieces += (text[done:start], re.sub(r"[^\n]", " ", text[start:end]))
        done = end
    return "".join((*pieces, text[done:]))


def _block_ranges(text: str) -> list[tuple[int, int]]:
    ranges: list[tuple[int, int]] = []
    fence, fence_start = "", 0
    in_list, after_blank, offset = False, True, 0
    for line in text.splitlines(keepends=True):
        mark = _FENCE.match(line)
        end = offset + len(line)
        if fence:
            if mark and mark["marks"].startswith(fence) and not mark["info"].strip():
                ranges.append((fence_start, end))
                fence = ""
        elif mark and _opens(mark, in_list):
            fence, fence_start = mark["marks"], offset
        elif _INDENTED.match(line) and after_blank and not in_list:
            ranges.append((offset, end))  # the next line may be code too, so after_blank stays
        elif line.strip():
            in_list = bool(_LIST_ITEM.match(line)) or (in_list and line[0] in " \t")
            after_blank = False
        else:
            after_blank = True
        offset = end
    if fence:
        ranges.append((fence_start, len(text)))
    return ranges


def _opens(mark: re.Match[str], in_list: bool) -> bool:
    # Backticks in the info string make it a span; four spaces make it indented code, but not inside a list.
    if mark["marks"][0] == "`" and "`" in mark["info"]:
        return False
    # The first space after a quote's mark belongs to the mark.
    return in_list or ("\t" not in mark["indent"] and len(mark["indent"]) <= (4 if mark["quote"] else 3))


def _span_ranges(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Code spans between two runs of equally many backticks; a blank line ends the paragraph and so any span."""
    ranges: list[tuple[int, int]] = []
    for paragraph in re.finditer(r"(?:[^\n]|\n(?![ \t]*\n))+", text[start:end]):
        runs = list(_TICKS.finditer(paragraph[0]))
        # By their length, since looking along the text for a partner of each run would take quadratic time for a
        # hostile post.
        closers: dict[int, list[int]] = {}
        for index, run in enumerate(runs):
            closers.setdefault(len(run[0]), []).append(index)
        base, index = start + paragraph.start(), 0
        while index < len(runs):
            later = closers[len(runs[index][0])]
            while later and later[0] <= index:
                later.pop(0)
            escaped = runs[index].start() > 0 and paragraph[0][runs[index].start() - 1] == "\\"
            if later and not escaped:
                ranges.append((base + runs[index].start(), base + runs[later[0]].end()))
                index = later[0]
            index += 1
    return ranges
