"""Lays out what a draft says about work under way: label, headline, plan checklist, tool rows.

Which events reach it is decided in `draft_view`; how a single tool call reads, in `tool_rows`.
"""

from attrs import frozen

from oc_trio.core.redaction import redact
from oc_trio.core.tool_rows import CommandText, ToolRow, drawn, shortened
from oc_trio.core.turn_events import PlanStep

HEADLINE_CHARS = 280
_MARKS = {"done": "✅", "active": "▸", "pending": "▢"}


@frozen
class ProgressStyle:
    """`streaming.progress.*`: `label` None picks one of `labels`, an empty one hides it."""

    label: str | None = None
    labels: tuple[str, ...] = ("Working",)
    max_lines: int = 8
    max_line_chars: int = 120
    command_text: CommandText = CommandText.STATUS


@frozen
class Work:
    """What there is to show; rows in the order in which their calls began."""

    headline: str = ""
    plan: tuple[PlanStep, ...] = ()
    rows: tuple[ToolRow, ...] = ()
    note: str = ""

    @property
    def is_empty(self) -> bool:
        return not (self.headline or self.plan or self.rows or self.note)


def picked_label(labels: tuple[str, ...], seed: str) -> str:
    """One label of the pool, always the same for one seed (32-bit FNV-1a of its UTF-8 bytes)."""
    if not labels:
        return ""
    hashed = 0x811C9DC5
    for byte in seed.encode("utf-8", "replace"):
        hashed = ((hashed ^ byte) * 0x01000193) & 0xFFFFFFFF
    return labels[hashed % len(labels)]


def render(work: Work, style: ProgressStyle, seed: str) -> str:
    """The progress block: label, headline and lines, parted by blank lines; at most `max_lines` lines.

    An automatic label gives way to a headline.
    """
    label = picked_label(style.labels, seed) if style.label is None else style.label
    headline = _one_line(work.headline, HEADLINE_CHARS)
    if headline and style.label is None:
        label = ""
    lines = _lines(work, style)
    # Two spaces at a line's end would vanish in editors; Mattermost breaks lines at a plain line feed.
    return "\n\n".join(part for part in (label, headline, "\n".join(lines)) if part)


def _lines(work: Work, style: ProgressStyle) -> list[str]:
    width = style.max_line_chars
    room = max(1, style.max_lines)
    note = [f"• {_one_line(work.note, width - 2)}"] if work.note else []
    plan = _plan_lines(work.plan, max(1, room - len(note) - min(2, len(work.rows))), width) if work.plan else []
    left = max(0, room - len(plan) - len(note))
    rows = [shortened(drawn(row), width) for row in _most_telling(work.rows, left)]
    return (plan + rows + note)[:room]


def _plan_lines(plan: tuple[PlanStep, ...], room: int, width: int) -> list[str]:
    """The checklist; where it does not fit, a count and the steps from the first unfinished one on."""
    drawn_steps = [f"{_MARKS.get(step.state, '▢')} {_one_line(step.text, width - 2)}" for step in plan]
    if len(plan) <= room:
        return drawn_steps
    done = sum(step.state == "done" for step in plan)
    first = next((at for at, step in enumerate(plan) if step.state != "done"), len(plan))
    first = min(first, max(0, len(plan) - (room - 1)))
    return [f"{done}/{len(plan)} done", *drawn_steps[first : first + room - 1]]


def _most_telling(rows: tuple[ToolRow, ...], room: int) -> tuple[ToolRow, ...]:
    """At most `room` rows in their order: first those that went wrong, newest first, then the newest others."""
    if room <= 0:
        return ()
    ranked = sorted(range(len(rows)), key=lambda at: (rows[at].went_wrong, at), reverse=True)
    return tuple(rows[at] for at in sorted(ranked[:room]))


def _one_line(text: str, width: int) -> str:
    return shortened(" ".join(redact(text).split()), width)
