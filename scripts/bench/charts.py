"""Draws the charts of docs/performance.md as plain SVG, from the results in docs/performance.json.

The functions are pure: from results to text.
"""

from collections.abc import Mapping, Sequence
from html import escape

from attrs import frozen

from scripts.bench.targets import Results, Row, rows

WIDTH, LABELS, BAR, GAP = 720, 250, 16, 6
OURS, FLOOR, MISSED, GRID, TEXT = "#2f6fed", "#9aa4b2", "#d1495b", "#d8dee6", "#1f2933"

_STEPS = tuple(digit * 10**power for power in range(-3, 7) for digit in (1, 2, 3, 5))


@frozen
class Bar:
    """One bar; `value` decides its length, `text` stands behind it."""

    label: str
    value: float
    text: str
    colour: str = OURS


def _svg(title: str, height: float, body: Sequence[str]) -> str:
    font = f'font-family="sans-serif" font-size="12" fill="{TEXT}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" role="img" {font}>',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height:g}" rx="6" fill="#ffffff"/>',
        f'<text x="14" y="24" font-size="14" font-weight="bold">{escape(title)}</text>',
        *body,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def bar_chart(title: str, groups: Sequence[Sequence[Bar]], *, mark: float | None = None, mark_text: str = "") -> str:
    """Horizontal bars in groups; `mark` is a line across at that value."""
    largest = max([bar.value for group in groups for bar in group] + [mark or 0.0, 1e-9])
    scale = (WIDTH - LABELS - 130) / largest
    y, body = 42.0, []
    for group in groups:
        for bar in group:
            length = max(1.0, bar.value * scale)
            middle = y + BAR - 4
            body += [
                f'<text x="{LABELS - 8}" y="{middle:g}" text-anchor="end">{escape(bar.label)}</text>',
                f'<rect x="{LABELS}" y="{y:g}" width="{length:.1f}" height="{BAR}" rx="2" fill="{bar.colour}"/>',
                f'<text x="{LABELS + length + 6:.1f}" y="{middle:g}">{escape(bar.text)}</text>',
            ]
            y += BAR + 3
        y += GAP
    if mark is not None:
        x = LABELS + mark * scale
        body.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="36" y2="{y:g}" stroke="{TEXT}" stroke-dasharray="4 3"/>')
        body.append(f'<text x="{x + 4:.1f}" y="{y + 8:g}">{escape(mark_text)}</text>')
    return _svg(title, y + 16, body)


def line_chart(title: str, values: Sequence[float], *, unit: str, across: str) -> str:
    """A line through `values`, which are equally far apart; `across` says what the width is."""
    top, bottom, left, right = 44.0, 210.0, 60.0, WIDTH - 20.0
    # Four steps of a round number.
    most = 4.0 * next(step for step in _STEPS if step * 4 >= max(values, default=1.0))
    body = []
    for part in range(5):
        y = bottom - (bottom - top) * part / 4
        body.append(f'<line x1="{left:g}" x2="{right:g}" y1="{y:g}" y2="{y:g}" stroke="{GRID}"/>')
        body.append(f'<text x="{left - 8:g}" y="{y + 4:g}" text-anchor="end">{most * part / 4:.0f}</text>')
    step = (right - left) / max(1, len(values) - 1)
    points = " ".join(
        f"{left + step * at:.1f},{bottom - (bottom - top) * value / most:.1f}" for at, value in enumerate(values)
    )
    body.append(f'<polyline points="{points}" fill="none" stroke="{OURS}" stroke-width="2"/>')
    body.append(f'<text x="{left:g}" y="{bottom + 20:g}">{escape(f"{unit}; {across}")}</text>')
    return _svg(title, bottom + 34, body)


def number(value: float) -> str:
    """A figure as people write it: three digits are enough, thousands have a comma."""
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def with_unit(value: float, unit: str) -> str:
    return f"{number(value)} {unit}".strip()


def _short(figure: str) -> str:
    return figure.split(" (")[0].split(", ")[0][:30].strip()


def _targets_chart(found: Sequence[Row]) -> str:
    groups = [
        [
            Bar(
                f"{row.target.label}: {_short(row.target.figure)}",
                min(row.share, 2.0),
                with_unit(row.value, row.target.unit),
                OURS if row.is_met else MISSED,
            )
        ]
        for row in found
        if row.value is not None
    ]
    return bar_chart("How much of each target is used", groups, mark=1.0, mark_text="the target")


def _beside_floor(title: str, figure: str, found: Sequence[Row]) -> str:
    groups = []
    for row in found:
        if row.value is None or row.floor is None or row.target.figure != figure:
            continue
        unit = row.target.unit
        groups.append(
            [
                Bar(row.target.label, row.value, with_unit(row.value, unit)),
                Bar("bare script", row.floor, with_unit(row.floor, unit), FLOOR),
            ]
        )
    return bar_chart(title, groups)


def _ignored_chart(result: Results) -> str:
    both = ((result, "gateway", OURS), (result["floor"], "bare script, which records nothing", FLOOR))
    figures = [(each["cpu_us_per_post"], name, colour) for each, name, colour in both]
    bars = [Bar(name, figure, f"{number(figure)} µs", colour) for figure, name, colour in figures]
    return bar_chart("CPU for a post that is not for the bot", [bars])


def charts(results: Mapping[str, Results]) -> dict[str, str]:
    """The charts by file name; what was not measured has none."""
    found = rows(results)
    drawn = {"performance-targets.svg": _targets_chart(found)}
    if any(row.target.figure == "CPU per answer" and row.value is not None for row in found):
        drawn["performance-cpu.svg"] = _beside_floor("CPU for an answer", "CPU per answer", found)
        title = "First words after the question, 95 of 100"
        drawn["performance-first-text.svg"] = _beside_floor(title, "first text, p95", found)
    if "cpu_us_per_post" in results.get("ignored_posts", {}):
        drawn["performance-ignored-posts.svg"] = _ignored_chart(results["ignored_posts"])
    if "hour" in results:
        memory = [look["rss_mib"] for look in results["hour"]["looks"]]
        title = "Resident memory during an hour of mixed traffic"
        drawn["performance-hour.svg"] = line_chart(title, memory, unit="MiB", across="an hour from left to right")
    return drawn
