"""Whoever looks at the status sees whom the gateway is waiting for."""

from typing import Any

import trio

from oc_trio.cli.status_lines import status_lines
from oc_trio.sandbox.request import SandboxResponse
from tests.runtime.harness import URL, Harness
from tests.runtime.model_harness import Answer
from tests.runtime.model_harness import start as start_model
from tests.runtime.turn.test_model_cases import ok, once


def pauses(harness: Harness) -> Any:
    assert harness.gateway is not None
    return harness.gateway.health.snapshot()["pauses"]


async def test_mattermost_asks_for_a_pause(harness: Harness) -> None:
    """The status shows the pause as long as no request is made, and no longer."""
    gateway = await harness.start()
    assert pauses(harness) == []
    is_limited = True

    async def limit(request: Any) -> Any:
        nonlocal is_limited
        await trio.lowlevel.checkpoint()
        if is_limited and request.method == "POST" and request.path.endswith("/posts"):
            is_limited = False
            return SandboxResponse.text("limit exceeded\n", 429, (("retry-after", "40"),))
        return None

    harness.faults.before_rules.append(limit)
    harness.say("@helper hello")
    await harness.until(lambda: not is_limited)
    await trio.sleep(10)
    (pause,) = pauses(harness)
    assert pause["what"] == f"Mattermost at {URL}"
    assert 25 < pause["seconds"] <= 31
    shown = {**gateway.health.snapshot(), "version": "1", "pid": 1, "stuck": [], "journal": {}}
    assert f"  not asked for {pause['seconds']:g} s: Mattermost at {URL}" in status_lines(shown)
    await harness.settled()
    assert pauses(harness) == []


async def test_a_model_asks_for_a_pause(harness: Harness) -> None:
    """The model is named as in the configuration."""
    busy = Answer("{}", 429, "application/json", headers=(("retry-after", "15"),))
    server = await start_model(harness, once(busy, ok("done")), ok("well"))
    harness.say("@helper hello")
    await harness.until(lambda: bool(server.requests))
    await trio.sleep(5)
    (pause,) = pauses(harness)
    assert pause["what"] == "model live/m"
    assert 8 < pause["seconds"] <= 11
    await harness.settled()
    assert harness.answers() == ["done"]
    assert pauses(harness) == []
