"""The jobs of the file in a running gateway, under the mock clock: due, missed, interrupted, refused.

Those of the journal are in `test_added_jobs`.
"""

from typing import Any

import pytest
import trio

from oc_trio.agent.scripted import Say
from oc_trio.runtime.schedule.schedule import MISSED
from oc_trio.sandbox.request import SandboxRequest, SandboxResponse
from oc_trio.store.cron_jobs import NOT_YET
from tests.logbook import Logbook
from tests.runtime.harness import Harness

HOUR = 3600.0


def hourly(**job: Any) -> dict[str, Any]:
    """One job, `news`, at every full hour."""
    return {"jobs": {"news": {"expression": "@hourly", "target": "#square", **job}}}


@pytest.mark.slow
async def test_a_text_is_posted_when_it_is_due(harness: Harness) -> None:
    """Once an hour, through the outbox; the journal knows the last run."""
    await harness.start(cron=hourly(message="the hour"))
    assert (await harness.store.cron.all())[0].result == NOT_YET
    await trio.sleep(2 * HOUR)
    assert harness.answers() == ["the hour"] * 2
    [last] = await harness.store.cron.all()
    assert last.at % 3_600_000 == 0
    assert last.result == f"posted {harness.ours()[-1].id}"


@pytest.mark.slow
async def test_a_direct_message(harness: Harness) -> None:
    """The target may be a person."""
    await harness.start(cron=hourly(message="psst", target="@bob"))
    await trio.sleep(HOUR)
    assert harness.answers(harness.world.direct(harness.bob, harness.bot)) == ["psst"]


@pytest.mark.slow
async def test_a_prompt_is_answered_by_the_agent(harness: Harness) -> None:
    """The answer is posted in the target, in a conversation of the job's own."""
    harness.script = [Say("sunny")]
    await harness.start(cron=hourly(prompt="How is the weather?"))
    await trio.sleep(HOUR)
    await harness.settled()
    assert harness.answers() == ["sunny"]
    [request] = harness.agent.requests
    assert request.session == "agent:main:cron:news"
    assert "How is the weather?" in request.messages[-1].text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("missed", "texts", "result"),
    [("skip", [], f"skipped: {MISSED}"), ("once", ["the hour"], "posted")],
)
async def test_runs_that_fell_into_downtime(harness: Harness, missed: str, texts: list[str], result: str) -> None:
    """None, or one for all of them; then the schedule goes on."""
    cron = hourly(message="the hour", missed=missed)
    await harness.start(cron=cron)
    await harness.stop()
    await trio.sleep(5 * HOUR)
    await harness.start(cron=cron)
    await trio.sleep(60)
    assert harness.answers() == texts
    assert (await harness.store.cron.all())[0].result.startswith(result)
    await trio.sleep(HOUR)
    assert harness.answers() == [*texts, "the hour"]


@pytest.mark.slow
async def test_a_crash_between_outbox_and_answer_posts_once(harness: Harness) -> None:
    """The run has a name: the next start finishes it instead of repeating it."""
    lost = 0

    async def lose_the_answer(request: SandboxRequest) -> SandboxResponse | None:
        nonlocal lost
        if request.method == "POST" and request.path.endswith("/posts"):
            lost += 1
            await trio.sleep_forever()
        return None

    cron = hourly(message="the hour", missed="once")
    harness.faults.after_rules.append(lose_the_answer)
    await harness.start(cron=cron)
    await trio.sleep(HOUR)
    assert lost
    await harness.crash()
    harness.faults.after_rules.clear()
    await harness.start(cron=cron)
    await trio.sleep(60)
    assert harness.answers() == ["the hour"]


@pytest.mark.slow
async def test_the_parts_of_a_long_text_keep_their_order_over_a_crash(harness: Harness) -> None:
    """All parts are durable before the first goes out; the next start sends the rest, in order."""
    sent = 0

    async def stop_after_one(request: SandboxRequest) -> SandboxResponse | None:
        nonlocal sent
        if request.method == "POST" and request.path.endswith("/posts"):
            sent += 1
            if sent > 1:
                await trio.sleep_forever()
        return None

    cron, settings = hourly(message="one two three four five six"), {"textChunkLimit": 6}
    harness.faults.before_rules.append(stop_after_one)
    await harness.start(settings, cron=cron)
    await trio.sleep(HOUR)
    assert harness.answers() == ["one"]
    harness.faults.before_rules.remove(stop_after_one)
    await harness.crash()
    await harness.start(settings, cron=cron)
    await trio.sleep(60)
    assert harness.answers() == ["one", "two", "three", "four", "five", "six"]


@pytest.mark.slow
async def test_a_server_that_is_away_for_a_while(harness: Harness) -> None:
    """The message goes out when it is back."""

    async def down(request: SandboxRequest) -> SandboxResponse | None:
        return SandboxResponse(503, (), b"") if "/channels/name/" in request.path else None

    await harness.start(cron=hourly(message="the hour"))
    harness.faults.before_rules.append(down)
    due = 3_600_000 - harness.now_ms() % 3_600_000
    await trio.sleep(due / 1000 + 60)
    assert harness.answers() == []
    harness.faults.before_rules.remove(down)
    await trio.sleep(120)
    assert harness.answers() == ["the hour"]


@pytest.mark.slow
async def test_a_target_that_is_not_there_is_told(harness: Harness, logbook: Logbook) -> None:
    """The failure is the job's result, and the next run is tried all the same."""
    await harness.start(cron=hourly(message="x", target="#nowhere"))
    await trio.sleep(HOUR)
    [last] = await harness.store.cron.all()
    assert last.result.startswith("failed: There is no channel nowhere")
    assert logbook.find("a scheduled job failed")
    harness.world.create_channel(harness.world.teams.get(harness.square.team_id), "nowhere", harness.alice, harness.bot)
    await trio.sleep(HOUR)
    assert (await harness.store.cron.all())[0].result.startswith("posted")


@pytest.mark.slow
async def test_disabled_jobs_do_not_run(harness: Harness) -> None:
    """Neither one that is off nor any while all are off."""
    await harness.start(cron=hourly(message="x", enabled=False))
    await trio.sleep(HOUR)
    await harness.stop()
    await harness.start(cron={**hourly(message="x"), "enabled": False})
    await trio.sleep(HOUR)
    assert harness.answers() == []
    assert await harness.store.cron.all() == ()
