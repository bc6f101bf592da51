"""Jobs by the clock: what one does and when, how the journal keeps it, and what a schedule does about it now.

When a cron expression is due is `runtime.schedule.cron_times`, which needs the time zones.
"""

import json
import re
import unicodedata
from collections.abc import Container, Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any, assert_never

from attrs import AttrsInstance, asdict
from attrs import fields as fields_of

from oc_trio.classes import frozen
from oc_trio.errors import OcTrioError

# Later than this, a run counts as missed.
# An update or a short outage stays below it; what is later is about a time that people have left behind.
LATE_MS = 300_000
# Of the journal: each account's schedule reads all of them at every look.
MAX_JOBS = 1000
# One line of a list; the id made of it is typed by hand.
LONGEST_NAME = 100
_LONGEST_ID = 40


class JobRefused(OcTrioError):
    """A job can't be added or changed as it is wanted; str() is a sentence that says why and what to do."""


class Missed(Enum):
    """What happens to runs that fell into downtime."""

    SKIP = "skip"
    ONCE = "once"


class JobSource(Enum):
    """Where a job is written down: the configuration file, or the journal, which commands change."""

    FILE = "file"
    JOURNAL = "journal"


@frozen
class Once:
    """`--at`: one run, at a time in milliseconds since the epoch."""

    at: int


@frozen
class Interval:
    """`--every`: a run each `every` milliseconds, counted from `anchor`."""

    every: int
    anchor: int


@frozen
class Expression:
    """`--cron`: five fields, or a macro such as `@daily`, in a time zone."""

    expression: str
    timezone: str = "UTC"


Timing = Once | Interval | Expression
_TIMINGS: dict[str, type[Timing]] = {"at": Once, "every": Interval, "cron": Expression}


@frozen
class ScheduledJob:
    """Posts `text`, or asks an agent `prompt` and posts the answer.

    Empty fields mean the default: `agent` that of messages in the target, `account` the default account, `model` and
    `thinking` the agent's own. `conversation` is the memory that the prompt is answered with; without one each run
    begins anew. `time_limit` is in seconds, `created_at` in milliseconds. `keep` is about a job with one run: it stays
    afterwards, disabled. `origin` says which job of another program it was.
    """

    id: str
    timing: Timing
    target: str
    text: str = ""
    prompt: str = ""
    name: str = ""
    description: str = ""
    agent: str = ""
    account: str = ""
    model: str = ""
    thinking: str = ""
    time_limit: float | None = None
    conversation: str = ""
    missed: Missed = Missed.SKIP
    enabled: bool = True
    keep: bool = False
    source: JobSource = JobSource.JOURNAL
    origin: str = ""
    created_at: int = 0

    @property
    def label(self) -> str:
        """What people call it."""
        return self.name or self.id

    def to_json(self) -> str:
        fields = asdict(self, filter=lambda attribute, _value: attribute.name not in ("timing", "source"))
        fields["missed"] = self.missed.value
        kind = next(name for name, kind in _TIMINGS.items() if isinstance(self.timing, kind))
        fields["timing"] = {"kind": kind, **asdict(self.timing)}
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "ScheduledJob":
        """The inverse of `to_json`; ValueError, KeyError or TypeError on anything else."""
        fields: dict[str, Any] = json.loads(text)
        timing = dict(fields["timing"])
        kind = _TIMINGS[timing.pop("kind")]
        fields["timing"] = kind(**_known(kind, timing))
        fields["missed"] = Missed(fields["missed"])
        return cls(**_known(cls, fields))


def _known(kind: type[AttrsInstance], values: Mapping[str, Any]) -> dict[str, Any]:
    """Without fields that only another version has."""
    names = {field.name for field in fields_of(kind)}
    return {name: value for name, value in values.items() if name in names}


def too_many_jobs() -> str:
    """Why no further job is added."""
    return f"there are {MAX_JOBS} jobs already: remove some, by oc-trio cron rm"


def free_id(wanted: str, taken: Container[str]) -> str:
    """An id for a job that people call `wanted`: its letters and digits, with a number behind where that is taken."""
    # NFKD takes letters and their accents apart, so that "Résumé" gives `resume`.
    plain = unicodedata.normalize("NFKD", wanted).encode("ascii", "ignore").decode().lower()
    stem = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:_LONGEST_ID].rstrip("-") or "job"
    number, candidate = 1, stem
    while candidate in taken:
        number += 1
        candidate = f"{stem}-{number}"
    return candidate


@frozen
class Wait:
    """Nothing to do before `until`; None where the job is never due again."""

    until: int | None


@frozen
class Run:
    """The run of `at` is due."""

    at: int


@frozen
class Skip:
    """The run of `at` was missed, and is not made up for."""

    at: int


def due_now(first: int | None, latest: int | None, now: int, missed: Missed) -> Wait | Run | Skip:
    """What to do about a job. `first` is its first time after the last run, `latest` its last one up to now.

    Of several that are due only the latest counts.
    """
    if first is None or first > now:
        return Wait(first)
    at = max(first, latest or first)
    return Skip(at) if now - at > LATE_MS and missed is Missed.SKIP else Run(at)


def interval_after(timing: Interval, after: int) -> int:
    """The first time later than `after`."""
    # By counting from the anchor: runs that end late don't move the ones after them.
    return timing.anchor + max(1, (after - timing.anchor) // timing.every + 1) * timing.every


def interval_until(timing: Interval, until: int) -> int | None:
    """The last time not later than `until`; None before the first one."""
    count = (until - timing.anchor) // timing.every
    return timing.anchor + count * timing.every if count > 0 else None


def spelled_timing(timing: Timing) -> str:
    """For people: `0 9 * * 1-5 (Europe/Berlin)`, `every 1h 30m`, `at 2027-02-01T16:00:00+00:00`."""
    match timing:
        case Once(at):
            return f"at {iso(at)}"
        case Interval(every):
            return f"every {spelled_duration(every)}"
        case Expression(expression, timezone):
            return f"{expression} ({timezone})"
        case never:
            assert_never(never)


def spelled_duration(milliseconds: int) -> str:
    """`1d 2h`, `90s` as `1m 30s`."""
    rest, parts = milliseconds, []
    for name, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{name}")
    return " ".join(parts)


def iso(at: int) -> str:
    """A time in milliseconds as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="seconds")
