"""A TCP connection through an HTTP proxy, by CONNECT: for websockets; HTTP requests go through `pool`."""

import base64
import ssl

import h11
import trio

from oc_trio.core.proxies import Proxy

_READ_BYTES = 16 * 1024


class ProxyRefused(OSError):
    """The proxy does not connect us; str() names it, the variable that it comes from, and its answer."""


async def open_tunnel(proxy: Proxy, host: str, port: int, ssl_context: ssl.SSLContext) -> trio.abc.Stream:
    """A stream to `host` and `port` as the proxy sees them. Has no deadline: the caller sets one.

    Raises ProxyRefused, and OSError or trio.BrokenResourceError where the proxy can't be reached.
    """
    return await tunnel_over(await trio.open_tcp_stream(proxy.host, proxy.port), proxy, host, port, ssl_context)


async def tunnel_over(
    stream: trio.abc.Stream, proxy: Proxy, host: str, port: int, ssl_context: ssl.SSLContext
) -> trio.abc.Stream:
    """As `open_tunnel`, over a connection to the proxy that is open already; it is closed where that fails."""
    is_open = False
    try:
        if proxy.is_tls:
            stream = trio.SSLStream(stream, ssl_context, server_hostname=proxy.host, https_compatible=True)
        await _connect(stream, proxy, f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        is_open = True
    finally:
        if not is_open:
            await trio.aclose_forcefully(stream)
    return stream


async def _connect(stream: trio.abc.Stream, proxy: Proxy, target: str) -> None:
    headers = [("Host", target)]
    if proxy.user:
        credentials = base64.b64encode(f"{proxy.user}:{proxy.password}".encode()).decode()
        headers.append(("Proxy-Authorization", f"Basic {credentials}"))
    http = h11.Connection(h11.CLIENT)
    try:
        request = http.send(h11.Request(method="CONNECT", target=target, headers=headers))
        await stream.send_all((request or b"") + (http.send(h11.EndOfMessage()) or b""))
        # Nothing follows the answer yet: with TLS and with the upgrade to a websocket the client speaks first.
        while not isinstance(event := http.next_event(), h11.Response):
            if isinstance(event, h11.ConnectionClosed):
                raise ProxyRefused(f"the proxy {proxy.url} ({proxy.variable}) closed the connection")
            if event is h11.NEED_DATA:
                http.receive_data(bytes(await stream.receive_some(_READ_BYTES)))
    except h11.ProtocolError as problem:
        raise ProxyRefused(f"{proxy.url} ({proxy.variable}) does not answer like an HTTP proxy") from problem
    if not 200 <= event.status_code < 300:
        raise ProxyRefused(f"the proxy {proxy.url} ({proxy.variable}) answers {event.status_code} for {target}")
