"""The page on performance says what its JSON file says, and its charts show that."""

import json
from typing import Any
from xml.etree.ElementTree import fromstring

import pytest

from scripts.bench.charts import Bar, bar_chart, charts, line_chart, number
from scripts.bench.page import DOCS, RECORD, page
from scripts.bench.targets import TARGETS, rows


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RECORD.read_text())
    return found


def test_the_page_has_the_figures_of_the_record(record: dict[str, Any]) -> None:
    """`python scripts/bench/page.py` would change nothing."""
    text = (DOCS / "performance.md").read_text()
    assert page(text, record) == text


def test_the_charts_are_those_of_the_record(record: dict[str, Any]) -> None:
    """Each is there as it would be drawn."""
    for name, drawing in charts(record["results"]).items():
        assert (DOCS / "images" / name).read_text() == drawing, name


def test_the_page_shows_charts_that_there_are() -> None:
    """A result that was never recorded has no chart, and the page must not point to it."""
    text = (DOCS / "performance.md").read_text()
    shown = {line.partition("(images/")[2].rstrip(")") for line in text.splitlines() if line.startswith("![")}
    assert shown == {file.name for file in (DOCS / "images").glob("performance-*.svg")}


def test_rows_say_whether_a_target_is_reached() -> None:
    """At most, at least, by the floor of the same run; what was not measured is neither reached nor missed."""
    burst = {
        "cpu_ms_per_turn": 12.0,
        "first_text_s": {"p95": 1.5},
        "peak_rss_mib": 81.0,
        "floor": {"cpu_ms_per_turn": 10.0, "first_text_s": {"p95": 1.0}, "peak_rss_mib": 40.0},
    }
    ignored = {"posts_per_s": 6000, "longest_gap_s": 0.2, "floor": {"posts_per_s": 9000, "longest_gap_s": 0.1}}
    found = [row for row in rows({"turns_50": burst, "ignored_posts": ignored}) if row.value is not None]
    assert [(row.target.figure.split(" (")[0], row.is_met, round(row.share, 2)) for row in found] == [
        ("CPU per answer", True, 1.0),
        ("first text, p95", False, 1.15),
        ("memory, peak", False, 1.01),
        ("decoded, gated, recorded", True, 0.83),
        ("no heartbeat, longest", True, 0.2),
    ]
    assert len(rows({})) == len(TARGETS)
    assert not any(row.is_met for row in rows({}))


def test_drawings_are_well_formed() -> None:
    """Whatever the labels hold, and with nothing to draw."""
    for drawing in (
        bar_chart("A <title> & more", [[Bar("<b>", 1.0, "1 < 2"), Bar("", 0.0, "")]], mark=2.0, mark_text="&"),
        bar_chart("nothing", []),
        line_chart("line", [1.0, 3.0, 2.0], unit="MiB", across="an hour"),
        line_chart("nothing", [], unit="", across=""),
    ):
        assert fromstring(drawing).tag.endswith("svg")


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.037, "0.04"), (12.34, "12.3"), (1234.5, "1,234"), (5.0, "5"), (0.5, "0.50")]
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text
