"""A small OpenAI-compatible model server that streams numbered words at a steady rate, for benchmarks and tests.

`python -m oc_trio.sandbox.model_server --port 0 --tokens 50 --delay-ms 20` prints its base URL and serves until
SIGTERM. `GET /stats` returns the number of open requests, so that a test can see a cancelled one end.
"""

import json
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import click
import trio
from hypercorn.config import Config
from hypercorn.trio import serve

from oc_trio.classes import define

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


@define
class ModelServer:
    """An ASGI app. A response has `tokens` words, `delay` seconds apart.

    A request whose last user message contains `status:<code>` gets that HTTP status.
    """

    tokens: int = 50
    delay: float = 0.02
    key: str = ""
    served: int = 0
    open: int = 0
    aborted: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await acknowledge_lifespan(receive, send)
            return
        body = await read_body(receive)
        path = scope["path"].rstrip("/")
        headers = dict(scope["headers"])
        if path == "/stats":
            await _answer(send, 200, {"served": self.served, "open": self.open, "aborted": self.aborted})
        elif self.key and headers.get(b"authorization", b"").decode() != f"Bearer {self.key}":
            await _answer(send, 401, {"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}})
        elif path.endswith("/models"):
            await _answer(send, 200, {"object": "list", "data": [{"id": "words", "object": "model"}]})
        elif path.endswith("/chat/completions"):
            try:
                request = json.loads(body)
            except ValueError:
                await _answer(send, 400, {"error": {"message": "the body is no JSON"}})
                return
            await self._complete(request, send)
        else:
            await _answer(send, 404, {"error": {"message": f"no route {path}"}})

    async def _complete(self, request: dict[str, Any], send: Send) -> None:
        prompt = _last_user_text(request)
        if "status:" in prompt:
            code = prompt.split("status:", 1)[1][:3]
            status = int(code) if code.isdecimal() else 400
            await _answer(send, status, {"error": {"message": f"as asked: {status}"}})
            return
        self.open += 1
        try:
            await self._stream(request.get("model", "words"), send)
            self.served += 1
        except trio.Cancelled:
            # Hypercorn cancels the handler when the client goes away.
            self.aborted += 1
            raise
        finally:
            self.open -= 1

    async def _stream(self, model: str, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})

        async def chunk(delta: dict[str, str], finish: str | None = None, **more: object) -> None:
            choice = {"index": 0, "delta": delta, "finish_reason": finish}
            event = {"id": "words", "object": "chat.completion.chunk", "model": model, "choices": [choice], **more}
            await send({"type": "http.response.body", "body": sse(event), "more_body": True})

        await chunk({"role": "assistant", "content": ""})
        for number in range(1, self.tokens + 1):
            await trio.sleep(self.delay)
            await chunk({"content": f"{'' if number == 1 else ' '}word{number}"})
        usage = {"prompt_tokens": 1, "completion_tokens": self.tokens, "total_tokens": self.tokens + 1}
        await chunk({}, "stop", usage=usage)
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": False})


async def acknowledge_lifespan(receive: Receive, send: Send) -> None:
    """ASGI's start and end of an app that has nothing to do then."""
    for phase in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{phase}.complete"})


async def read_body(receive: Receive) -> bytes:
    """The whole body of an ASGI request."""
    body = bytearray()
    while True:
        part = await receive()
        body.extend(part.get("body", b""))
        if not part.get("more_body"):
            return bytes(body)


def sse(event: dict[str, object]) -> bytes:
    """A server-sent event with JSON as its data."""
    return b"data: " + json.dumps(event, separators=(",", ":")).encode() + b"\n\n"


def _last_user_text(request: dict[str, Any]) -> str:
    for message in reversed(request.get("messages", [])):
        if message.get("role") == "user":
            content = message.get("content")
            return content if isinstance(content, str) else json.dumps(content)
    return ""


async def _answer(send: Send, status: int, body: dict[str, object]) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})


async def serve_model(
    app: ModelServer, *, port: int = 0, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serves on loopback until SIGTERM or SIGINT; `started` gets the base URL, with `/v1`."""
    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.errorlog = None
    config.graceful_timeout = 0.2
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:

        async def stopped() -> None:
            await anext(aiter(signals))

        async with trio.open_nursery() as nursery:

            async def run(task_status: trio.TaskStatus[list[str]]) -> None:
                await serve(app, config, shutdown_trigger=stopped, task_status=task_status)  # type: ignore[arg-type]

            (url,) = await nursery.start(run)
            task_status.started(f"{url}/v1")


@click.command()
@click.option("--port", default=0)
@click.option("--tokens", default=50)
@click.option("--delay-ms", default=20.0)
@click.option("--key", default="", envvar="MODEL_SERVER_KEY")
def main(port: int, tokens: int, delay_ms: float, key: str) -> None:
    """Serve an OpenAI-compatible endpoint that says numbered words."""

    async def run() -> None:
        async with trio.open_nursery() as nursery:
            app = ModelServer(tokens=tokens, delay=delay_ms / 1000, key=key)
            click.echo(await nursery.start(lambda task_status: serve_model(app, port=port, task_status=task_status)))

    trio.run(run)


if __name__ == "__main__":
    main()
