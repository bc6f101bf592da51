"""What people, models and callers write is in no line of the log, at no level and in no form, nor in the status."""

import io
import json
import logging
from collections.abc import Generator
from typing import Any

import pytest
import structlog
import trio
from trio.testing import MockClock

from oc_trio.agent.scripted import Say
from oc_trio.sandbox.outgoing import Answer, Outgoing
from oc_trio.sandbox.refusal import Refused
from oc_trio.telemetry.log import configure
from tests.runtime.house import a_house
from tests.runtime.test_hooks import start
from tests.runtime.town import Town

WORD = "quittenmus"


@pytest.fixture(params=[True, False], ids=["json", "text"])
def log(request: pytest.FixtureRequest) -> Generator[io.StringIO, None, None]:
    """The log as `oc-trio run` writes it, everything included."""
    root = logging.getLogger()
    handlers, level, out = list(root.handlers), root.level, io.StringIO()
    configure(level="debug", json=request.param, stream=out)
    yield out
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def is_silent(log: io.StringIO) -> bool:
    """Whether something was logged, and nothing of the word."""
    text = log.getvalue()
    lines = [line for line in text.splitlines() if WORD in line.lower()]
    assert lines == []
    return bool(text)


TEXTS = [
    f"{WORD}",
    f"/model {WORD}",
    f"/queue {WORD} debounce:{WORD}",
    f"/think {WORD}",
    f"!fail {WORD}",
    f"!refuse {WORD}",
    f"!media /tmp/{WORD}.png",
    f"!media http://{WORD}.invalid/{WORD}.png",
    f'!tool message {{"action": "send", "target": "#{WORD}", "message": "{WORD}"}}',
    f'!tool message {{"action": "{WORD}"}}',
    f"!tool {WORD} {{}}",
]


async def test_a_conversation(town: Town, log: io.StringIO) -> None:
    """Messages, edits, commands, failing models, tools and files."""
    gateway = await town.start()
    for text in TEXTS:
        town.say(f"@helper {text}", by=town.alice)
        await town.settled()
    post = town.say(f"@helper !slow 5 {WORD}")
    await trio.sleep(1)
    town.edit(post, f"@helper {WORD} again")
    await town.settled()

    def broken(_: object) -> Any:
        yield Say("so far")
        raise KeyError(WORD)

    town.script = broken
    town.say(f"@helper {WORD}")
    await town.settled()
    assert is_silent(log)
    assert WORD not in json.dumps(gateway.health.snapshot())


async def test_frames_and_answers_that_are_broken(town: Town, log: io.StringIO) -> None:
    """A frame, and an answer of the chat server, that can't be read hold words, too."""
    gateway = await town.start()

    async def nonsense(request: Any) -> Any:
        await trio.lowlevel.checkpoint()
        if request.path.endswith("/posts") and request.method == "POST":
            town.weather.before_rules.remove(nonsense)
            raise ValueError(WORD)
        return None

    town.weather.before_rules.append(nonsense)
    town.say(f"@helper {WORD}")
    await trio.sleep(30)
    assert is_silent(log)
    assert WORD not in json.dumps(gateway.health.snapshot())


async def test_callbacks(autojump_clock: MockClock, log: io.StringIO) -> None:
    """Slash commands, clicks and hooks, with words where there should be names, and torn bodies."""
    async with a_house().lived_in() as house, trio.open_nursery() as nursery:
        await house.registered()
        await house.execute(f"/oc_model {WORD}")
        post = await house.post_buttons(WORD, "No")
        await house.press(post, WORD)

        async def torn(call: Outgoing) -> Answer:
            body = call.body[:-3] + WORD.encode()
            return await house.post_out(Outgoing(call.method, call.url, call.headers, body))

        house.send = torn
        post = await house.post_buttons(WORD, "No")
        with pytest.raises(Refused):
            await house.press(post, WORD)
        caller = await start(house, nursery)
        for field in ("agentId", "model", "to", "channel", "name", "sessionKey", "thinking", WORD):
            await caller.post("agent", {"message": WORD, "to": f"channel:{house.square.id}", field: WORD})
        await caller.post("wake", {"text": WORD, "mode": WORD})
        assert is_silent(log)
