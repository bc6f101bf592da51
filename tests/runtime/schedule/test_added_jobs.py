"""Jobs of the journal in a running gateway, under the mock clock: added, changed, removed, run by hand."""

from itertools import pairwise
from random import Random
from typing import Any

import pytest
import trio
from attrs import evolve

from oc_trio.agent.scripted import Say
from oc_trio.core.cron_jobs import Interval, Missed, Once, ScheduledJob
from oc_trio.core.cron_runs import STALE_MS, JobRun, RunState, run_by_hand
from oc_trio.runtime.schedule.schedule import MISSED, STALE, UNKNOWN
from oc_trio.sandbox.request import SandboxRequest, SandboxResponse
from tests.logbook import Logbook
from tests.runtime.harness import ACCOUNT, Harness, RecordingAgent

MINUTE = 60.0
TEA = ScheduledJob("tea", Interval(600_000, 0), "#square", text="tea")


async def add(harness: Harness, job: ScheduledJob = TEA, **changes: Any) -> ScheduledJob:
    """As `oc-trio cron add` does, with its word to the running gateway."""
    now, job = harness.now_ms(), evolve(job, **changes)
    if isinstance(job.timing, Interval):
        job = evolve(job, timing=evolve(job.timing, anchor=now))
    added = await harness.store.cron_jobs.add(job, now)
    tell(harness)
    return added


def tell(harness: Harness) -> None:
    if harness.gateway is not None:
        harness.gateway.jobs.changed()


async def once(harness: Harness, minutes: int, **changes: Any) -> ScheduledJob:
    timing = Once(harness.now_ms() + minutes * 60_000)
    return await add(harness, **{"timing": timing, "missed": Missed.ONCE, **changes})


async def runs(harness: Harness) -> list[JobRun]:
    """Oldest first."""
    return list(reversed(await harness.store.cron_runs.list(100)))


async def states(harness: Harness) -> list[str]:
    return [run.state.value for run in await runs(harness)]


async def test_a_job_is_added_changed_and_removed_meanwhile(harness: Harness) -> None:
    """The running gateway follows at once; a new interval counts from the change."""
    await harness.start()
    job = await add(harness)
    await trio.sleep(10 * MINUTE + 1)
    assert harness.answers() == ["tea"]
    later = Interval(120_000, harness.now_ms())
    await harness.store.cron_jobs.change(
        job.id, lambda before: evolve(before, timing=later, text="coffee"), harness.now_ms()
    )
    tell(harness)
    await trio.sleep(2 * MINUTE + 1)
    assert harness.answers() == ["tea", "coffee"]
    await harness.store.cron_jobs.change(job.id, lambda before: evolve(before, enabled=False), harness.now_ms())
    tell(harness)
    await trio.sleep(5 * MINUTE)
    assert harness.answers() == ["tea", "coffee"]
    await harness.store.cron_jobs.change(job.id, lambda before: evolve(before, enabled=True), harness.now_ms())
    tell(harness)
    await trio.sleep(20)
    assert harness.answers() == ["tea", "coffee"]
    await trio.sleep(2 * MINUTE - 20)
    assert harness.answers() == ["tea", "coffee", "coffee"]
    await harness.store.cron_jobs.remove(job.id)
    tell(harness)
    await trio.sleep(10 * MINUTE)
    assert len(harness.answers()) == 3
    assert await states(harness) == ["delivered"] * 3


async def test_without_a_word_the_change_is_seen_too(harness: Harness) -> None:
    """A command on another machine can't wake the gateway: it looks every half minute."""
    await harness.start()
    await harness.store.cron_jobs.add(evolve(TEA, timing=Interval(40_000, harness.now_ms())), harness.now_ms())
    await trio.sleep(41)
    assert harness.answers() == ["tea"]


async def test_the_history_says_what_was_posted_where(harness: Harness) -> None:
    """Also of a direct message, whose channel is opened for it."""
    await harness.start()
    await add(harness)
    await once(harness, 1, id="psst", target="@bob", text="psst")
    await trio.sleep(11 * MINUTE)
    psst, tea = await runs(harness)
    direct = harness.world.direct(harness.bob, harness.bot)
    assert (psst.job, psst.channel_id, psst.posts) == ("psst", direct.id, (harness.ours(direct)[0].id,))
    assert (tea.channel_id, tea.posts, tea.account) == (harness.square.id, (harness.ours()[0].id,), ACCOUNT)
    assert tea.due_at <= tea.ran_at <= tea.ended_at
    assert tea.id == f"cron.tea.{tea.due_at}"


async def test_a_job_that_runs_once_goes_when_it_is_delivered(harness: Harness) -> None:
    """Or stays, disabled, where that is wanted."""
    await harness.start()
    await once(harness, 2)
    await once(harness, 2, id="kept", text="kept", keep=True)
    await trio.sleep(3 * MINUTE)
    assert sorted(harness.answers()) == ["kept", "tea"]
    assert [(job.id, job.enabled) for job in await harness.store.cron_jobs.all()] == [("kept", False)]
    await harness.stop()
    await harness.start()
    await trio.sleep(3 * MINUTE)
    assert len(harness.answers()) == 2


async def test_a_job_that_fails_once_stays_disabled(harness: Harness, logbook: Logbook) -> None:
    """People can look at it, and give it another time."""
    await harness.start()
    await once(harness, 1, target="#nowhere")
    await trio.sleep(2 * MINUTE)
    assert [job.enabled for job in await harness.store.cron_jobs.all()] == [False]
    [run] = await runs(harness)
    assert (run.state, run.posts) == (RunState.FAILED, ())
    assert run.reason.startswith("There is no channel nowhere")
    assert logbook.find("a scheduled job failed")


async def test_a_prompt_once(harness: Harness) -> None:
    """The job goes when its turn is over, and the history has the answer's post."""
    harness.script = [Say("sunny", delay=90)]
    await harness.start()
    await once(harness, 1, text="", prompt="How is the weather?")
    await trio.sleep(MINUTE + 35)
    assert await states(harness) == ["asked"]
    assert len(await harness.store.cron_jobs.all()) == 1
    await trio.sleep(3 * MINUTE)
    [run] = await runs(harness)
    assert (run.state, run.posts) == (RunState.DELIVERED, (harness.ours()[0].id,))
    assert await harness.store.cron_jobs.all() == ()


async def test_each_run_begins_anew_or_remembers(harness: Harness) -> None:
    """As the job says; the thinking level is that of the job."""
    harness.script = [Say("ok")]
    await harness.start()
    await add(harness, id="anew", text="", prompt="one", thinking="low")
    await trio.sleep(25 * MINUTE)
    await harness.settled()
    first, second = harness.agent.requests
    assert (first.session, first.thinking) == ("agent:main:cron:anew", "low")
    assert len(second.messages) == len(first.messages) == 1
    await harness.store.cron_jobs.change(
        "anew", lambda before: evolve(before, conversation="diary", thinking=""), harness.now_ms()
    )
    await trio.sleep(25 * MINUTE)
    await harness.settled()
    third, fourth = harness.agent.requests[2:4]
    assert (third.session, third.thinking) == ("agent:main:cron:diary", "")
    assert len(fourth.messages) > len(third.messages)


async def test_the_model_of_a_job(harness: Harness) -> None:
    """It answers this job, and the agent's own the others."""
    harness.make_agent = lambda spec, _http: RecordingAgent(lambda _request: [Say(f"by {spec.model}")])
    await harness.start(models={"providers": {"double": {"models": ["script", "other"]}}})
    await once(harness, 1, text="", prompt="x", model="double/other", time_limit=60.0)
    await once(harness, 2, id="own", text="", prompt="x")
    await trio.sleep(3 * MINUTE)
    assert harness.answers() == ["by other", "by script"]


async def test_an_agent_and_a_model_that_are_gone(harness: Harness, logbook: Logbook) -> None:
    """The run fails in words: another model is not asked in silence."""
    await harness.start()
    await once(harness, 1, text="", prompt="x", model="double/gone")
    await once(harness, 1, id="other", text="", prompt="x", agent="gone")
    await trio.sleep(2 * MINUTE)
    reasons = sorted(run.reason for run in await runs(harness))
    assert reasons == ["there is no agent gone here any more", "there is no model double/gone here any more"]
    assert harness.agent.requests == []
    assert logbook.find("a scheduled job failed")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("missed", "texts", "state"), [(Missed.ONCE, ["tea"], "delivered"), (Missed.SKIP, [], "skipped")]
)
async def test_added_while_no_gateway_runs(harness: Harness, missed: Missed, texts: list[str], state: str) -> None:
    """It counts from when it was added: a later start makes up for what was missed, or says that it was."""
    await once(harness, 5, missed=missed)
    await trio.sleep(60 * MINUTE)
    await harness.start()
    await trio.sleep(2 * MINUTE)
    assert harness.answers() == texts
    [run] = await runs(harness)
    assert run.state.value == state
    assert run.reason == ("" if texts else MISSED)
    assert [job.enabled for job in await harness.store.cron_jobs.all()] == ([] if texts else [False])


@pytest.mark.parametrize(("when", "state"), [("before", "queued"), ("after", "delivered")])
async def test_a_crash_while_it_is_posted(harness: Harness, when: str, state: str) -> None:
    """The next start finishes the run; the history and the job are told by the outbox, as it is by the event."""

    async def hang(request: SandboxRequest) -> SandboxResponse | None:
        if request.method == "POST" and request.path.endswith("/posts"):
            await trio.sleep_forever()
        return None

    rules = harness.faults.before_rules if when == "before" else harness.faults.after_rules
    rules.append(hang)
    await harness.start()
    await once(harness, 1)
    await trio.sleep(2 * MINUTE)
    assert await states(harness) == [state]
    await harness.crash()
    rules.remove(hang)
    assert len(await harness.store.cron_jobs.all()) == (when == "before")
    await harness.start()
    await trio.sleep(2 * MINUTE)
    assert harness.answers() == ["tea"]
    [run] = await runs(harness)
    assert (run.state, run.posts) == (RunState.DELIVERED, (harness.ours()[0].id,))
    assert await harness.store.cron_jobs.all() == ()


@pytest.mark.slow
async def test_a_crash_before_the_outbox_runs_it_later(harness: Harness) -> None:
    """A run that has left no trace is made by the next start, under the same name."""

    async def hang(request: SandboxRequest) -> SandboxResponse | None:
        if "/channels/name/" in request.path:
            await trio.sleep_forever()
        return None

    harness.faults.before_rules.append(hang)
    await harness.start()
    job = await once(harness, 1)
    await trio.sleep(2 * MINUTE)
    await harness.crash()
    harness.faults.before_rules.clear()
    await harness.start()
    await trio.sleep(2 * MINUTE)
    assert harness.answers() == ["tea"]
    assert isinstance(job.timing, Once)
    assert [run.id for run in await runs(harness)] == [f"cron.tea.{job.timing.at}"]


@pytest.mark.slow
@pytest.mark.parametrize(("what", "answer"), [({"text": "tea"}, "tea"), ({"text": "", "prompt": "x"}, "hot")])
async def test_a_run_that_was_made_is_not_said_to_be_missed(
    harness: Harness, what: dict[str, Any], answer: str
) -> None:
    """The process ended after the outbox row, or the obligation, and before the history; it is back much later."""
    harness.script = [Say("hot")]
    await harness.start()
    job = await add(harness, timing=Interval(3_600_000, 0), **what)
    await trio.sleep(62 * MINUTE)
    await harness.stop()
    await harness.store.cron.record_run(job.id, job.created_at, "not run yet")
    await trio.sleep(20 * MINUTE)
    await harness.start()
    await trio.sleep(2 * MINUTE)
    [run] = await runs(harness)
    assert (run.state, run.posts) == (RunState.DELIVERED, (harness.ours()[0].id,))
    assert harness.answers() == [answer]


async def test_what_falls_due_while_the_job_runs_is_left_out(harness: Harness) -> None:
    """A slow server does not make a queue of the same job."""

    async def slow(request: SandboxRequest) -> SandboxResponse | None:
        if request.method == "POST" and request.path.endswith("/posts"):
            await trio.sleep(25)
        return None

    await harness.start()
    harness.faults.before_rules.append(slow)
    await add(harness, timing=Interval(10_000, 0))
    await trio.sleep(75)
    due = [run.due_at for run in await runs(harness)]
    assert [after - before for before, after in pairwise(due)] == [30_000] * (len(due) - 1)
    assert len(due) >= 2


async def test_by_hand(harness: Harness) -> None:
    """Also a disabled job; the schedule is not changed."""
    await harness.start()
    job = await add(harness, enabled=False)
    wanted = run_by_hand(job.id, ACCOUNT, harness.now_ms(), "abc")
    await harness.store.cron_runs.record(wanted)
    tell(harness)
    await trio.sleep(1)
    assert harness.answers() == ["tea"]
    [run] = await runs(harness)
    assert (run.id, run.by_hand, run.state) == ("cron.tea.hand-abc", True, RunState.DELIVERED)
    last = await harness.store.cron.last_run(job.id)
    assert last is not None
    assert last.result == "not run yet"


async def test_by_hand_what_can_not_be_run(harness: Harness) -> None:
    """A job that the gateway does not know, and a wish that is old."""
    job = await add(harness)
    old = run_by_hand(job.id, ACCOUNT, harness.now_ms() - STALE_MS - 1, "old")
    for wanted in (old, run_by_hand("nobody", ACCOUNT, harness.now_ms(), "x")):
        await harness.store.cron_runs.record(wanted)
    await harness.start()
    await trio.sleep(1)
    assert [(run.state, run.reason) for run in await runs(harness)] == [
        (RunState.SKIPPED, STALE),
        (RunState.FAILED, UNKNOWN),
    ]
    assert harness.answers() == []


async def test_by_hand_over_a_crash(harness: Harness) -> None:
    """A run by hand whose process ended before the history knew is not made again, nor said to be too old."""
    await harness.start()
    job = await add(harness, enabled=False)
    wanted = run_by_hand(job.id, ACCOUNT, harness.now_ms(), "x")
    for minutes in (1, 1, 30):
        await harness.store.cron_runs.record(wanted)
        tell(harness)
        await trio.sleep(1)
        await harness.stop()
        [run] = await runs(harness)
        assert (run.state, run.posts) == (RunState.DELIVERED, (harness.ours()[0].id,))
        await trio.sleep(minutes * MINUTE)
        await harness.start()
    assert harness.answers() == ["tea"]


async def test_no_job_runs_where_schedules_are_off(harness: Harness) -> None:
    """Those of the journal neither; one by hand does."""
    await harness.start(cron={"enabled": False})
    job = await add(harness)
    await trio.sleep(20 * MINUTE)
    assert harness.answers() == []
    await harness.store.cron_runs.record(run_by_hand(job.id, ACCOUNT, harness.now_ms(), "x"))
    tell(harness)
    await trio.sleep(1)
    assert harness.answers() == ["tea"]


async def test_a_job_of_the_file_hides_one_of_the_journal(harness: Harness) -> None:
    """Two jobs of one name would be one to the journal."""
    await add(harness)
    await harness.start(
        cron={"jobs": {"tea": {"expression": "*/5 * * * *", "target": "#square", "message": "from the file"}}}
    )
    await trio.sleep(11 * MINUTE)
    assert set(harness.answers()) == {"from the file"}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
async def test_no_run_is_posted_twice_whatever_interrupts_it(harness: Harness, seed: int) -> None:
    """Over crashes, stops, lost requests and lost answers each run has one post, and the history knows it."""
    random = Random(seed)

    async def trouble(request: SandboxRequest) -> SandboxResponse | None:
        if request.method == "POST" and request.path.endswith("/posts"):
            match random.choice(("fine", "away", "hang")):
                case "away":
                    return SandboxResponse(503, (), b"")
                case "hang":
                    await trio.sleep(random.uniform(1, 90))
        return None

    await add(harness, timing=Interval(60_000, 0), missed=Missed.ONCE)
    await once(harness, 5, id="psst", target="@bob", text="psst")
    for _ in range(6):
        rules = random.choice((harness.faults.before_rules, harness.faults.after_rules))
        rules.append(trouble)
        await harness.start()
        if random.random() < 0.5:
            await harness.store.cron_runs.record(
                run_by_hand("tea", ACCOUNT, harness.now_ms(), f"{random.random():.10f}"[2:])
            )
            tell(harness)
        await trio.sleep(random.uniform(1, 200))
        await (harness.crash() if random.random() < 0.7 else harness.stop())
        rules.remove(trouble)
        await trio.sleep(random.uniform(0, 120))
    await harness.start()
    await trio.sleep(10 * MINUTE)
    await harness.store.cron_jobs.remove("tea")
    tell(harness)
    await trio.sleep(5 * MINUTE)
    direct = harness.world.direct(harness.bob, harness.bot)
    ended = await runs(harness)
    assert {run.state for run in ended} == {RunState.DELIVERED}
    posts = [post.id for channel in (harness.square, direct) for post in harness.ours(channel)]
    assert sorted(posts) == sorted(post for run in ended for post in run.posts)
    assert harness.answers(direct) == ["psst"]
    assert len({run.due_at for run in ended if not run.by_hand and run.job == "tea"}) >= 10
    assert await harness.store.cron_jobs.all() == ()
