"""The model server of `turns.py --live`: a thousand answers at 30 tokens a second each, which needs ready bytes.

The first and the last word say when they were sent: `first@<seconds>`, `end@<seconds>` of this machine's monotonic
clock, which all processes of a benchmark share. Prints its base URL and serves until SIGTERM.

    python scripts/bench/live_model.py [--tokens N] [--rate TOKENS_PER_SECOND]
"""

import argparse
import selectors
import socket
import time
from contextlib import suppress

from attrs import define, field

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_TICK = 1 / 60


def _chunk(data: str) -> bytes:
    body = f"data: {data}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(body), body)


def _delta(text: str) -> bytes:
    return _chunk('{"choices":[{"index":0,"delta":{"content":"' + text + '"},"finish_reason":null}]}')


_LAST = _chunk('{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}') + _chunk("[DONE]") + b"0\r\n\r\n"


@define(eq=False)
class Connection:
    """One client; `began` is when its answer began, 0 while none is under way."""

    socket: socket.socket
    received: bytes = b""
    pending: bytearray = field(factory=bytearray)
    began: float = 0.0
    sent: int = 0

    def take(self, data: bytes) -> None:
        """Bytes of a request; the answer begins once it is whole."""
        self.received += data
        head, separator, body = self.received.partition(b"\r\n\r\n")
        if not separator:
            return
        lines = [line.partition(b":") for line in head.lower().split(b"\r\n")]
        length = next((int(value) for name, _, value in lines if name == b"content-length"), 0)
        if len(body) >= length:
            self.received, self.began, self.sent = body[length:], time.monotonic(), 0
            self.pending += _HEAD

    def advance(self, now: float, rate: float, words: list[bytes]) -> None:
        """Send what is due, as far as the client reads."""
        if self.began:
            due = min(len(words), int((now - self.began) * rate))
            for number in range(self.sent, due):
                self.pending += words[number] if number else _delta(f"first@{time.monotonic():.4f}")
            self.sent = max(self.sent, due)
            if self.sent == len(words):
                self.pending += _delta(f" end@{time.monotonic():.4f}") + _LAST
                self.began = 0.0
        if self.pending:
            with suppress(BlockingIOError):
                del self.pending[: self.socket.send(self.pending)]


def serve(tokens: int, rate: float) -> None:
    words = [_delta(f" w{number}") for number in range(tokens)]
    selector = selectors.DefaultSelector()
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    listener.setblocking(False)
    selector.register(listener, selectors.EVENT_READ)
    print(f"http://127.0.0.1:{listener.getsockname()[1]}/v1", flush=True)
    connections: dict[socket.socket, Connection] = {}
    next_tick = time.monotonic()
    while True:
        for key, _ in selector.select(max(0.0, next_tick - time.monotonic())):
            if key.fileobj is listener:
                client, _address = listener.accept()
                client.setblocking(False)
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connections[client] = Connection(client)
                selector.register(client, selectors.EVENT_READ)
                continue
            assert isinstance(key.fileobj, socket.socket)
            if not _read(connections[key.fileobj]):
                _drop(selector, connections, key.fileobj)
        if (now := time.monotonic()) < next_tick:
            continue
        next_tick = max(next_tick + _TICK, now)
        for connection in list(connections.values()):
            try:
                connection.advance(now, rate, words)
            except OSError:
                _drop(selector, connections, connection.socket)


def _read(connection: Connection) -> bool:
    """Whether the client is still there."""
    try:
        data = connection.socket.recv(65536)
    except OSError:
        return False
    connection.take(data)
    return bool(data)


def _drop(
    selector: selectors.BaseSelector, connections: dict[socket.socket, Connection], client: socket.socket
) -> None:
    del connections[client]
    selector.unregister(client)
    client.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=1800)
    parser.add_argument("--rate", type=float, default=30.0)
    given = parser.parse_args()
    with suppress(KeyboardInterrupt):
        serve(given.tokens, given.rate)
