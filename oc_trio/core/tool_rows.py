"""Renders a tool call as a row of a draft: `<emoji> <Label>: <detail>`.

Decides which tools have rows and what of a call may be shown; `progress` puts the rows together.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Any

from oc_trio.classes import frozen
from oc_trio.core.redaction import redact
from oc_trio.core.turn_events import ToolEnded, ToolStarted, ToolStatus


class CommandText(Enum):
    """`commandText`: whether the text of shell commands is shown in the chat."""

    RAW = "raw"
    STATUS = "status"


@frozen
class ToolRow:
    """A tool call to show; `status` is None while it runs. `detail` is already redacted."""

    call_id: str
    name: str
    detail: str = ""
    status: ToolStatus | None = None

    @property
    def went_wrong(self) -> bool:
        return self.status in (ToolStatus.FAILED, ToolStatus.DENIED)


# Tools without rows, because people see their effect anyway.
_EFFECTS = ("message", "reply", "send", "send_message", "react", "reaction", "typing", "ask_user")
_SELF_SHOWN = ("progress", "progress_card", "plan", "update_plan")
# Far more than a draft shows unless told otherwise (`progress.maxLines`, 8).
MAX_ROWS = 64
_SILENT = frozenset((*_EFFECTS, *_SELF_SHOWN))
_SHELLS = frozenset(("exec", "bash", "shell", "sh", "command", "run_command", "terminal", "process"))
_LABELS = {
    "read": ("📖", "Read"),
    "read_file": ("📖", "Read"),
    "write": ("✍️", "Write"),
    "write_file": ("✍️", "Write"),
    "edit": ("📝", "Edit"),
    "apply_patch": ("📝", "Edit"),
    "search": ("🔎", "Search"),
    "grep": ("🔎", "Search"),
    "web_search": ("🔎", "Web Search"),
    "web_fetch": ("📄", "Web Fetch"),
    "fetch": ("📄", "Fetch"),
    "browser": ("🌐", "Browser"),
    "memory": ("🧠", "Memory"),
    "image": ("🖼️", "Image"),
}
_DETAIL_ARGUMENTS = ("path", "file_path", "file", "query", "pattern", "url", "name", "title", "text")
# Enough for one line of a draft; an argument may be a whole file.
_MAX_DETAIL = 2_000
_ENDINGS = {ToolStatus.FAILED: "failed", ToolStatus.DENIED: "not allowed"}


def makes_row(name: str) -> bool:
    """Whether calls of this tool are shown as rows."""
    return name.lower() not in _SILENT


def is_shell(name: str) -> bool:
    return name.lower() in _SHELLS


def row_of(event: ToolStarted, command_text: CommandText) -> ToolRow:
    """The row of a call that has begun."""
    return ToolRow(event.call_id, event.name, _redacted(_detail(event, command_text)))


def ended_row(row: ToolRow, event: ToolEnded, command_text: CommandText) -> ToolRow:
    """The row after its call ended; the detail of the event replaces the earlier one, except for hidden commands."""
    hidden = is_shell(event.name) and command_text is CommandText.STATUS
    detail = row.detail if hidden or not event.detail else _redacted(event.detail)
    return ToolRow(row.call_id, row.name, detail, event.status)


def row_text(row: ToolRow) -> str:
    """The row as one line of any length: emoji, label, detail, and how it ended if it failed."""
    emoji, label = _label(row.name)
    detail = " ".join(row.detail.split())
    ending = f" ({_ENDINGS[row.status]})" if row.status in _ENDINGS else ""
    return f"{emoji} {label}{': ' + detail if detail else ''}{ending}"


def shorten(line: str, width: int) -> str:
    """`line` shortened in the middle by `…` to at most `width` characters."""
    if len(line) <= width:
        return line
    if width < 3:
        return line[: max(0, width)]
    tail = (width - 1) // 3
    return f"{line[: width - 1 - tail]}…{line[-tail:] if tail else ''}"


def _redacted(detail: str) -> str:
    """A redacted and shortened detail: it may be the text of a whole file, of which one line is shown."""
    # Cut first, so that the patterns don't run over a whole file.
    redacted = redact(" ".join(detail[:_MAX_DETAIL].split()))
    # Half of it: a secret that the first cut has split is not recognised, and ends there.
    return redacted if len(detail) <= _MAX_DETAIL else f"{redacted[: _MAX_DETAIL // 2]}…"


def _label(name: str) -> tuple[str, str]:
    if is_shell(name):
        return "🛠️", "Exec"
    return _LABELS.get(name.lower(), ("🧩", name.replace("_", " ").replace("-", " ").strip().title() or "Tool"))


def _detail(event: ToolStarted, command_text: CommandText) -> str:
    if is_shell(event.name):
        if command_text is CommandText.STATUS:
            return ""
        # The command itself goes before the agent's own detail.
        return _string(event.arguments, "command", "cmd") or event.detail
    return event.detail or _string(event.arguments, *_DETAIL_ARGUMENTS)


def _string(arguments: Mapping[str, Any], *names: str) -> str:
    return next((value for name in names if isinstance(value := arguments.get(name), str) and value), "")


def bounded(rows: tuple[ToolRow, ...]) -> tuple[ToolRow, ...]:
    """At most `MAX_ROWS` rows, so that a turn with a thousand calls stays small: drops the oldest that succeeded."""
    if len(rows) <= MAX_ROWS:
        return rows
    drop = next((at for at, row in enumerate(rows) if not row.went_wrong), 0)
    return rows[:drop] + rows[drop + 1 :]
