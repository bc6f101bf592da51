"""Converts Markdown tables to bullets or to aligned text in a code block, for clients that show tables badly.

Tables inside fenced code stay as they are. Mode `off` leaves all tables to Mattermost, which renders them.
"""

import re
import unicodedata
from enum import Enum

from oc_trio.classes import frozen
from oc_trio.core.code_fences import CodeFence, opened_by

_DELIMITER = re.compile(r":?-+:?")
_BAR = re.compile(r"(?<!\\)\|")
_TICKS = re.compile(r"`+")


class TableMode(Enum):
    """`markdown.tables`: how Markdown tables go out."""

    OFF = "off"
    BULLETS = "bullets"
    CODE = "code"


@frozen
class MarkdownTable:
    """A parsed table: every row has as many cells as the header."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def convert_tables(text: str, mode: TableMode) -> str:
    """`text` with its tables rewritten as `mode` says."""
    # Most texts have no table, and this is called for each preview.
    if mode is TableMode.OFF or "|" not in text:
        return text
    lines = text.split("\n")
    out: list[str] = []
    fence: CodeFence | None = None
    at = 0
    while at < len(lines):
        line = lines[at]
        if fence is None and (located := _table_at(lines, at)):
            table, at = located
            out.append(_bullets(table) if mode is TableMode.BULLETS else _code(table))
            continue
        if fence is None:
            fence = opened_by(line)
        elif fence.closed_by(line):
            fence = None
        out.append(line)
        at += 1
    return "\n".join(out)


def is_header(line: str, below: str) -> bool:
    """Whether a table begins at `line`, by the line below it."""
    if "|" not in line or "|" not in below:
        return False
    delimiters = _cells(below)
    return len(_cells(line)) == len(delimiters) and all(map(_DELIMITER.fullmatch, delimiters))


def is_row(line: str) -> bool:
    """Whether a line continues the table above it."""
    return "|" in line and bool(line.strip())


def header_after(text: str, header: str = "", fence: CodeFence | None = None) -> str:
    """Header and delimiter row of the table that is still open at the end of `text`, empty if none is.

    `header` and `fence` are those open at its start. Tables inside fenced code don't count.
    """
    if not header and "|" not in text:
        return ""
    above = ""
    for at, line in enumerate(text.split("\n")):
        if fence is not None:
            fence = None if fence.closed_by(line) else fence
            continue
        # The first line may be the rest of a row that was cut in two.
        if header and (is_row(line) or at == 0):
            continue
        fence = opened_by(line)
        header = f"{above}\n{line}" if is_header(above, line) else ""
        above = "" if fence else line
    return header


def _table_at(lines: list[str], at: int) -> tuple[MarkdownTable, int] | None:
    """The table whose header is line `at`, and the index of the line after it."""
    if at + 1 >= len(lines) or not is_header(lines[at], lines[at + 1]):
        return None
    header = _cells(lines[at])
    end = at + 2
    rows: list[tuple[str, ...]] = []
    while end < len(lines) and is_row(lines[end]):
        # As GitHub's Markdown: cells beyond the header are dropped, missing ones are empty.
        cells = _cells(lines[end])[: len(header)]
        rows.append(cells + ("",) * (len(header) - len(cells)))
        end += 1
    return MarkdownTable(header, tuple(rows)), end


def _cells(line: str) -> tuple[str, ...]:
    line = line.strip().removeprefix("|")
    # An escaped bar belongs to the last cell.
    if line.endswith("|") and not line.endswith("\\|"):
        line = line[:-1]
    return tuple(cell.strip().replace("\\|", "|") for cell in _BAR.split(line))


def _bullets(table: MarkdownTable) -> str:
    """Each row as a bold first cell with one bullet per further column; empty cells are left out."""
    if not table.rows:
        # A table without rows, as while it is being written.
        return "- " + ", ".join(table.header)
    blocks = []
    for row in table.rows:
        if len(table.header) == 1:
            blocks.append(f"- {row[0]}")
            continue
        lines = [f"**{row[0]}**"] if row[0] else []
        lines += [f"- {name}: {cell}" if name else f"- {cell}" for name, cell in zip(table.header[1:], row[1:]) if cell]
        blocks.append("\n".join(lines))
    return ("\n" if len(table.header) == 1 else "\n\n").join(blocks)


def _code(table: MarkdownTable) -> str:
    """Aligned columns in a code block whose fence is longer than any run of backticks in a cell."""
    rows = (table.header, *table.rows)
    widths = [max(3, *(_width(row[column]) for row in rows)) for column in range(len(table.header))]
    drawn = [_drawn(row, widths) for row in rows]
    drawn.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    longest = max((len(run) for row in rows for cell in row for run in _TICKS.findall(cell)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([fence, *drawn, fence])


def _drawn(row: tuple[str, ...], widths: list[int]) -> str:
    return "|" + "|".join(f" {cell}{' ' * (width - _width(cell))} " for cell, width in zip(row, widths)) + "|"


def _width(text: str) -> int:
    """Columns in a fixed-width font: wide East Asian characters take two, combining marks none."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )
