"""What the status page shows, as values: tables of cells with actions, charts, texts that grow. Pure.

`page_html` renders them for browsers without JavaScript, `page/status.js` draws the same values; both only know tables.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import field

from oc_trio.classes import frozen

# What is shown of a text that grows: its last so many characters, cut where a step of them is full, so that a longer
# text is mostly an addition to the one before.
TEXT_CHARS, TEXT_STEP = 8_000, 4_000


@frozen
class Cell:
    """A text, or with `at` (milliseconds since the epoch) a time, shown as "3 min ago".

    `tone` is good, mild, bad or empty.
    """

    text: str = ""
    tone: str = ""
    at: int = 0

    def to_json(self) -> Any:
        if self.at:
            return {"at": self.at}
        return {"text": self.text, "tone": self.tone} if self.tone else self.text


@frozen
class Action:
    """A button that changes something: posts `fields` to `/actions/<name>`. `about` is what it acts on, for readers
    who don't see the row that it is in. `options` are boxes to tick: name and label.
    """

    name: str
    label: str
    about: str
    fields: Mapping[str, str] = field(factory=dict, hash=False)
    options: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "label": self.label,
            "about": self.about,
            "fields": dict(self.fields),
            "options": [list(option) for option in self.options],
        }


@frozen
class TableRow:
    """`key` is unique in its table. `text` is what grows below the cells; None where there is no such text."""

    key: str
    cells: tuple[Cell, ...]
    actions: tuple[Action, ...] = ()
    text: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "key": self.key,
            "cells": [cell.to_json() for cell in self.cells],
            "actions": [action.to_json() for action in self.actions],
            "hasText": self.text is not None,
        }


@frozen
class Table:
    """`empty` is shown where there are no rows. `are_facts`: two columns, a name and its value, without a head."""

    id: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]
    empty: str = ""
    are_facts: bool = False

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": "table",
            "id": self.id,
            "title": self.title,
            "columns": list(self.columns),
            "rows": [row.to_json() for row in self.rows],
            "empty": self.empty,
            "areFacts": self.are_facts,
        }


@frozen
class Chart:
    """Series over the same `times` (seconds since the epoch), `summary` the same in words. None is a gap."""

    id: str
    title: str
    summary: str
    times: tuple[int, ...]
    series: tuple[tuple[str, tuple[float | None, ...]], ...]
    are_counts: bool = True

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": "chart",
            "id": self.id,
            "title": self.title,
            "summary": self.summary,
            "times": list(self.times),
            "series": [{"label": label, "values": list(values)} for label, values in self.series],
            "areCounts": self.are_counts,
        }


@frozen
class PageHeadline:
    """The line at the top of the page."""

    version: str
    phase: str
    tone: str
    pid: int
    started_at: int

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": "headline",
            "id": "headline",
            "version": self.version,
            "phase": self.phase,
            "tone": self.tone,
            "pid": self.pid,
            "startedAt": self.started_at,
        }


@frozen
class PageView:
    """Everything that a page shows at one moment, from top to bottom."""

    headline: PageHeadline
    tables: tuple[Table, ...]
    charts: tuple[Chart, ...] = ()

    def parts(self) -> dict[str, dict[str, Any]]:
        """The parts as JSON by their id, in order, without the texts that grow."""
        tables, charts = [table.to_json() for table in self.tables], [chart.to_json() for chart in self.charts]
        found = [self.headline.to_json(), *tables, *charts]
        return {part["id"]: part for part in found}

    def texts(self) -> dict[str, str]:
        """The texts that grow, by table and row: `turns/<key>`."""
        return {
            f"{table.id}/{row.key}": row.text for table in self.tables for row in table.rows if row.text is not None
        }


def newest_text(text: str) -> str:
    """The end of a text, of TEXT_CHARS at most; what grew by less than a step begins with the same characters."""
    if len(text) <= TEXT_CHARS:
        return text
    begin = -(-(len(text) - TEXT_CHARS) // TEXT_STEP) * TEXT_STEP
    return f"… {text[begin:]}"


def changes(
    old_parts: Mapping[str, Any], old_texts: Mapping[str, str], view: PageView
) -> tuple[tuple[str, dict[str, Any]], ...]:
    """The events, with their data, that lead a reader of the old view to the new one; none where nothing differs."""
    parts, events = view.parts(), list[tuple[str, dict[str, Any]]]()
    changed = [part for name, part in parts.items() if old_parts.get(name) != part]
    if changed:
        events.append(("parts", {"parts": changed}))
    if gone := [name for name in old_parts if name not in parts]:
        events.append(("gone", {"ids": gone}))
    for row, text in view.texts().items():
        old = old_texts.get(row)
        if old == text:
            continue
        if old and text.startswith(old):
            events.append(("text", {"row": row, "append": text[len(old) :]}))
        else:
            events.append(("text", {"row": row, "text": text}))
    return tuple(events)


def cells(*values: str | Cell) -> tuple[Cell, ...]:
    """Cells of texts and cells."""
    return tuple(value if isinstance(value, Cell) else Cell(value) for value in values)


def facts_of(value: Any, name: str = "", most: int = 200) -> list[tuple[str, str]]:
    """A JSON value as (name, text) pairs: what is nested gets a name with dots. At most `most` pairs."""
    if isinstance(value, Mapping):
        pairs = [
            pair for key, inner in value.items() for pair in facts_of(inner, f"{name}.{key}" if name else str(key))
        ]
        return pairs[:most]
    if isinstance(value, Sequence) and not isinstance(value, str):
        if not any(isinstance(item, (Mapping, list, tuple)) for item in value):
            return [(name, "; ".join(map(_shown, value)))][:most]
        pairs = [pair for at, inner in enumerate(value, 1) for pair in facts_of(inner, f"{name}.{at}")]
        return pairs[:most]
    return [(name, _shown(value))]


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
