"""Serves the admin app on a unix socket and, where configured, a loopback port: owns both sockets."""

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NoReturn, cast

import trio
from hypercorn.config import Config
from hypercorn.trio import serve

from oc_trio.admin.app import AdminApp
from oc_trio.errors import OcTrioError

_BACKLOG = 16


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
    config.accesslog = config.errorlog = None
    config.include_server_header = False
    with ExitStack() as stack:
        listeners: list[tuple[str, socket.socket]] = []
        if path is not None:
            listeners.append((f"unix:{path}", stack.enter_context(_unix(path))))
        if port is not None:
            listener = stack.enter_context(_loopback(port))
            listeners.append((f"http://127.0.0.1:{listener.getsockname()[1]}", listener))
        # Copies, since Hypercorn closes the descriptors that it is given.
        config.bind = [f"fd://{os.dup(listener.fileno())}" for _, listener in listeners]

        async def never() -> None:
            await trio.sleep_forever()

        async with trio.open_nursery() as nursery:

            async def run(*, task_status: trio.TaskStatus[list[str]]) -> None:
                await serve(cast("Any", app), config, shutdown_trigger=never, task_status=task_status, mode="asgi")

            await nursery.start(run)
            task_status.started(tuple(where for where, _ in listeners))
    raise AssertionError("unreachable: serving ends by cancellation")


@contextmanager
def _unix(path: Path) -> Iterator[socket.socket]:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with listener:
        # By umask, so that the socket never exists with wider permissions; chmod would come after bind.
        before = os.umask(0o177)
        try:
            # A gateway that was killed leaves its socket behind, and bind fails where the name exists.
            if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
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
