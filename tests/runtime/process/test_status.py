"""What the status says of a running gateway: as JSON, and as lines for people."""

from typing import Any

import trio

from oc_trio.admin.app import build_admin_app
from oc_trio.cli.status_lines import status_lines
from oc_trio.runtime.process.gateway import Gateway
from tests.logbook import Logbook
from tests.runtime.handlers.test_public_port import button, execute, open_for_business
from tests.runtime.harness import EPOCH, Harness


async def status_of(harness: Harness) -> dict[str, Any]:
    gateway = harness.gateway
    assert isinstance(gateway, Gateway)
    return await build_admin_app(gateway.health, gateway.metrics, now_ms=harness.now_ms).status()


async def test_a_gateway_that_only_chats(harness: Harness) -> None:
    """Link and catch-up are there, and that no port is open, since nothing is called back."""
    harness.say("@helper while you were away")
    await harness.start()
    await harness.settled()
    await trio.sleep(5)
    status = await status_of(harness)
    (account,) = status["accounts"]
    assert account["catch_up"]["at"] >= EPOCH
    assert account["commands"]["native"] is False
    lines = status_lines(status)
    assert lines[0].startswith("oc_trio ")
    assert "  public port: not open: nothing in the configuration is called back" in lines
    assert "  default: live as @helper" in lines
    assert any(line.startswith("    live since 2023-11-14 22:13:20, last event 2023-11-14") for line in lines)
    assert any(line.startswith("    caught up at 2023-11-14 22:13:2") for line in lines)
    assert not any("slash commands" in line or "clicks" in line for line in lines)


async def test_callbacks_that_came(harness: Harness) -> None:
    """Commands registered, when one was called last, where clicks go and when one came."""
    await open_for_business(harness)
    lines = status_lines(await status_of(harness))
    assert any("slash commands: 10 of 10 registered, not called yet" in line for line in lines)
    assert "    clicks: http://gw.test/mattermost/interactions/default, no click yet" in lines
    await execute(harness, "/oc_models")
    await harness.settled()
    (picker,) = harness.ours()
    await harness.world.interactions.press(harness.alice, picker.id, button(picker, "double (1)"), "", "")
    lines = status_lines(await status_of(harness))
    assert any("registered, last called 2023-11-" in line for line in lines)
    assert any("interactions/default, last click 2023-11-" in line for line in lines)


async def test_commands_that_are_missing(harness: Harness, logbook: Logbook) -> None:
    """The team and why, with what to grant."""
    await harness.start({"commands": {"native": True}}, gateway={"port": 0})
    await trio.sleep(5)
    logbook.find("slash commands")
    logbook.find("no commands could be registered")
    (account,) = (await status_of(harness))["accounts"]
    (why,) = account["commands"]["missing"]
    assert why.startswith("team town: 10 failed, first oc_")
    assert "Manage Slash Commands" in why
    assert any(why in line for line in status_lines(await status_of(harness)))


async def test_a_second_gateway_stands_in_the_status(harness: Harness) -> None:
    """What was seen, how often, and the newest post."""
    await harness.start()
    harness.world.post_as(harness.bot, harness.square, "not ours")
    post = harness.world.post_as(harness.bot, harness.square, "nor this one")
    await trio.sleep(1)
    (line,) = [line for line in status_lines(await status_of(harness)) if "second gateway" in line]
    assert "something else posts as @helper" in line
    assert "seen 2 times" in line
    assert post.id in line


def test_lines_of_models() -> None:
    """One that fails says with what, and when it answered last."""
    model = {"answered_at": EPOCH, "error_at": EPOCH + 60_000, "error": "HTTP 401", "is_well": False, "model": "a/b"}
    base = {"version": "1", "pid": 1, "phase": "serving", "startedAt": EPOCH, "accounts": [], "stuck": []}
    status = {**base, "journal": {}, "listener": {"url": "", "error": "taken"}, "models": [model]}
    assert status_lines(status)[1:] == [
        "  public port: not open: taken",
        "  model a/b: failed 2023-11-14 22:14:20: HTTP 401 (last answered 2023-11-14 22:13:20)",
    ]
    well = {**model, "is_well": True, "error": ""}
    assert status_lines({**status, "models": [well]})[-1] == "  model a/b: last answered 2023-11-14 22:13:20"


def test_the_status_of_an_older_gateway() -> None:
    """A command of this release asks a gateway of the one before, which was not restarted yet."""
    old = {"account": "default", "state": "live", "bot": "helper", "detail": "", "notes": ["a note"]}
    status = {"version": "1", "pid": 1, "phase": "serving", "startedAt": EPOCH, "stuck": [], "journal": {}}
    assert status_lines({**status, "accounts": [old]})[1:] == ["  default: live as @helper", "    a note"]
