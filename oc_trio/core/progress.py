"""Renders the progress lines of a draft: label, headline, plan checklist, tool rows.

`draft_view` decides which events are shown; `tool_rows` renders a single tool call.
"""

from oc_trio.classes import frozen
from oc_trio.core.redaction import redact
from oc_trio.core.tool_rows import CommandText, ToolRow, row_text, shorten
from oc_trio.core.turn_events import PlanStep

# OpenClaw's, as are the defaults of `ProgressStyle`: its users' channels look the same.
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
    """The progress to show; rows in the order in which their calls began."""

    headline: str = ""
    plan: tuple[PlanStep, ...] = ()
    rows: tuple[ToolRow, ...] = ()
    note: str = ""

    @property
    def is_empty(self) -> bool:
        return not (self.headline or self.plan or self.rows or self.note)


def pick_label(labels: tuple[str, ...], seed: str) -> str:
    """One of the labels, always the same for one seed (by the 32-bit FNV-1a hash of its UTF-8 bytes)."""
    if not labels:
        return ""
    hashed = 0x811C9DC5
    for byte in seed.encode("utf-8", "replace"):
        hashed = ((hashed ^ byte) * 0x01000193) & 0xFFFFFFFF
    return labels[hashed % len(labels)]


def render(work: Work, style: ProgressStyle, seed: str) -> str:
    """The progress block: label, headline and at most `max_lines` lines, separated by blank lines.

    An automatic label is left out if there is a headline.
    """
    label = pick_label(style.labels, seed) if style.label is None else style.label
    headline = _one_line(work.headline, HEADLINE_CHARS)
    # The headline says more than a label that was picked at random; one that the operator chose stays.
    if headline and style.label is None:
        label = ""
    lines = _lines(work, style)
    # No two spaces at line ends: Mattermost breaks lines at a plain line feed.
    return "\n\n".join(part for part in (label, headline, "\n".join(lines)) if part)


def _lines(work: Work, style: ProgressStyle) -> list[str]:
    width = style.max_line_chars
    room = max(1, style.max_lines)
    note = [f"• {_one_line(work.note, width - 2)}"] if work.note else []
    # Up to two lines are left for the newest calls, however long the plan is.
    plan = _plan_lines(work.plan, max(1, room - len(note) - min(2, len(work.rows))), width) if work.plan else []
    left = max(0, room - len(plan) - len(note))
    rows = [shorten(row_text(row), width) for row in _rows_to_show(work.rows, left)]
    return (plan + rows + note)[:room]


def _plan_lines(plan: tuple[PlanStep, ...], room: int, width: int) -> list[str]:
    """The checklist; if it does not fit, a count and the steps from the first unfinished one."""
    drawn_steps = [f"{_MARKS.get(step.state, '▢')} {_one_line(step.text, width - 2)}" for step in plan]
    if len(plan) <= room:
        return drawn_steps
    done = sum(step.state == "done" for step in plan)
    first = next((at for at, step in enumerate(plan) if step.state != "done"), len(plan))
    # Near the end the window stays full, rather than show one last step alone.
    first = min(first, max(0, len(plan) - (room - 1)))
    return [f"{done}/{len(plan)} done", *drawn_steps[first : first + room - 1]]


def _rows_to_show(rows: tuple[ToolRow, ...], room: int) -> tuple[ToolRow, ...]:
    """At most `room` rows, in order: failed ones are preferred, then the newest."""
    if room <= 0:
        return ()
    ranked = sorted(range(len(rows)), key=lambda at: (rows[at].went_wrong, at), reverse=True)
    return tuple(rows[at] for at in sorted(ranked[:room]))


def _one_line(text: str, width: int) -> str:
    return shorten(" ".join(redact(text).split()), width)
