"""A model server whose first and last words say when they were sent: `first@<seconds>`, `end@<seconds>`.

The seconds are this machine's monotonic clock, which all processes of a benchmark share. Prints its base URL and serves
until SIGTERM.

    python scripts/bench/stamped_model.py [--tokens N] [--delay-ms MS]
"""

import sys
import time
from pathlib import Path

import click
import trio

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from oc_trio.sandbox.model_server import ModelServer, Send, serve_model


class StampedServer(ModelServer):
    """As its base, with the stamps in place of the first word and after the last one."""

    async def _stream(self, model: str, send: Send) -> None:
        async def stamped(event: dict[str, object]) -> None:
            body = event.get("body", b"")
            assert isinstance(body, bytes)
            if b'"content":"word1"' in body:
                stamp = f'"content":"first@{time.monotonic():.4f}"'
                event = {**event, "body": body.replace(b'"content":"word1"', stamp.encode())}
            if b'"finish_reason":"stop"' in body:
                word = f" end@{time.monotonic():.4f}"
                chunk = '{"choices":[{"index":0,"delta":{"content":"' + word + '"},"finish_reason":null}]}'
                await send({"type": "http.response.body", "body": f"data: {chunk}\n\n".encode(), "more_body": True})
            await send(event)

        await super()._stream(model, stamped)


@click.command()
@click.option("--tokens", default=50)
@click.option("--delay-ms", default=20.0)
def main(tokens: int, delay_ms: float) -> None:
    """Serve until SIGTERM; prints the base URL."""

    async def run() -> None:
        async with trio.open_nursery() as nursery:
            app = StampedServer(tokens=tokens, delay=delay_ms / 1000)
            click.echo(await nursery.start(lambda task_status: serve_model(app, task_status=task_status)))

    trio.run(run)


if __name__ == "__main__":
    main()
