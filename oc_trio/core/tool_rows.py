"""How one tool call reads as a row of a draft: `<emoji> <Label>: <detail>`.

It decides which tools make rows at all and what of a call may be shown; `progress` lays rows out.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Any

from attrs import frozen

from oc_trio.core.redaction import redact
from oc_trio.core.turn_events import ToolEnded, ToolStarted, ToolStatus


class CommandText(Enum):
    """`commandText`: whether the text of a shell command may be seen in the chat."""

    RAW = "raw"
    STATUS = "status"


@frozen
class ToolRow:
    """A tool call on show; `status` is None while it runs. `detail` is redacted already."""

    call_id: str
    name: str
    detail: str = ""
    status: ToolStatus | None = None

    @property
    def went_wrong(self) -> bool:
        return self.status in (ToolStatus.FAILED, ToolStatus.DENIED)


# Tools whose effect people see anyway.
_EFFECTS = ("message", "reply", "send", "send_message", "react", "reaction", "typing", "ask_user")
_SELF_SHOWN = ("progress", "progress_card", "plan", "update_plan")
KEPT_ROWS = 64
_SILENT = frozenset((*_EFFECTS, *_SELF_SHOWN))
_SHELLS = frozenset(("exec", "bash", "shell", "sh", "command", "run_command", "terminal", "process"))
_FACES = {
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
_TELLING = ("path", "file_path", "file", "query", "pattern", "url", "name", "title", "text")
_KEPT_DETAIL = 2_000
_ENDINGS = {ToolStatus.FAILED: "failed", ToolStatus.DENIED: "not allowed"}


def makes_row(name: str) -> bool:
    """Whether calls of this tool are work that people want to see."""
    return name.lower() not in _SILENT


def is_shell(name: str) -> bool:
    return name.lower() in _SHELLS


def row_of(event: ToolStarted, command_text: CommandText) -> ToolRow:
    """The row of a call that begins."""
    return ToolRow(event.call_id, event.name, _shown(_detail(event, command_text)))


def ended_row(row: ToolRow, event: ToolEnded, command_text: CommandText) -> ToolRow:
    """The row after its call ended; what the tool says of itself replaces the detail, except for hidden commands."""
    hidden = is_shell(event.name) and command_text is CommandText.STATUS
    detail = row.detail if hidden or not event.detail else _shown(event.detail)
    return ToolRow(row.call_id, row.name, detail, event.status)


def drawn(row: ToolRow) -> str:
    """One line without its width cut: emoji, label, detail, and how it ended unless it went well."""
    emoji, label = _face(row.name)
    detail = " ".join(row.detail.split())
    ending = f" ({_ENDINGS[row.status]})" if row.status in _ENDINGS else ""
    return f"{emoji} {label}{': ' + detail if detail else ''}{ending}"


def shortened(line: str, width: int) -> str:
    """`line` cut in its middle with `…` to at most `width` characters."""
    if len(line) <= width:
        return line
    if width < 3:
        return line[: max(0, width)]
    tail = (width - 1) // 3
    return f"{line[: width - 1 - tail]}…{line[-tail:] if tail else ''}"


def _shown(detail: str) -> str:
    """A detail without secrets, bounded: a row may hold a whole file's text, of which one line's width is drawn."""
    shown = redact(" ".join(detail[:_KEPT_DETAIL].split()))
    return shown if len(detail) <= _KEPT_DETAIL else f"{shown[: _KEPT_DETAIL // 2]}…"


def _face(name: str) -> tuple[str, str]:
    if is_shell(name):
        return "🛠️", "Exec"
    return _FACES.get(name.lower(), ("🧩", name.replace("_", " ").replace("-", " ").strip().title() or "Tool"))


def _detail(event: ToolStarted, command_text: CommandText) -> str:
    if is_shell(event.name):
        if command_text is CommandText.STATUS:
            return ""
        return _string(event.arguments, "command", "cmd") or event.detail
    return event.detail or _string(event.arguments, *_TELLING)


def _string(arguments: Mapping[str, Any], *names: str) -> str:
    return next((value for name in names if isinstance(value := arguments.get(name), str) and value), "")


def bounded(rows: tuple[ToolRow, ...]) -> tuple[ToolRow, ...]:
    """At most 64 rows: the oldest that went well goes first, so that a turn of a thousand calls stays small."""
    if len(rows) <= KEPT_ROWS:
        return rows
    drop = next((at for at, row in enumerate(rows) if not row.went_wrong), 0)
    return rows[:drop] + rows[drop + 1 :]
