"""A proxy on loopback before a chat server, in threads: it spoils what a test wants it to spoil of the WebSocket."""

import re
import socket
import threading
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress

from attrs import define

_END = b"\r\n\r\n"


@define(eq=False)
class WebsocketProxy:
    """`answer` is given to requests for the WebSocket instead of asking the server. Without `upgrades` the request is
    passed on without its upgrade; `seconds` of silence end a WebSocket. `date` replaces that header of answers.
    """

    target: tuple[str, int]
    answer: bytes = b""
    upgrades: bool = True
    seconds: float | None = None
    date: bytes = b""
    url: str = ""

    def serve(self, client: socket.socket) -> None:
        with closing(client), suppress(OSError):
            head = b""
            while _END not in head:
                chunk = client.recv(65536)
                if not chunk:
                    return
                head += chunk
            is_websocket = b"/api/v4/websocket" in head.split(b"\r\n", 1)[0]
            if is_websocket and self.answer:
                client.sendall(self.answer)
                return
            if is_websocket and not self.upgrades:
                header_lines = [
                    line for line in head.split(b"\r\n") if not line.lower().startswith((b"upgrade", b"connection"))
                ]
                head = b"\r\n".join(header_lines)
            with closing(socket.create_connection(self.target)) as server:
                server.sendall(head)
                back = threading.Thread(target=self._pass_on, args=(client, server, None))
                back.start()
                self._pass_on(server, client, self.seconds if is_websocket else None)
                back.join()

    def _pass_on(self, source: socket.socket, sink: socket.socket, seconds: float | None) -> None:
        with suppress(OSError):
            source.settimeout(seconds)
            while chunk := source.recv(65536):
                sink.sendall(self._dated(chunk))
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _dated(self, chunk: bytes) -> bytes:
        return re.sub(rb"(?i)(\r\ndate: )[^\r]*", rb"\g<1>" + self.date, chunk) if self.date else chunk


@contextmanager
def open_websocket_proxy(url: str) -> Generator[WebsocketProxy, None, None]:
    """A proxy before the server at `url`, until the block ends."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    listener = socket.create_server(("127.0.0.1", 0))
    proxy = WebsocketProxy((host, int(port)), url=f"http://127.0.0.1:{listener.getsockname()[1]}")
    threads: list[threading.Thread] = []

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threads.append(threading.Thread(target=proxy.serve, args=(client,), daemon=True))
                threads[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield proxy
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join(5)
        for thread in threads:
            thread.join(5)
