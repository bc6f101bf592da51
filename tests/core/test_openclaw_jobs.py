"""OpenClaw's jobs as ours, with what differs, and what is refused."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.core.cron_jobs import Expression, Interval, Missed, Once, ScheduledJob
from oc_trio.core.openclaw_jobs import ImportRules, carry_over

NOW = 1_796_000_000_000
RULES = ImportRules(NOW)


def raw(**changes: Any) -> dict[str, Any]:
    """A job as `openclaw cron add` makes it."""
    return {
        "id": "90fc65cb",
        "agentId": "main",
        "name": "Morning brief",
        "enabled": True,
        "createdAtMs": 1,
        "schedule": {"kind": "cron", "expr": "0 9 * * 1-5", "tz": "Europe/Berlin"},
        "sessionTarget": "isolated",
        "wakeMode": "now",
        "payload": {"kind": "agentTurn", "message": "The news", "model": "a/b", "thinking": "low", "toolsAllow": ["*"]},
        "delivery": {"mode": "announce", "channel": "mattermost", "to": "channel:abc", "accountId": "ops"},
        "state": {},
        **changes,
    }


def payload(**fields: Any) -> dict[str, Any]:
    return raw(payload={"kind": "agentTurn", "message": "x", **fields})


def test_an_agent_turn_comes_over_whole() -> None:
    """A job with an agent turn is carried over without a difference."""
    carried = carry_over(raw(), RULES)
    assert carried.differences == ()
    assert carried.job == ScheduledJob(
        id="Morning brief",
        timing=Expression("0 9 * * 1-5", "Europe/Berlin"),
        target="channel:abc",
        prompt="The news",
        name="Morning brief",
        agent="main",
        account="ops",
        model="a/b",
        thinking="low",
        missed=Missed.ONCE,
        origin="openclaw:90fc65cb",
    )


@pytest.mark.parametrize(
    ("schedule", "timing"),
    [
        ({"kind": "every", "everyMs": 600_000, "anchorMs": 5}, Interval(600_000, 5)),
        ({"kind": "every", "everyMs": 600_000}, Interval(600_000, NOW)),
        ({"kind": "at", "at": "2027-02-01T16:00:00.000Z"}, Once(1_801_497_600_000)),
        ({"kind": "at", "atMs": 1_801_497_600_000}, Once(1_801_497_600_000)),
        ({"kind": "cron", "expr": "0 0 9 * * *", "tz": "UTC"}, Expression("0 9 * * *", "UTC")),
        ({"cron": "0 9 * * *", "tz": "UTC"}, Expression("0 9 * * *", "UTC")),
        ("0 8 * * *", Expression("0 8 * * *", "UTC")),
        ({"everyMs": 600_000}, Interval(600_000, NOW)),
        ({"atMs": 1_801_497_600_000}, Once(1_801_497_600_000)),
        ({"kind": "at", "at": "1801497600000"}, Once(1_801_497_600_000)),
    ],
)
def test_schedules(schedule: object, timing: object) -> None:
    """Schedules of current and of older releases are carried over."""
    carried = carry_over(raw(schedule=schedule), RULES)
    assert carried.job is not None, carried.refusal
    assert carried.job.timing == timing


@pytest.mark.parametrize(
    ("job", "words"),
    [
        pytest.param(raw(schedule={"kind": "cron", "expr": "0 9 * * *"}), "by the clock of UTC", id="no zone"),
        pytest.param(raw(sessionTarget="main"), "no main session", id="main"),
        pytest.param(raw(sessionTarget="current"), "no main session", id="current"),
        pytest.param(raw(wakeMode="next-heartbeat"), "not with the next heartbeat", id="wake"),
        pytest.param(payload(toolsAllow=["read"]), "all tools of its agent", id="tools"),
        pytest.param(payload(lightContext=True), "whole prompt", id="light"),
        pytest.param(payload(fallbacks=[]), "models of its agent", id="fallbacks"),
        pytest.param(payload(thinking="xhigh"), "at the level high", id="thinking"),
        pytest.param(payload(thinking="adaptive"), "level of its agent", id="adaptive"),
        pytest.param(raw(failureAlert={"after": 2}), "alerts nobody", id="alert"),
        pytest.param(
            raw(delivery={"channel": "mattermost", "to": "@a", "threadId": "t"}), "not in a thread", id="thread"
        ),
    ],
)
def test_differences_are_said(job: Mapping[str, Any], words: str) -> None:
    """The job comes over all the same."""
    carried = carry_over(job, RULES)
    assert carried.job is not None
    assert any(words in each for each in carried.differences), carried.differences


@pytest.mark.parametrize(
    ("job", "words"),
    [
        pytest.param(raw(payload={"kind": "command", "argv": ["sh"]}), "runs a command", id="command"),
        pytest.param(raw(payload={"kind": "script"}), "runs a script", id="script"),
        pytest.param(raw(payload={"kind": "agentTurn"}), "says nothing", id="no words"),
        pytest.param(raw(payload={"kind": "dance", "message": "x"}), "payload that is not known", id="odd payload"),
        pytest.param(raw(payload="x"), "payload that is not known", id="no payload"),
        pytest.param(raw(trigger={"script": "1"}), "script as a condition", id="trigger"),
        pytest.param(raw(schedule={"kind": "on-exit", "command": "x"}), "waits for a command's end", id="on exit"),
        pytest.param(raw(schedule={"kind": "stream"}), "waits for a command's lines", id="stream"),
        pytest.param(raw(schedule={}), "schedule that is not known", id="no schedule"),
        pytest.param(raw(schedule={"kind": "every", "everyMs": 5}), "from 10 s to ten years", id="flood"),
        pytest.param(raw(schedule={"kind": "every", "everyMs": True}), "can't be kept", id="odd interval"),
        pytest.param(raw(schedule={"kind": "at", "at": "soon"}), "can't be read", id="odd time"),
        pytest.param(raw(schedule={"kind": "at", "atMs": 1_700_000_000_000}), "its time is past", id="past"),
        pytest.param(raw(schedule={"kind": "cron", "expr": "30 0 9 * * *"}), "names seconds", id="seconds"),
        pytest.param(raw(delivery={"mode": "webhook", "to": "https://x"}), "posts to a web address", id="webhook"),
        pytest.param(raw(delivery={"mode": "none"}), "posts nothing by itself", id="none"),
        pytest.param(raw(delivery={"channel": "telegram", "to": "1"}), "posts to telegram", id="telegram"),
        pytest.param(raw(delivery={"channel": "last"}), "import it with --to", id="last"),
        pytest.param(raw(delivery=None), "import it with --to", id="nowhere"),
        pytest.param({}, "has no id", id="nothing"),
    ],
)
def test_what_can_not_come_over(job: Mapping[str, Any], words: str) -> None:
    """It is refused in words, and nothing else of it is looked at."""
    carried = carry_over(job, RULES)
    assert carried.job is None
    assert words in carried.refusal
    assert not carried.is_internal


@pytest.mark.parametrize(
    "job",
    [raw(declarationKey="memory-core:x"), raw(payload={"kind": "heartbeat"}), raw(declarationKey="heartbeat:main")],
)
def test_what_it_made_for_itself(job: Mapping[str, Any]) -> None:
    """Is left out, and is no failure."""
    carried = carry_over(job, RULES)
    assert (carried.job, carried.is_internal) == (None, True)


def test_a_system_event_becomes_a_prompt() -> None:
    """It names no place, so one has to be given."""
    reminder = raw(
        schedule={"kind": "at", "at": "2027-02-01T16:00:00Z"},
        payload={"kind": "systemEvent", "text": "Reminder: the draft"},
        sessionTarget="main",
        delivery=None,
        deleteAfterRun=True,
    )
    carried = carry_over(reminder, ImportRules(NOW, "#town"))
    assert carried.job is not None
    assert (carried.job.prompt, carried.job.target, carried.job.keep) == ("Reminder: the draft", "#town", False)
    assert carried.job.conversation == "90fc65cb"
    assert len(carried.differences) == 3


@pytest.mark.parametrize(
    "job",
    [
        {"payload": {"kind": "agentturn", "message": "x"}},
        {"payload": {"message": "x"}},
        {"payload": {"text": "x"}},
        {"payload": None, "message": "x"},
    ],
)
def test_payloads_of_older_releases(job: Mapping[str, Any]) -> None:
    """Older payloads are read as OpenClaw's own repair reads them."""
    carried = carry_over({**raw(), **job}, RULES)
    assert carried.job is not None, carried.refusal
    assert carried.job.prompt == "x"


def test_the_place_in_older_releases() -> None:
    """Before there was `delivery`, its fields were the payload's; a prefix may name the platform."""
    carried = carry_over(
        raw(payload={"kind": "agentTurn", "message": "x", "deliver": True, "channel": "mattermost", "to": "@alice"})
        | {"delivery": None},
        RULES,
    )
    assert carried.job is not None
    assert carried.job.target == "@alice"
    carried = carry_over(raw(delivery={"mode": "announce", "to": "mattermost:channel:abc"}), RULES)
    assert carried.job is not None
    assert carried.job.target == "channel:abc"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(sorted(raw())), inner, max_size=4),
    max_leaves=8,
)


@pytest.mark.slow
@given(st.dictionaries(st.sampled_from(sorted(raw())), JSON), st.dictionaries(st.text(max_size=8), JSON, max_size=3))
def test_garbage_is_refused_in_words(changes: Mapping[str, Any], inner: Mapping[str, Any]) -> None:
    """Whatever stands in a row, it is a job or a reason."""
    for job in (changes, {**raw(), **changes}, {**raw(), "schedule": inner}, {**raw(), "delivery": inner}):
        carried = carry_over(job, RULES)
        assert (carried.job is None) == bool(carried.refusal)
