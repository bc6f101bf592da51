import pytest
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.core.progress import HEADLINE_CHARS, ProgressStyle, Work, pick_label, render
from oc_trio.core.tool_rows import ToolRow
from oc_trio.core.turn_events import PlanStep, ToolStatus

PLAN = (PlanStep("look", "done"), PlanStep("think", "active"), PlanStep("act"))
ROWS = (ToolRow("1", "read", "a.py"), ToolRow("2", "exec", status=ToolStatus.FAILED), ToolRow("3", "edit", "b.py"))


@pytest.mark.parametrize(
    ("work", "style", "expected"),
    [
        pytest.param(Work(), ProgressStyle(), "Working", id="only the label"),
        pytest.param(Work(), ProgressStyle(label=""), "", id="no label"),
        pytest.param(Work(), ProgressStyle(label="Busy"), "Busy", id="a label of one's own"),
        pytest.param(Work("Reading"), ProgressStyle(), "Reading", id="a headline replaces an automatic label"),
        pytest.param(Work("Reading"), ProgressStyle(label="Busy"), "Busy\n\nReading", id="but not a configured one"),
        pytest.param(
            Work("Go", PLAN, ROWS[:1], "hm"),
            ProgressStyle(),
            "Go\n\n✅ look\n▸ think\n▢ act\n📖 Read: a.py\n• hm",
            id="everything",
        ),
        pytest.param(
            Work(rows=ROWS),
            ProgressStyle(label="", max_lines=2),
            "🛠️ Exec (failed)\n📝 Edit: b.py",
            id="failed rows stay",
        ),
        pytest.param(
            Work(plan=PLAN), ProgressStyle(label="", max_lines=2), "1/3 done\n▸ think", id="a plan that does not fit"
        ),
        pytest.param(
            Work(rows=(ToolRow("1", "read", "x" * 50),)),
            ProgressStyle(label="", max_line_chars=20),
            "📖 Read: xxxxx…xxxxxx",
            id="long rows are cut in the middle",
        ),
    ],
)
def test_render(work: Work, style: ProgressStyle, expected: str) -> None:
    """Label, headline and lines are parted by blank lines."""
    assert render(work, style, "seed") == expected


def test_a_label_is_picked_by_its_seed() -> None:
    """The same seed picks the same label; the hash is 32-bit FNV-1a."""
    labels = tuple(f"label {at}" for at in range(0x100))
    assert pick_label(labels, "a") == f"label {0xE40C292C % 0x100}"
    assert pick_label((), "a") == ""


@pytest.mark.slow
@given(
    st.text("ab \n", max_size=400),
    st.lists(st.builds(PlanStep, st.text(max_size=30), st.sampled_from(["done", "active", "pending"])), max_size=12),
    st.lists(st.builds(ToolRow, st.just("1"), st.just("read"), st.text(max_size=150)), max_size=12),
    st.integers(1, 10),
)
def test_a_block_is_never_larger_than_configured(
    headline: str, plan: list[PlanStep], rows: list[ToolRow], max_lines: int
) -> None:
    """At most `max_lines` lines of at most `max_line_chars` characters under a headline of at most 280."""
    style = ProgressStyle(label="", max_lines=max_lines, max_line_chars=40)
    text = render(Work(headline, tuple(plan), tuple(rows)), style, "")
    parts = text.split("\n\n")
    if headline.strip():
        assert len(parts.pop(0)) <= HEADLINE_CHARS
    lines = parts[0].split("\n") if parts else []
    assert len(lines) <= max_lines
    assert all(len(line) <= 40 for line in lines)
