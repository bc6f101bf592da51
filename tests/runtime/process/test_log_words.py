"""What people, models and callers write is in no line of the log, at no level and in no form, nor in the status."""

import io
import json
import logging
import sys
from collections.abc import Generator
from typing import Any

import httpx
import pytest
import structlog
import trio
from trio.testing import MockClock

from oc_trio.admin.app import build_admin_app
from oc_trio.agent.command import CommandAgent, CommandSettings
from oc_trio.agent.port import Message, Role, TurnRequest
from oc_trio.agent.scripted import Say
from oc_trio.errors import AgentFailed
from oc_trio.ids import AgentId, SessionKey
from oc_trio.runtime.process.gateway import Gateway
from oc_trio.sandbox.errors import ApiError
from oc_trio.sandbox.outgoing import IntegrationRequest, IntegrationResponse
from oc_trio.sandbox.request import SandboxResponse
from oc_trio.telemetry.log import configure
from tests.runtime.callback_harness import callback_harness
from tests.runtime.handlers.test_hooks import start
from tests.runtime.harness import Harness
from tests.runtime.model_harness import Answer as ModelAnswer
from tests.runtime.model_harness import start as start_model
from tests.runtime.turn.test_model_cases import END, data, ok
from tests.runtime.turn.test_model_cases import text as piece

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
    f'!tool message {{"action": "send", "media": "http://u:{WORD}@10.0.0.1/{WORD}?s={WORD}"}}',
    f"!fail {WORD}",
    f"!refuse {WORD}",
    f"!media /tmp/{WORD}.png",
    f"!media http://{WORD}.invalid/{WORD}.png",
    f'!tool message {{"action": "send", "target": "#{WORD}", "message": "{WORD}"}}',
    f'!tool message {{"action": "{WORD}"}}',
    f"!tool {WORD} {{}}",
]


@pytest.mark.slow
async def test_a_conversation(harness: Harness, log: io.StringIO) -> None:
    """Messages, edits, commands, failing models, tools and files."""
    gateway = await harness.start()
    for text in TEXTS:
        harness.say(f"@helper {text}", by=harness.alice)
        await harness.settled()
    post = harness.say(f"@helper !slow 5 {WORD}")
    await trio.sleep(1)
    harness.edit(post, f"@helper {WORD} again")
    await harness.settled()

    def broken(_: object) -> Any:
        yield Say("so far")
        raise KeyError(WORD)

    harness.script = broken
    harness.say(f"@helper {WORD}")
    await harness.settled()
    assert is_silent(log)
    assert WORD not in json.dumps(gateway.health.snapshot())


async def test_frames_and_answers_that_are_broken(harness: Harness, log: io.StringIO) -> None:
    """A frame, and an answer of the chat server, that can't be read hold words, too."""
    gateway = await harness.start()

    async def nonsense(request: Any) -> Any:
        await trio.lowlevel.checkpoint()
        if request.path.endswith("/posts") and request.method == "POST":
            harness.faults.before_rules.remove(nonsense)
            raise ValueError(WORD)
        return None

    harness.faults.before_rules.append(nonsense)
    harness.say(f"@helper {WORD}")
    await trio.sleep(30)
    assert is_silent(log)
    assert WORD not in await status(gateway)


async def status(gateway: Gateway) -> str:
    """What `/status.json` has, which the page shows to everybody on the machine."""
    app = build_admin_app(gateway.health, gateway.metrics, now_ms=lambda: 0)
    return json.dumps(await app.status(), ensure_ascii=False).lower()


def frame(body: bytes, kind: int = 1) -> bytes:
    """A websocket frame as servers write it."""
    assert len(body) < 126
    return bytes((0x80 | kind, len(body))) + body


FRAMES = [
    frame(f'{{"event": "posted", "data": {{"post": "{WORD}'.encode()),
    frame(f'{{"event": "{WORD}", "data": {{}}}}'.encode()),
    frame(f'{{"event": "Odd {WORD}", "seq": 1, "data": 5, "broadcast": "{WORD}"}}'.encode()),
    frame(f'{{"event": "posted", "seq": 1, "data": {{"post": "{{\\"message\\": \\"{WORD}"}}}}'.encode()),
    frame(f'{{"event": "posted", "seq": "{WORD}", "data": {{"post": "{WORD}"}}}}'.encode()),
    frame(f'{{"status": "{WORD}", "seq_reply": 1, "error": {{"message": "{WORD}", "id": 5}}}}'.encode()),
    frame(f'["{WORD}"]'.encode()),
    frame(WORD.encode()),
    frame(b"\xff" + WORD.encode()),
    frame(WORD.encode(), kind=2),
    frame(b"\x03\xe8\xff" + WORD.encode(), kind=8),
    WORD.encode(),
]


@pytest.mark.parametrize("sent", FRAMES, ids=lambda sent: repr(sent[:40]))
async def test_frames_that_can_not_be_read(sent: bytes, harness: Harness, log: io.StringIO) -> None:
    """Torn, of a wrong shape, not UTF-8, or no frames at all; at the moment they come and after."""
    gateway = await harness.start()
    await harness.streams[-1].send_all(sent)
    for seconds in (0.1, 5, 60):
        await trio.sleep(seconds)
        assert WORD not in await status(gateway)
    assert is_silent(log)


@pytest.mark.parametrize("code", [400, 403, 413, 429, 500, 502])
@pytest.mark.parametrize("body", [f"<html><p>{WORD}", f'{{"error": "{WORD}"}}', WORD], ids=["page", "JSON", "text"])
async def test_what_a_proxy_answers(code: int, body: str, harness: Harness, log: io.StringIO) -> None:
    """It may show the message that it did not pass on."""
    gateway = await harness.start()
    left = 3

    async def refuse(request: Any) -> Any:
        nonlocal left
        await trio.lowlevel.checkpoint()
        if left and "/posts" in request.path and request.method in ("POST", "PUT"):
            left -= 1
            return SandboxResponse.text(body, code)
        return None

    harness.faults.before_rules.append(refuse)
    harness.say(f"@helper {WORD}")
    for seconds in (1, 60):
        await trio.sleep(seconds)
        assert WORD not in await status(gateway)
    assert is_silent(log)


ANSWERS = [
    ModelAnswer(piece("so far") + f'data: {{"choices": [{{"delta": {{"content": "{WORD}\n\n'),
    ModelAnswer(f'data: {{"choices": [{{"delta": {{"content": "{WORD}\n\n'),
    ModelAnswer(f"data: {WORD}\n\n"),
    ModelAnswer(f'{{"choices": [{{"message": {{"content": "{WORD}', content_type="application/json"),
    ModelAnswer(f'{{"answer": "{WORD}"}}', content_type="application/json"),
    ModelAnswer(piece(WORD), error=httpx.RemoteProtocolError(f"illegal chunk header: bytearray(b'{WORD}')")),
    ModelAnswer(piece("so far") + data({"choices": WORD, "usage": WORD})),
    ModelAnswer(
        piece("so far") + data({"choices": [{"delta": {"tool_calls": [{"function": {"arguments": WORD}}]}}]}) + END
    ),
]


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: repr(answer.body[:40]))
async def test_pieces_of_answers_that_can_not_be_read(answer: ModelAnswer, harness: Harness, log: io.StringIO) -> None:
    """What a model had begun to say is nobody else's business than that of who asked."""
    await start_model(harness, lambda _body: answer, ok("well"))
    assert harness.gateway is not None
    harness.say(f"@helper {WORD}")
    await harness.settled()
    assert is_silent(log)
    assert WORD not in await status(harness.gateway)


ECHO = "import sys; sys.stderr.write(sys.stdin.readline()); sys.exit(3)"


@pytest.mark.parametrize("wanted", [False, True], ids=["by default", "logging.childStderr"])
async def test_a_program_repeats_the_question_on_stderr(wanted: bool, log: io.StringIO) -> None:
    """Only the key lets it into the log."""
    configure(level="debug", json=True, stream=log, child_stderr=wanted)
    agent = CommandAgent(CommandSettings((sys.executable, "-c", ECHO)))
    request = TurnRequest(AgentId("a"), SessionKey("s"), "", (Message(Role.USER, WORD),))
    with pytest.raises(AgentFailed, match="without an answer and with 1 line") as caught:
        await read_all(agent, request)
    assert WORD not in str(caught.value)
    assert (WORD in log.getvalue()) is wanted


async def read_all(agent: CommandAgent, request: TurnRequest) -> None:
    async with agent.run(request) as events:
        async for _ in events:
            pass


async def test_callbacks(autojump_clock: MockClock, log: io.StringIO) -> None:
    """Slash commands, clicks and hooks, with words where there should be names, and torn bodies."""
    async with callback_harness().running() as callbacks, trio.open_nursery() as nursery:
        await callbacks.registered()
        await callbacks.execute(f"/oc_model {WORD}")
        post = await callbacks.post_buttons(WORD, "No")
        await callbacks.press(post, WORD)

        async def torn(call: IntegrationRequest) -> IntegrationResponse:
            body = call.body[:-3] + WORD.encode()
            return await callbacks.post_out(IntegrationRequest(call.method, call.url, call.headers, body))

        callbacks.send = torn
        post = await callbacks.post_buttons(WORD, "No")
        with pytest.raises(ApiError):
            await callbacks.press(post, WORD)
        caller = await start(callbacks, nursery)
        for field in ("agentId", "model", "to", "channel", "name", "sessionKey", "thinking", WORD):
            await caller.post("agent", {"message": WORD, "to": f"channel:{callbacks.square.id}", field: WORD})
        await caller.post("wake", {"text": WORD, "mode": WORD})
        assert is_silent(log)
