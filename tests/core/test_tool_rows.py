import pytest

from oc_trio.core.tool_rows import CommandText, ToolRow, ended_row, makes_row, row_of, row_text, shorten
from oc_trio.core.turn_events import ToolEnded, ToolStarted, ToolStatus


@pytest.mark.parametrize(
    ("event", "command_text", "expected"),
    [
        pytest.param(ToolStarted("1", "read", {"path": "a.py"}), CommandText.STATUS, "📖 Read: a.py", id="path"),
        pytest.param(
            ToolStarted("1", "read", {"path": "a"}, "b"), CommandText.STATUS, "📖 Read: b", id="its own detail"
        ),
        pytest.param(ToolStarted("1", "exec", {"command": "ls"}, "ls"), CommandText.STATUS, "🛠️ Exec", id="hidden"),
        pytest.param(ToolStarted("1", "bash", {"command": "ls  -l"}), CommandText.RAW, "🛠️ Exec: ls -l", id="raw"),
        pytest.param(ToolStarted("1", "get_weather"), CommandText.STATUS, "🧩 Get Weather", id="unknown tool"),
        pytest.param(ToolStarted("1", ""), CommandText.STATUS, "🧩 Tool", id="nameless tool"),
        pytest.param(
            ToolStarted("1", "web_fetch", {"url": "https://a:b@c/"}),
            CommandText.STATUS,
            "📄 Web Fetch: https://***@c/",
            id="redacted",
        ),
    ],
)
def test_a_row(event: ToolStarted, command_text: CommandText, expected: str) -> None:
    """A row is an emoji, a label and one detail."""
    assert row_text(row_of(event, command_text)) == expected


@pytest.mark.parametrize(
    ("status", "name", "detail", "expected"),
    [
        pytest.param(ToolStatus.COMPLETED, "read", "12 lines", "📖 Read: 12 lines", id="went well"),
        pytest.param(ToolStatus.FAILED, "read", "", "📖 Read: a (failed)", id="failed"),
        pytest.param(ToolStatus.DENIED, "exec", "rm -rf /", "🛠️ Exec: a (not allowed)", id="a command stays hidden"),
    ],
)
def test_an_ended_row(status: ToolStatus, name: str, detail: str, expected: str) -> None:
    """How a call ended is said unless it went well."""
    row = ended_row(ToolRow("1", name, "a"), ToolEnded("1", name, status, detail=detail), CommandText.STATUS)
    assert row_text(row) == expected


def test_tools_whose_effect_is_seen_make_no_row() -> None:
    """Messages, reactions and plans show themselves."""
    assert [name for name in ("message", "react", "update_plan", "Reply", "exec") if makes_row(name)] == ["exec"]


@pytest.mark.parametrize(
    ("line", "width", "expected"),
    [("abc", 3, "abc"), ("abcdefghij", 7, "abcd…ij"), ("abcd", 2, "ab"), ("abcd", 3, "ab…")],
)
def test_shortened(line: str, width: int, expected: str) -> None:
    """The middle goes first."""
    assert shorten(line, width) == expected
