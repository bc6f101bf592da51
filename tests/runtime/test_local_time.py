"""Models are told the local time where the operator names a zone."""

from datetime import UTC, datetime
from typing import Any

import pytest

from oc_trio.agent.scripted import Say
from oc_trio.config.document import Document
from oc_trio.config.load import build
from oc_trio.errors import ConfigError
from oc_trio.runtime.local_time import time_line
from tests.runtime.harness import Harness

BASE = {"channels": {"mattermost": {"baseUrl": "https://chat.example.com", "botToken": "t"}}}


@pytest.mark.parametrize(
    ("at", "zone", "line"),
    [
        ("2026-01-30T13:05:00", "Europe/Berlin", "It is Friday, 2026-01-30, 14:05 in Europe/Berlin (UTC+01:00)."),
        ("2026-07-30T13:05:00", "Europe/Berlin", "It is Thursday, 2026-07-30, 15:05 in Europe/Berlin (UTC+02:00)."),
        (
            "2026-01-01T01:00:00",
            "America/St_Johns",
            "It is Wednesday, 2025-12-31, 21:30 in America/St_Johns (UTC-03:30).",
        ),
        ("2026-01-30T13:05:59", "UTC", "It is Friday, 2026-01-30, 13:05 in UTC (UTC+00:00)."),
        ("2026-01-30T13:05:00", "", ""),
    ],
)
def test_the_line(at: str, zone: str, line: str) -> None:
    """Day, date, time, zone and its offset at that time."""
    now_ms = int(datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp() * 1000)
    assert time_line(now_ms, zone) == line


async def test_it_ends_the_prompt_of_each_turn(harness: Harness) -> None:
    """What stands before it is the same in every turn, so that providers can cache it."""
    harness.script = [Say("done", delay=0)]
    await harness.start(agents={"defaults": {"systemPrompt": "Be brief.", "timezone": "Asia/Tokyo"}})
    expected = time_line(harness.now_ms(), "Asia/Tokyo")
    harness.say("@helper what time is it?")
    await harness.settled()
    (request,) = harness.agent.requests
    assert request.system_prompt.startswith("Be brief.")
    *_, last = request.system_prompt.split("\n\n")
    assert last[:26] == expected[:26]
    assert last.endswith("in Asia/Tokyo (UTC+09:00).")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"agents": {"defaults": {"timezone": "Europe/Berln"}}}, r'defaults\.timezone: .*did you mean "Europe/Berlin"'),
        ({"agents": {"defaults": {"timezone": "../etc/passwd"}}}, r"defaults\.timezone: is not a known time zone"),
        (
            {
                "cron": {
                    "jobs": {"j": {"expression": "@daily", "timezone": "Asia/Tokio", "target": "#a", "message": "m"}}
                }
            },
            r'jobs\.j\.timezone: .*did you mean "Asia/Tokyo"',
        ),
    ],
)
def test_an_unknown_zone(values: dict[str, Any], words: str) -> None:
    """The nearest one is named."""
    with pytest.raises(ConfigError, match=words):
        build(Document({**BASE, **values}), {})


def test_openclaws_name_of_the_key() -> None:
    """`userTimezone` in an openclaw.json."""
    values = {**BASE, "agents": {"defaults": {"userTimezone": "Asia/Tokyo"}}}
    assert build(Document(values, imported=True), {}).config.agents.defaults.timezone == "Asia/Tokyo"
