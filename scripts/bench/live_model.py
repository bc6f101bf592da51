"""The model server of `turns.py --live`: long, slow answers whose last word says when the model ended.

`end@<seconds>` is this machine's monotonic clock, which all processes of the benchmark share.
"""

import time
from typing import Any

import click
import trio

from oc_trio.sandbox.model_server import ModelServer, Send, serve_model


class StampingServer(ModelServer):
    """As its base, with the stamp as the last word."""

    async def _stream(self, model: str, send: Send) -> None:
        async def stamped(event: dict[str, Any]) -> None:
            body = event.get("body", b"")
            if b'"finish_reason":"stop"' in body:
                word = f" end@{time.monotonic():.3f}".encode()
                chunk = b'data: {"choices":[{"index":0,"delta":{"content":"' + word + b'"},"finish_reason":null}]}\n\n'
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send(event)

        await super()._stream(model, stamped)


@click.command()
@click.option("--tokens", default=80)
@click.option("--delay-ms", default=500.0)
def main(tokens: int, delay_ms: float) -> None:
    """Serve until SIGTERM; prints the base URL."""

    async def run() -> None:
        async with trio.open_nursery() as nursery:
            app = StampingServer(tokens=tokens, delay=delay_ms / 1000)
            click.echo(await nursery.start(lambda task_status: serve_model(app, task_status=task_status)))

    trio.run(run)


if __name__ == "__main__":
    main()
