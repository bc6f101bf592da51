"""The model server: OpenAI's wire form, in the app's own ASGI calls."""

import json
from typing import Any

import pytest
import trio
import trio.testing

from oc_trio.sandbox.model_server import ModelServer

Clock = trio.testing.MockClock


class Exchange:
    """One request to an ASGI app, and everything that it sends."""

    def __init__(self, path: str, body: bytes = b"", *, key: str = "", parts: int = 1) -> None:
        self.scope: dict[str, Any] = {"type": "http", "path": path, "headers": []}
        if key:
            self.scope["headers"] = [(b"authorization", f"Bearer {key}".encode())]
        size = -(-len(body) // parts) or 1
        self.chunks = [body[at : at + size] for at in range(0, len(body), size)] or [b""]
        self.sent: list[dict[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        await trio.lowlevel.checkpoint()
        body = self.chunks.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(self.chunks)}

    async def send(self, message: dict[str, Any]) -> None:
        await trio.lowlevel.checkpoint()
        self.sent.append(message)

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def text(self) -> str:
        return b"".join(message.get("body", b"") for message in self.sent).decode()


async def ask(app: ModelServer, path: str, body: object = None, **more: Any) -> Exchange:
    exchange = Exchange(path, b"" if body is None else json.dumps(body).encode(), **more)
    await app(exchange.scope, exchange.receive, exchange.send)
    return exchange


def question(text: object) -> dict[str, Any]:
    return {"model": "words", "messages": [{"role": "system", "content": "x"}, {"role": "user", "content": text}]}


async def test_an_answer_is_streamed_word_by_word(autojump_clock: Clock) -> None:
    """Role, words at their pace, usage, end mark."""
    app = ModelServer(tokens=3, delay=0.5)
    answer = await ask(app, "/v1/chat/completions", question("hi"), parts=3)
    events = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
    assert events[-1] == "[DONE]"
    chunks = [json.loads(event) for event in events[:-1]]
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == "word1 word2 word3"
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["usage"]["completion_tokens"] == 3
    assert trio.current_time() == 1.5
    assert (app.served, app.open, app.aborted) == (1, 0, 0)


async def test_a_reader_that_goes_away_is_counted(nursery: trio.Nursery, autojump_clock: Clock) -> None:
    """A cancelled request closes, and `/stats` shows it."""
    app = ModelServer(tokens=1000, delay=1.0)
    with trio.move_on_after(5.5):
        await ask(app, "/v1/chat/completions", question("hi"))
    stats = await ask(app, "/stats")
    assert json.loads(stats.text) == {"served": 0, "open": 0, "aborted": 1}


CHAT = "/v1/chat/completions"
IN_PARTS = question([{"type": "text", "text": "status:503"}])


@pytest.mark.parametrize(
    ("path", "body", "key", "status"),
    [
        pytest.param("/v1/models", None, "right", 200, id="models"),
        pytest.param("/v1/models/", None, "right", 200, id="models with a slash"),
        pytest.param("/v1/models", None, "wrong", 401, id="wrong key"),
        pytest.param("/v1/models", None, "", 401, id="no key"),
        pytest.param("/nowhere", None, "right", 404, id="no route"),
        pytest.param("/stats", None, "", 200, id="stats need no key"),
        pytest.param("/v1/chat/completions", question("status:429 please"), "right", 429, id="a status as asked"),
        pytest.param(CHAT, IN_PARTS, "right", 503, id="in parts"),
        pytest.param("/v1/chat/completions", question("status:soon"), "right", 400, id="no status"),
        pytest.param("/v1/chat/completions", {"messages": []}, "right", 200, id="no user message"),
    ],
)
async def test_how_requests_are_answered(autojump_clock: Clock, path: str, body: object, key: str, status: int) -> None:
    """Like an OpenAI-compatible server would."""
    app = ModelServer(tokens=1, key="right")
    assert (await ask(app, path, body, key=key)).status == status


async def test_a_body_that_is_no_json_is_refused() -> None:
    """With a 400 rather than a crash."""
    exchange = Exchange("/v1/chat/completions", b"{not json")
    await ModelServer()(exchange.scope, exchange.receive, exchange.send)
    assert exchange.status == 400


async def test_the_lifespan_is_acknowledged() -> None:
    """Hypercorn waits for it."""
    exchange = Exchange("")
    exchange.scope, exchange.chunks = {"type": "lifespan"}, [b"", b""]
    await ModelServer()(exchange.scope, exchange.receive, exchange.send)
    assert [message["type"] for message in exchange.sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
