"""What a job of OpenClaw's scheduler is here: a job, what it does differently, or why it can't be carried over.

Whether agents, models, accounts and time zones of that name exist is the caller's to check.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from oc_trio.classes import frozen
from oc_trio.core.chat_commands import THINK_LEVELS
from oc_trio.core.cron_jobs import LONGEST_NAME, Expression, Interval, Missed, Once, ScheduledJob, Timing
from oc_trio.core.cron_times import LONGEST_MS, SHORTEST_MS

# Prefixes of the keys by which OpenClaw knows jobs that it made for itself.
_ITS_OWN = ("heartbeat:", "skill-collection-review:", "memory-core:", "openclaw:")
_INTERNAL = "is OpenClaw's own, for its memory, skills or heartbeat"
_THINKING = {"xhigh": "high", "max": "high", "ultra": "high", "adaptive": ""}
# A hundred years: what is later was written in another unit than milliseconds.
_FARTHEST_MS = 10 * LONGEST_MS
_PAYLOADS = {
    "command": "runs a command, and oc-trio runs none: a program can call /hooks/deliver",
    "script": "runs a script with tools, and oc-trio runs none: ask the agent by oc-trio cron add --message",
}
_SCHEDULES = {
    "on-exit": "waits for a command's end, and jobs run by the clock only: let it call /hooks/agent",
    "stream": "waits for a command's lines, and jobs run by the clock only: let it call /hooks/agent",
}


@frozen
class ImportRules:
    """`target` is where a job goes that names no place, `timezone` what an expression without one is in. `now` is in
    milliseconds.
    """

    now: int
    target: str = ""
    timezone: str = ""


@frozen
class CarriedJob:
    """`job` is None where `refusal` says why. `differences` are clauses about what the job does otherwise here.
    `is_internal` is about a job that OpenClaw made for itself.
    """

    name: str
    origin: str
    job: ScheduledJob | None = None
    differences: tuple[str, ...] = ()
    refusal: str = ""
    is_internal: bool = False


class _JobRefused(Exception):
    """The job can't be carried over; str() is a clause."""


def carry_over(raw: Mapping[str, Any], rules: ImportRules) -> CarriedJob:
    """One job as OpenClaw wrote it, also in the shapes of older releases."""
    id_ = _text(raw, "id") or _text(raw, "jobId")
    called = _text(raw, "displayName") or _text(raw, "name") or id_ or "a job without a name"
    name = " ".join("".join(letter if letter.isprintable() else " " for letter in called).split())[:LONGEST_NAME]
    # Told rather than refused: a job is worth more than its name.
    differences: list[str] = [] if name == called else ["has its name in one line, of at most 100 characters"]
    if _text(raw, "declarationKey").startswith(_ITS_OWN) or _text(_table(raw, "payload"), "kind") == "heartbeat":
        return CarriedJob(name, f"openclaw:{id_}", refusal=_INTERNAL, is_internal=True)
    try:
        if not id_:
            raise _JobRefused("has no id: the row is no job")
        if raw.get("unreadable") is True:
            raise _JobRefused("can't be read: its row is not JSON")
        job = _job(raw, id_, name, rules, differences)
    except _JobRefused as refusal:
        return CarriedJob(name, f"openclaw:{id_}", refusal=str(refusal))
    return CarriedJob(name, job.origin, job, tuple(differences))


def _job(raw: Mapping[str, Any], id_: str, name: str, rules: ImportRules, differences: list[str]) -> ScheduledJob:
    # Before there was `payload`, its fields were the job's.
    payload, delivery = _table(raw, "payload") or raw, _table(raw, "delivery")
    kind = _payload_kind(payload)
    if raw.get("trigger"):
        raise _JobRefused("has a script as a condition, and oc-trio runs none")
    prompt = _text(payload, "message") or _text(payload, "text")
    if not prompt:
        raise _JobRefused("says nothing")
    timing = _timing(_schedule(raw), rules, differences)
    is_on = raw.get("enabled") is not False
    if isinstance(timing, Once) and timing.at <= rules.now:
        raise _JobRefused("was to run once, and its time is past")
    if isinstance(timing, Once) and timing.at - rules.now > _FARTHEST_MS:
        raise _JobRefused("is to run once, more than a hundred years ahead")
    target = _target(payload, delivery, rules, differences)
    model, thinking = _text(payload, "model"), _text(payload, "thinking").lower()
    if thinking and thinking not in THINK_LEVELS:
        known = _THINKING.get(thinking, "")
        differences.append(f"thinks at the level {known or 'of its agent'}: there is no {thinking} here")
        thinking = known
    seconds = payload.get("timeoutSeconds")
    limit = float(seconds) if isinstance(seconds, (int, float)) and not isinstance(seconds, bool) else 0.0
    _note_differences(raw, payload, delivery, kind, differences)
    return ScheduledJob(
        id=_text(raw, "name") or name,
        timing=timing,
        target=target,
        prompt=prompt,
        name=name,
        description=_text(raw, "description"),
        agent=_text(raw, "agentId"),
        account=_text(delivery, "accountId"),
        model=model,
        thinking=thinking,
        # A day is the most that a turn may take here; without a usable number the agent's own limit holds.
        time_limit=min(limit, 86_400.0) if limit > 0 else None,
        conversation=_conversation(_text(raw, "sessionTarget"), kind, id_, differences),
        # OpenClaw makes up for what it missed.
        missed=Missed.ONCE,
        enabled=is_on,
        # There a job stays unless it says otherwise, here it goes.
        keep=isinstance(timing, Once) and raw.get("deleteAfterRun") is not True,
        origin=f"openclaw:{id_}",
    )


def _payload_kind(payload: Mapping[str, Any]) -> str:
    """`agentTurn` or `systemEvent`, also where an old release wrote it in lower case or not at all."""
    kind = _text(payload, "kind")
    if kind in _PAYLOADS:
        raise _JobRefused(_PAYLOADS[kind])
    spelled = kind or ("agentTurn" if _text(payload, "message") else "systemEvent" if _text(payload, "text") else "")
    for known in ("agentTurn", "systemEvent"):
        if spelled.lower() == known.lower():
            return known
    raise _JobRefused(f"has a payload that is not known here: {kind or 'none'}")


def _schedule(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schedule with its kind, which old releases left out; a text is a cron expression."""
    expression = _text(raw, "schedule")
    schedule = {"expr": expression} if expression else _table(raw, "schedule")
    if _text(schedule, "kind"):
        return schedule
    kinds = (("expr", "cron"), ("cron", "cron"), ("everyMs", "every"), ("at", "at"), ("atMs", "at"))
    return {**schedule, "kind": next((kind for name, kind in kinds if schedule.get(name)), "")}


def _timing(schedule: Mapping[str, Any], rules: ImportRules, differences: list[str]) -> Timing:
    kind = _text(schedule, "kind")
    if kind in _SCHEDULES:
        raise _JobRefused(_SCHEDULES[kind])
    if kind == "at":
        return Once(_moment(schedule.get("at", schedule.get("atMs"))))
    if kind == "every":
        every, anchor = schedule.get("everyMs"), schedule.get("anchorMs")
        if not isinstance(every, int) or isinstance(every, bool) or not SHORTEST_MS <= every <= LONGEST_MS:
            raise _JobRefused(f"has an interval that can't be kept: {every} ms; from 10 s to ten years it can be")
        # Of a beginning that is never reached there is no next run.
        is_time = isinstance(anchor, int) and not isinstance(anchor, bool) and 0 <= anchor <= rules.now + LONGEST_MS
        return Interval(every, int(anchor) if is_time and anchor is not None else rules.now)
    if kind != "cron":
        raise _JobRefused(f"has a schedule that is not known here: {kind or 'none'}")
    words = (_text(schedule, "expr") or _text(schedule, "cron")).split()
    if len(words) == 6:
        # Six fields begin with seconds; 0 of them is what five mean.
        if words[0].strip("0"):
            raise _JobRefused("names seconds in its cron expression, and jobs run at full minutes here")
        words = words[1:]
    zone = _text(schedule, "tz")
    if not zone:
        zone = rules.timezone or "UTC"
        differences.append(f"runs by the clock of {zone}; there it was the one of OpenClaw's machine (--tz ZONE)")
    if schedule.get("staggerMs"):
        differences.append("runs at the exact time, not somewhat later")
    return Expression(" ".join(words), zone)


def _moment(value: object) -> int:
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        # Cut, because int() raises for thousands of digits; 16 are enough for milliseconds.
        value = int(value[:16])
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value.strip())
            return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
        except (ValueError, OverflowError):
            value = None
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**47:
        return value
    raise _JobRefused("was to run once, at a time that can't be read")


def _target(payload: Mapping[str, Any], delivery: Mapping[str, Any], rules: ImportRules, differences: list[str]) -> str:
    mode = _text(delivery, "mode") or ("none" if payload.get("deliver") is False else "")
    # Before there was `delivery`, its fields were the payload's.
    channel = (_text(delivery, "channel") or _text(payload, "channel") or _text(payload, "provider")).lower()
    to = _text(delivery, "to") or _text(payload, "to")
    if mode == "webhook":
        raise _JobRefused("posts to a web address, and jobs post to Mattermost here")
    if mode == "none":
        raise _JobRefused("posts nothing by itself, and jobs here post what comes of them: oc-trio cron add --to PLACE")
    prefix, _, rest = to.partition(":")
    if prefix.lower() == "mattermost" and rest.partition(":")[0].lower() in ("channel", "user", "group"):
        channel, to = "mattermost", rest
    if channel not in ("", "last", "mattermost"):
        raise _JobRefused(f"posts to {channel}, and oc-trio speaks to Mattermost only")
    if to and channel != "last":
        return to
    if not rules.target:
        raise _JobRefused("names no place: import it with --to PLACE")
    differences.append(f"posts to {rules.target}: it names no place itself")
    return rules.target


def _conversation(target: str, kind: str, id_: str, differences: list[str]) -> str:
    if target.startswith("session:") and target.removeprefix("session:").strip():
        return target.removeprefix("session:").strip()
    if target in ("main", "current") or kind == "systemEvent":
        differences.append("has a conversation of its own, that remembers: there is no main session here")
        return id_
    return ""


def _note_differences(
    raw: Mapping[str, Any], payload: Mapping[str, Any], delivery: Mapping[str, Any], kind: str, differences: list[str]
) -> None:
    if kind == "systemEvent":
        differences.append("asks the agent at once, and posts its answer")
    elif _text(raw, "wakeMode") == "next-heartbeat":
        differences.append("runs at its time, not with the next heartbeat")
    tools = payload.get("toolsAllow")
    if isinstance(tools, list) and tools != ["*"]:
        differences.append("has all tools of its agent: agents.entries.<id>.tools limits them")
    if payload.get("lightContext"):
        differences.append("has its agent's whole prompt")
    if payload.get("fallbacks") is not None:
        differences.append("falls back to the models of its agent")
    if _text(delivery, "threadId") or isinstance(delivery.get("threadId"), int):
        differences.append("posts in the channel, not in a thread")
    if raw.get("failureAlert") or delivery.get("failureDestination"):
        differences.append("alerts nobody: oc-trio cron runs and the log say what failed")


def _text(table: Mapping[str, Any], name: str) -> str:
    value = table.get(name)
    return value.strip() if isinstance(value, str) else ""


def _table(table: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = table.get(name)
    return value if isinstance(value, Mapping) else {}
