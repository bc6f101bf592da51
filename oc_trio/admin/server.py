"""Serves the admin app on a unix socket and, where configured, a loopback port: owns both sockets.

Hypercorn's per-connection server is driven here rather than its `serve`, which waits for a client that does not read
its response for as long as that takes, also after a cancellation.
"""

import logging
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NoReturn, cast

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext

from oc_trio.admin.app import AdminApp
from oc_trio.classes import frozen
from oc_trio.errors import OcTrioError

# Commands of one machine, a scraper, a browser or two.
_BACKLOG = 16
# A client that reads nothing for so long is disconnected; a stop waits no longer than that for it.
UNREAD_SECONDS = 5.0


class AdminListenFailed(OcTrioError):
    """The admin API can't be served; str() says where and why."""


async def serve_admin(
    app: AdminApp,
    *,
    path: Path | None = None,
    port: int | None = None,
    task_status: trio.TaskStatus[tuple[str, ...]] = trio.TASK_STATUS_IGNORED,
) -> NoReturn:
    """Serve until cancelled; started with its addresses: `unix:PATH`, `http://127.0.0.1:PORT`.

    The socket at `path` is for its owner only, replaces a stale one of a dead gateway, and is removed at the end.
    `port` 0 takes a free one. Raises AdminListenFailed.
    """
    config = Config()
    config.backlog = _BACKLOG
    config.accesslog = None
    # A defect in a request is answered with 500 and belongs into the log; no request is logged.
    config.errorlog = logging.getLogger("hypercorn.error")
    config.include_server_header = False
    with ExitStack() as stack:
        listeners: list[tuple[str, socket.socket]] = []
        if path is not None:
            listeners.append((f"unix:{path}", stack.enter_context(_unix(path))))
        if port is not None:
            listener = stack.enter_context(_loopback(port))
            listeners.append((f"http://127.0.0.1:{listener.getsockname()[1]}", listener))
        # Copies, since Trio closes the sockets that it is given.
        copies = [trio.SocketListener(trio.socket.from_stdlib_socket(listener.dup())) for _, listener in listeners]
        wrapped, context = ASGIWrapper(cast("Any", app)), WorkerContext(None)

        async def serve_connection(stream: trio.SocketStream) -> None:
            await TCPServer(wrapped, config, context, cast("Any", {}), cast("Any", _ImpatientStream(stream))).run()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, serve_connection, copies)
            task_status.started(tuple(where for where, _ in listeners))
    raise AssertionError("unreachable: serving ends by cancellation")


@frozen(eq=False)
class _ImpatientStream:
    """The stream of one connection, with a deadline for what is sent: Hypercorn shields that from cancellation."""

    _stream: trio.SocketStream

    @property
    def socket(self) -> Any:
        return self._stream.socket

    async def send_all(self, data: bytes) -> None:
        with trio.move_on_after(UNREAD_SECONDS) as scope:
            await self._stream.send_all(data)
        if scope.cancelled_caught:
            raise trio.BrokenResourceError

    async def receive_some(self, max_bytes: int) -> bytes:
        return await self._stream.receive_some(max_bytes)

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()


@contextmanager
def _unix(path: Path) -> Iterator[socket.socket]:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with listener:
        # By umask, so that the socket never exists with wider permissions; chmod would come after bind.
        before = os.umask(0o177)
        try:
            # A gateway that was killed leaves its socket behind, and bind fails where the name exists.
            if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
                if _is_answered(path):
                    # Two on one PostgreSQL journal: nothing else keeps them from having the same state directory.
                    raise AdminListenFailed(
                        f"another gateway answers at the admin socket {path}: give each a state directory of its own "
                        "(STATE_DIRECTORY), or a gateway.admin.socket"
                    )
                path.unlink()
            listener.bind(str(path))
            listener.listen(_BACKLOG)
        except OSError as problem:
            raise AdminListenFailed(f"the admin socket {path} can't be made: {problem.strerror or problem}") from None
        finally:
            os.umask(before)
        try:
            yield listener
        finally:
            path.unlink(missing_ok=True)


def _is_answered(path: Path) -> bool:
    """Whether a process listens at a socket; never waits."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.setblocking(False)
        try:
            caller.connect(str(path))
        except BlockingIOError:  # its queue is full
            return True
        except OSError:
            return False
    return True


@contextmanager
def _loopback(port: int) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", port))
            listener.listen(_BACKLOG)
        except OSError as problem:
            raise AdminListenFailed(f"the admin port 127.0.0.1:{port} can't be used: {problem.strerror}") from None
        yield listener
