"""Puts the figures of docs/performance.json into docs/performance.md, and the charts beside it.

    python scripts/bench/page.py     # page and charts anew, from the JSON as it is

`all.py` measures, and then does the same. What stands between `<!-- begin NAME -->` and `<!-- end NAME -->` is made
here; the rest of the page is written by hand.
"""

import json
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.bench.charts import charts, number, with_unit
from scripts.bench.processes import ROOT
from scripts.bench.targets import Results, Row, rows

DOCS = ROOT / "docs"
RECORD = DOCS / "performance.json"
_PART = re.compile(r"<!-- begin (?P<name>\w+) -->\n.*?<!-- end (?P=name) -->", re.DOTALL)


def _table(found: tuple[Row, ...]) -> str:
    lines = ["| Work | Figure | Target | Measured | Bare script | |", "|---|---|---|---|---|---|"]
    work = ""
    for row in found:
        target, unit = row.target, row.target.unit
        rule = f"at least {target.rule}" if target.at_least and target.rule != "all" else target.rule
        if target.is_relative and row.value is not None:
            rule += f": {with_unit(row.limit, unit)}"
        measured = with_unit(row.value, unit) if row.value is not None else "not measured"
        floor = with_unit(row.floor, unit) if row.floor is not None else ""
        word = "" if row.value is None else "reached" if row.is_met else "**missed**"
        cells = ("" if target.work == work else target.work, target.figure, rule, measured, floor, word)
        lines.append(f"| {' | '.join(cells)} |")
        work = target.work
    return "\n".join(lines)


def _burst(result: Results) -> str:
    first, memory = result["first_text_s"]["p95"], number(result["peak_rss_mib"])
    return f"{result['cpu_ms_per_turn']} ms of CPU each; first words after {first} s (95 of 100); {memory} MiB"


def _live(result: Results) -> str:
    return f"{number(result['peak_rss_mib'])} MiB; {number(result['edits_per_s'])} edits a second in all"


def _quiet(result: Results) -> str:
    first, last = number(result["first_text_ms"]["p50"]), number(result["final_ms"]["p50"])
    return f"{result['cpu_ms_per_turn']} ms of CPU; its first words {first} ms after the model's, its last {last} ms"


def _ignored(result: Results) -> str:
    return f"{number(result['posts_per_s'])} a second, {number(result.get('cpu_us_per_post', 0.0))} µs of CPU each"


def _catch_up(result: Results) -> str:
    requests, cpu = number(result["page_requests"]), result["cpu_s"]
    least = f" (reading alone: {result['floor']['cpu_s']} s)" if "floor" in result else ""
    return f"{result['all_answered_s']} s until all is answered, {requests} requests for posts, {cpu} s of CPU{least}"


def _start(result: Results) -> str:
    again = result["again"]
    return f"{again['start_s']} s, {again['cpu_s']} s of CPU, {again['beyond_catch_up']} requests"


def _hour(result: Results) -> str:
    answers, commands, lost = (number(result[name]) for name in ("answers", "commands", "reconnects"))
    return f"{result['cpu_s']} s of CPU for {answers} answers, {commands} commands and {lost} lost connections"


_CARRIED: tuple[tuple[str, str, Callable[[Results], str]], ...] = (
    ("start", "A start, until connected, with 1,000 channels", _start),
    ("quiet_turn", "An answer of 50 words while nothing else goes on", _quiet),
    ("turns_50", "50 of them at once", _burst),
    ("turns_200", "200 of them at once", _burst),
    ("live_1000", "1,000 answers of a minute at once", _live),
    ("ignored_posts", "Posts that are not for the bot", _ignored),
    ("catch_up", "10,000 missed posts with 50 questions", _catch_up),
    ("hour", "An hour of mixed traffic", _hour),
)


def _carried(results: Mapping[str, Results]) -> str:
    lines = ["| What | Takes |", "|---|---|"]
    lines += [f"| {what} | {text(results[bench])} |" for bench, what, text in _CARRIED if bench in results]
    return "\n".join(lines)


def _machine(record: Mapping[str, Any]) -> str:
    machine = record["machine"]
    return (
        f"Measured on {record['date']}, with {machine['cores']} cores ({machine['cpu']}) that all processes share,"
        f" Python {machine['python']},\nload before {machine['load']}."
    )


def page(text: str, record: Mapping[str, Any]) -> str:
    """The page with the figures of `record` in place of those that it has."""
    results = record["results"]
    parts = {"machine": _machine(record), "targets": _table(rows(results)), "carried": _carried(results)}
    return _PART.sub(
        lambda match: f"<!-- begin {match['name']} -->\n{parts[match['name']]}\n<!-- end {match['name']} -->", text
    )


def write(record: Mapping[str, Any], docs: Path) -> None:
    """Write the page's figures and the charts below `docs`."""
    file = docs / "performance.md"
    file.write_text(page(file.read_text(), record))
    for name, drawing in charts(record["results"]).items():
        (docs / "images" / name).write_text(drawing)


if __name__ == "__main__":
    write(json.loads(RECORD.read_text()), DOCS)
