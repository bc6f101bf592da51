"""Whoever looks at the status sees whom the gateway is waiting for."""

from typing import Any

import trio

from oc_trio.cli.status import _lines
from oc_trio.sandbox.request import SandboxResponse
from tests.runtime.harness import URL, Town
from tests.runtime.model_stage import Answer
from tests.runtime.model_stage import start as start_model
from tests.runtime.turn.test_model_cases import ok, once


def pauses(town: Town) -> Any:
    assert town.gateway is not None
    return town.gateway.health.snapshot()["pauses"]


async def test_mattermost_asks_for_a_pause(town: Town) -> None:
    """As long as nothing goes there, and no longer."""
    gateway = await town.start()
    assert pauses(town) == []
    is_limited = True

    async def limit(request: Any) -> Any:
        nonlocal is_limited
        await trio.lowlevel.checkpoint()
        if is_limited and request.method == "POST" and request.path.endswith("/posts"):
            is_limited = False
            return SandboxResponse.text("limit exceeded\n", 429, (("retry-after", "40"),))
        return None

    town.weather.before_rules.append(limit)
    town.say("@helper hello")
    await town.until(lambda: not is_limited)
    await trio.sleep(10)
    (pause,) = pauses(town)
    assert pause["what"] == f"Mattermost at {URL}"
    assert 25 < pause["seconds"] <= 31
    shown = {**gateway.health.snapshot(), "version": "1", "pid": 1, "stuck": [], "journal": {}}
    assert f"  not asked for {pause['seconds']:g} s: Mattermost at {URL}" in _lines(shown)
    await town.settled()
    assert pauses(town) == []


async def test_a_model_asks_for_a_pause(town: Town) -> None:
    """The model is named as in the configuration."""
    busy = Answer("{}", 429, "application/json", headers=(("retry-after", "15"),))
    server = await start_model(town, once(busy, ok("done")), ok("well"))
    town.say("@helper hello")
    await town.until(lambda: bool(server.seen))
    await trio.sleep(5)
    (pause,) = pauses(town)
    assert pause["what"] == "model live/m"
    assert 8 < pause["seconds"] <= 11
    await town.settled()
    assert town.answers() == ["done"]
    assert pauses(town) == []
