"""Jobs by the clock as values: ids, what is due, how the journal keeps them."""

import pytest

from oc_trio.core.cron_jobs import (
    LATE_MS,
    Expression,
    Interval,
    Missed,
    Once,
    Run,
    ScheduledJob,
    Skip,
    Timing,
    Wait,
    due_now,
    free_id,
    interval_after,
    interval_until,
    spelled_timing,
)

NOW = 10_000_000


@pytest.mark.parametrize(
    ("first", "latest", "missed", "step"),
    [
        pytest.param(NOW + 1, NOW - 5, Missed.SKIP, Wait(NOW + 1), id="later"),
        pytest.param(None, None, Missed.SKIP, Wait(None), id="never"),
        pytest.param(NOW, NOW, Missed.SKIP, Run(NOW), id="now"),
        pytest.param(NOW - LATE_MS, None, Missed.SKIP, Run(NOW - LATE_MS), id="somewhat late"),
        pytest.param(NOW - LATE_MS - 1, None, Missed.SKIP, Skip(NOW - LATE_MS - 1), id="missed"),
        pytest.param(NOW - LATE_MS - 1, None, Missed.ONCE, Run(NOW - LATE_MS - 1), id="made up for"),
        pytest.param(NOW - 900_000, NOW - 10, Missed.SKIP, Run(NOW - 10), id="the latest of several"),
    ],
)
def test_what_is_due(first: int | None, latest: int | None, missed: Missed, step: Wait | Run | Skip) -> None:
    """Only the latest run counts, and one that is too late only where it is made up for."""
    assert due_now(first, latest, NOW, missed) == step


@pytest.mark.parametrize(
    ("after", "due", "before"), [(0, 1100, None), (1000, 1100, None), (1100, 1200, 1100), (1250, 1300, 1200)]
)
def test_intervals_count_from_their_anchor(after: int, due: int, before: int | None) -> None:
    """The first run is one interval after it."""
    assert interval_after(Interval(100, 1000), after) == due
    assert interval_until(Interval(100, 1000), after) == before


@pytest.mark.parametrize(
    ("wanted", "id_"),
    [
        ("Morning brief", "morning-brief"),
        ("  Über & out! ", "uber-out"),
        ("日報", "job"),
        ("taken", "taken-2"),
        ("../../etc/passwd", "etc-passwd"),
        ("x" * 60, "x" * 40),
    ],
)
def test_ids_are_made_of_names(wanted: str, id_: str) -> None:
    """Letters and digits, with a number where the id is taken."""
    assert free_id(wanted, {"taken"}) == id_


@pytest.mark.parametrize(
    ("timing", "text"),
    [
        (Once(1_801_497_600_000), "at 2027-02-01T16:00:00+00:00"),
        (Interval(5_400_000, 0), "every 1h 30m"),
        (Expression("0 9 * * 1-5", "Europe/Berlin"), "0 9 * * 1-5 (Europe/Berlin)"),
    ],
)
def test_a_job_comes_back_from_json(timing: Timing, text: str) -> None:
    """All of it, with any kind of time; people read the time as it is written."""
    job = ScheduledJob("id", timing, "@alice", prompt="Was gibt's?", time_limit=5.0, missed=Missed.ONCE, keep=True)
    assert ScheduledJob.from_json(job.to_json()) == job
    newer = job.to_json().replace('"missed"', '"mood":"good","missed"', 1)
    assert ScheduledJob.from_json(newer) == job
    assert spelled_timing(timing) == text
