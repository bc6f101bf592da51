"""What is to be reached, and how a run's results compare with it. Pure: from the results of `all.py` to rows."""

from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen

Results = Mapping[str, Any]


@frozen
class Target:
    """One figure of the benchmark `bench` that is to be at most `limit` (with `at_least`: at least).

    `label` is short, for charts.

    `value` and `limit` read the result of the benchmark; `floor` is the bare script's figure, None where there is none.
    """

    bench: str
    work: str
    label: str
    figure: str
    unit: str
    value: Callable[[Results], float]
    limit: Callable[[Results], float]
    rule: str
    floor: Callable[[Results], float] | None = None
    at_least: bool = False

    @property
    def is_relative(self) -> bool:
        """Whether the limit follows from another figure of the same run."""
        return self.rule.startswith(("1.2 x", "floor +", "idle +"))


@frozen
class Row:
    """A target with its figures from one run; `value` is None where it was not measured."""

    target: Target
    value: float | None = None
    limit: float = 0.0
    floor: float | None = None

    @property
    def is_met(self) -> bool:
        if self.value is None:
            return False
        return self.value >= self.limit if self.target.at_least else self.value <= self.limit

    @property
    def share(self) -> float:
        """How much of what is allowed was used: 1.0 is all of it; more misses the target."""
        if self.value is None:
            return 0.0
        pair = (self.limit, self.value) if self.target.at_least else (self.value, self.limit)
        return pair[0] / pair[1] if pair[1] else float(pair[0] > 0)


def _at(*path: str) -> Callable[[Results], float]:
    def read(results: Results) -> float:
        found: Any = results
        for name in path:
            found = found[name]
        return float(found)

    return read


def _fixed(limit: float) -> Callable[[Results], float]:
    return lambda _results: limit


def _floor_times(factor: float, *path: str) -> Callable[[Results], float]:
    return lambda results: factor * _at("floor", *path)(results)


def _floor_plus(more: float, *path: str) -> Callable[[Results], float]:
    return lambda results: more + _at("floor", *path)(results)


def _of_both(*path: str) -> Callable[[Results], float]:
    return _at("floor", *path)


def _growing(results: Results) -> float:
    """Tasks, threads, files and sockets that were more at the end than in the middle."""
    return float(sum(max(0, count) for name, count in results["growth"].items() if name != "rss_mib"))


_BURST = ("turns_50", "50 threads, 50 tokens every 20 ms", "50 at once")
_CROWD = ("turns_200", "200 threads, the same", "200 at once")
_LIVE = ("live_1000", "1,000 answers of 60 s at once, default configuration", "1,000 live")
_QUIET = ("quiet_turn", "one answer at a time", "one answer")
_IGNORED = ("ignored_posts", "posts that are not for the bot", "ignored posts")
_CATCH_UP = ("catch_up", "10,000 missed posts in 100 channels, 50 questions", "catch-up")
_START = ("start", "a start with 1,000 channels", "start")
_HOUR = ("hour", "an hour of mixed traffic, compressed", "an hour")

CPU, FIRST = ("cpu_ms_per_turn",), ("first_text_s", "p95")

TARGETS = (
    Target(*_BURST, "CPU per answer", "ms", _at(*CPU), _floor_times(1.2, *CPU), "1.2 x floor", _of_both(*CPU)),
    Target(*_BURST, "first text, p95", "s", _at(*FIRST), _floor_plus(0.3, *FIRST), "floor + 0.3 s", _of_both(*FIRST)),
    Target(*_BURST, "memory, peak", "MiB", _at("peak_rss_mib"), _fixed(80), "80 MiB", _of_both("peak_rss_mib")),
    Target(*_CROWD, "answered", "", _at("answered"), _fixed(200), "all", _of_both("answered"), at_least=True),
    Target(*_CROWD, "CPU per answer", "ms", _at(*CPU), _floor_times(1.2, *CPU), "1.2 x floor", _of_both(*CPU)),
    Target(*_CROWD, "first text, p95", "s", _at(*FIRST), _floor_times(1.2, *FIRST), "1.2 x floor", _of_both(*FIRST)),
    Target(*_LIVE, "answered", "", _at("answered"), _fixed(1000), "all", at_least=True),
    Target(
        *_LIVE,
        "first text, all, after the model's first token",
        "s",
        _at("first_after_token_s", "max"),
        _fixed(3.0),
        "3 s",
    ),
    Target(*_LIVE, "CPU", "cores", _at("cores"), _fixed(1.0), "1 core"),
    Target(*_LIVE, "final, p95, after the model's end", "s", _at("final_after_end_s", "p95"), _fixed(0.5), "0.5 s"),
    Target(*_LIVE, "memory, peak", "MiB", _at("peak_rss_mib"), _fixed(250), "250 MiB"),
    Target(
        *_QUIET,
        "first text, p95, after the model's first token",
        "ms",
        _at("first_text_ms", "p95"),
        _fixed(30),
        "30 ms",
        _of_both("first_text_ms", "p95"),
    ),
    Target(
        *_QUIET,
        "final, p95, after its last token",
        "ms",
        _at("final_ms", "p95"),
        _fixed(100),
        "100 ms",
        _of_both("final_ms", "p95"),
    ),
    Target(
        *_IGNORED,
        "decoded, gated, recorded",
        "per s",
        _at("posts_per_s"),
        _fixed(5000),
        "5,000 per s",
        _of_both("posts_per_s"),
        at_least=True,
    ),
    Target(
        *_IGNORED,
        "no heartbeat, longest (sent every 0.1 s)",
        "s",
        _at("longest_gap_s"),
        _fixed(1.0),
        "1 s",
        _of_both("longest_gap_s"),
    ),
    Target(*_CATCH_UP, "first answer", "s", _at("first_answer_s"), _fixed(5.0), "5 s"),
    Target(
        *_CATCH_UP,
        "memory, peak",
        "MiB",
        _at("peak_rss_mib"),
        lambda results: _at("idle_rss_mib")(results) + 25.0,
        "idle + 25 MiB",
    ),
    Target(*_START, "until connected", "s", _at("again", "start_s"), _fixed(1.0), "1 s", _of_both("start_s")),
    Target(
        *_START,
        "requests, beyond those of catch-up, 5 channels with news",
        "",
        _at("news", "beyond_catch_up"),
        _fixed(10),
        "10",
    ),
    Target(*_HOUR, "more tasks, threads, files or sockets", "", _growing, _fixed(0), "0"),
    Target(*_HOUR, "growth of memory", "MiB/h", _at("rss_slope_mib_per_hour"), _fixed(1.0), "none (1 MiB/h is noise)"),
)


def rows(results: Mapping[str, Results]) -> tuple[Row, ...]:
    """The targets with the figures of `results`, which is by name of benchmark."""
    found = []
    for target in TARGETS:
        result = results.get(target.bench)
        if result is None:
            found.append(Row(target))
            continue
        floor = target.floor(result) if target.floor is not None else None
        found.append(Row(target, target.value(result), target.limit(result), floor))
    return tuple(found)
