"""Serves the callback app with Hypercorn: owns the listening socket, TLS and the graceful stop; `guard` has the rules.

Hypercorn's per-connection server is driven here rather than its `serve`, which can't be held to HTTP/1.1.
"""

import logging
import os
import socket
import ssl
from collections.abc import Callable
from functools import partial
from ipaddress import ip_address
from typing import Any, cast

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.lifespan import Lifespan
from hypercorn.trio.worker_context import WorkerContext
from quart_trio import QuartTrio

from oc_trio.callbacks.connections import ConnectionLimiter
from oc_trio.callbacks.http1 import Http1Server
from oc_trio.callbacks.request_limiter import source_key
from oc_trio.classes import frozen
from oc_trio.errors import CallbackListenFailed

# A client that does not read its reply would block the shutdown for ever: the kernel drops it after this time.
UNREAD_MS = 3000
# As long as a relayed request that is being handled gets at the end (`in_flight.GRACE_SECONDS`).
GRACEFUL_SECONDS = 3.0
# Connections that the kernel accepts ahead of us: a moment's burst, while the event loop is busy.
_BACKLOG = 128
_WHAT_TO_DO = "Stop what listens there, or set another gateway.port; gateway.bind says the address."


@frozen
class ClientLimits:
    """What clients may use before a request is complete: `connections` concurrently, seconds for the TLS handshake and
    for the request line with all headers. The guard has the limits for bodies.
    """

    # Half of the 1,024 files that a process may usually open: journal, Mattermost and models need theirs.
    connections: int = 512
    handshake: float = 10.0
    headers: float = 5.0


@frozen
class TlsFiles:
    """Certificate chain and private key, PEM."""

    cert_file: str
    key_file: str


async def serve_callbacks(
    app: QuartTrio,
    host: str,
    port: int,
    tls: TlsFiles | None = None,
    *,
    shutdown: trio.Event,
    limits: ClientLimits = ClientLimits(),  # noqa: B008 - frozen
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until `shutdown` is set, then let requests in flight finish for 3 s; started with the bound URL.

    `port` 0 takes a free one. Raises CallbackListenFailed. Stop it by the event: cancelling skips the orderly end.
    """
    # In a thread: `host` may be a name, and looking it up blocks.
    listener = await trio.to_thread.run_sync(_listen, host, port)
    with listener:
        config = _config(limits)
        context = _tls_context(config, tls) if tls else None
        scheme = "https" if tls else "http"
        name, bound = listener.getsockname()[:2]
        bound_host = f"[{name}]" if ":" in name else name
        sockets = trio.SocketListener(trio.socket.from_stdlib_socket(listener))
        url = f"{scheme}://{bound_host}:{bound}"
        # https_compatible: clients of HTTPS close without TLS's own goodbye, which Trio takes for a cut-off stream.
        server_listener = trio.SSLListener(sockets, context, https_compatible=True) if context else sockets
        async with server_listener:
            connections = ConnectionLimiter(limits.connections)
            await _serve(app, config, server_listener, connections, shutdown, partial(task_status.started, url))


async def _serve(
    app: QuartTrio,
    config: Config,
    listener: trio.abc.Listener[Any],
    table: ConnectionLimiter,
    shutdown: trio.Event,
    started: Callable[[], None],
) -> None:
    """Accept until `shutdown`; connections then have the time that `config` gives them."""
    wrapped, context = ASGIWrapper(cast("Any", app)), WorkerContext(None)
    lifespan = Lifespan(wrapped, config, {})

    async def connection(stream: Any) -> None:
        with table.opened(_peer(stream)) as entry:
            await Http1Server(
                wrapped, config, context, stream, lambda idle: table.set_waiting(entry, is_waiting=idle)
            ).run()

    async with trio.open_nursery() as living:
        await living.start(lifespan.handle_lifespan)
        await lifespan.wait_for_startup()
        async with trio.open_nursery() as connections:
            try:
                async with trio.open_nursery() as accepting:
                    accepting.start_soon(
                        partial(trio.serve_listeners, connection, [listener], handler_nursery=connections)
                    )
                    started()
                    await shutdown.wait()
                    accepting.cancel_scope.cancel()
            finally:
                await context.terminated.set()  # noqa: ASYNC102 - hypercorn sets it without waiting
                connections.cancel_scope.deadline = trio.current_time() + config.graceful_timeout
        await lifespan.wait_for_shutdown()
        living.cancel_scope.cancel()


def _peer(stream: Any) -> str:
    """The source key of the client; empty where it has disconnected already."""
    plain = stream.transport_stream if isinstance(stream, trio.SSLStream) else stream
    try:
        return source_key(ip_address(plain.socket.getpeername()[0].partition("%")[0]))
    except OSError:
        return ""


def _listen(host: str, port: int) -> socket.socket:
    """In a thread: a host name is looked up."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as problem:
        raise CallbackListenFailed(
            f"The callback server can't listen on {host}:{port}: {_reason(problem)}. {_WHAT_TO_DO}"
        ) from None
    try:
        # A restart must not wait until connections of the last run leave TIME_WAIT.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_MS)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as problem:
        listener.close()
        raise CallbackListenFailed(
            f"The callback server can't listen on {host}:{port}: {_reason(problem)}. {_WHAT_TO_DO}"
        ) from None
    return listener


def _reason(problem: OSError) -> str:
    if isinstance(problem, socket.gaierror):
        return f"the host name is not known ({problem.args[-1]})"
    return os.strerror(problem.errno) if problem.errno else str(problem)


def _config(limits: ClientLimits) -> Config:
    config = Config()
    # Hypercorn measures this from the start of the connection, or the end of the last reply, to the end of the headers.
    config.keep_alive_timeout = limits.headers
    config.ssl_handshake_timeout = limits.handshake
    config.graceful_timeout = GRACEFUL_SECONDS
    config.read_timeout = None  # it would also end a handler that is still working
    # Of request line and headers: Hypercorn's default, which no new release shall widen.
    config.h11_max_incomplete_size = 16 * 1024
    config.include_server_header = False
    # Refusals are logged by the guard and the app; a line per request would be too much.
    config.accesslog = None
    config.errorlog = logging.getLogger("hypercorn.error")
    config.errorlog.setLevel(logging.WARNING)
    return config


def _tls_context(config: Config, tls: TlsFiles) -> ssl.SSLContext | None:
    config.certfile, config.keyfile = tls.cert_file, tls.key_file
    config.alpn_protocols = ["http/1.1"]  # what is spoken here: see http1.py
    try:
        return config.create_ssl_context()
    except (OSError, ssl.SSLError) as problem:
        reason = problem.strerror or str(problem)
        raise CallbackListenFailed(
            f"gateway.tls: {tls.cert_file} and {tls.key_file} can't be used: {reason}."
        ) from None
