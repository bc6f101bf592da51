"""httpx over the pool: certificates, proxies, tunnels, and errors in httpx's words."""

import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

import h11
import httpx
import pytest
import trio
from attrs import define, field

from oc_trio.core.describe_error import describe_error
from oc_trio.core.proxies import Proxy
from oc_trio.network.pool import PooledTransport
from oc_trio.network.tunnel import ProxyRefused, open_tunnel


@define
class HttpServer:
    """Answers each request with its target; a CONNECT is refused with `connect_status`, or spliced to `upstream`."""

    port: int = 0
    connect_status: int = 200
    upstream: int = 0
    requests: list[h11.Request] = field(factory=list)

    @property
    def targets(self) -> list[str]:
        return [f"{request.method.decode()} {request.target.decode()}" for request in self.requests]

    async def handle(self, stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError):
            async with stream:
                await self._serve(stream)

    async def _serve(self, stream: trio.SocketStream) -> None:
        http = h11.Connection(h11.SERVER)
        while True:
            event = http.next_event()
            if event is h11.NEED_DATA:
                http.receive_data(await stream.receive_some())
            elif isinstance(event, h11.Request):
                self.requests.append(event)
                if event.method == b"CONNECT" and self.connect_status == 200:
                    await stream.send_all(http.send(h11.Response(status_code=200, headers=[])) or b"")
                    await self._splice(stream)
                    return
            elif isinstance(event, h11.EndOfMessage):
                request = self.requests[-1]
                status = self.connect_status if request.method == b"CONNECT" else 200
                headers = [("content-length", str(len(request.target)))]
                body = http.send(h11.Response(status_code=status, headers=headers)) or b""
                body += http.send(h11.Data(data=request.target)) or b""
                await stream.send_all(body + (http.send(h11.EndOfMessage()) or b""))
                http.start_next_cycle()
            else:
                return

    async def _splice(self, stream: trio.SocketStream) -> None:
        upstream = await trio.open_tcp_stream("127.0.0.1", self.upstream)

        async def copy(source: trio.SocketStream, sink: trio.SocketStream, scope: trio.CancelScope) -> None:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                async for data in source:
                    await sink.send_all(data)
            scope.cancel()

        async with upstream, trio.open_nursery() as nursery:
            nursery.start_soon(copy, stream, upstream, nursery.cancel_scope)
            nursery.start_soon(copy, upstream, stream, nursery.cancel_scope)


@asynccontextmanager
async def serve(server: HttpServer) -> AsyncIterator[HttpServer]:
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, host="127.0.0.1"), server.handle, 0)
        server.port = listeners[0].socket.getsockname()[1]
        yield server
        nursery.cancel_scope.cancel()


def client(environ: dict[str, str] | None = None) -> httpx.AsyncClient:
    transport = PooledTransport(ssl.create_default_context(), environ=environ or {})
    return httpx.AsyncClient(transport=transport, timeout=30)


async def test_a_connection_is_used_again() -> None:
    """The pool keeps it."""
    async with serve(HttpServer()) as server, client() as http:
        for path in ("/a", "/b?c=d%20e"):
            response = await http.get(f"http://127.0.0.1:{server.port}{path}")
            assert (response.status_code, response.text) == (200, path)


async def test_errors_are_httpxs_and_keep_their_reason() -> None:
    """They are translated where those of httpx's own transport are."""
    async with serve(HttpServer()) as server, client() as http:
        with pytest.raises(httpx.ConnectError, match=r"refused|connect"):
            await http.get("http://127.0.0.1:1/")
        with pytest.raises(httpx.ConnectError) as caught:
            await http.get(f"https://127.0.0.1:{server.port}/")
        assert "SSL" in describe_error(caught.value)
        with pytest.raises(httpx.UnsupportedProtocol):
            await http.get("ftp://127.0.0.1/")


async def test_plain_requests_go_through_the_proxy_by_name() -> None:
    """The proxy resolves it; its password goes along."""
    async with serve(HttpServer()) as server:
        async with client({"HTTP_PROXY": f"http://us%40er:pa:ss@127.0.0.1:{server.port}"}) as http:
            assert (await http.get("http://mm.test/x")).text == "http://mm.test/x"
        headers = dict(server.requests[0].headers)
        assert headers[b"proxy-authorization"] == b"Basic " + base64.b64encode(b"us@er:pa:ss")


async def test_tls_goes_through_a_tunnel() -> None:
    """CONNECT with name and port; what answers behind it is checked for that name."""
    async with serve(HttpServer()) as upstream, serve(HttpServer(upstream=upstream.port)) as proxy:
        async with client({"HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}"}) as http:
            with pytest.raises(httpx.ConnectError) as caught:
                await http.get("https://mm.test:8443/x")
        assert proxy.targets == ["CONNECT mm.test:8443"]
        assert "SSL" in describe_error(caught.value)  # the server behind it speaks no TLS


async def test_a_proxy_that_cannot_be_used_is_a_transport_error() -> None:
    """A model's turn fails with it, and a request to Mattermost is tried again."""
    async with client({"ALL_PROXY": "socks5://127.0.0.1:1"}) as http:
        with pytest.raises(httpx.UnsupportedProtocol, match="ALL_PROXY: a proxy of the kind socks5"):
            await http.get("https://mm.test/")
    async with serve(HttpServer(connect_status=407)) as server:
        environ = {"HTTPS_PROXY": f"http://127.0.0.1:{server.port}"}
        with pytest.raises(httpx.ProxyError, match="407"):
            async with client(environ) as http:
                await http.get("https://mm.test/")


async def test_a_tunnel_carries_bytes_both_ways() -> None:
    """A tunnel through a proxy passes bytes in both directions, as a websocket needs it."""
    async with serve(HttpServer()) as upstream, serve(HttpServer(upstream=upstream.port)) as server:
        proxy = Proxy("127.0.0.1", server.port, "HTTP_PROXY", "me", "secret")
        stream = await open_tunnel(proxy, "mm.test", 8065, ssl.create_default_context())
        async with stream:
            await stream.send_all(b"GET /through HTTP/1.1\r\nHost: mm.test\r\n\r\n")
            assert b"/through" in bytes(await stream.receive_some())
        assert server.targets == ["CONNECT mm.test:8065"]
        assert upstream.targets == ["GET /through"]
        assert dict(server.requests[0].headers)[b"proxy-authorization"].startswith(b"Basic ")


async def test_a_tunnel_that_is_refused_says_by_whom() -> None:
    """Without the password."""
    async with serve(HttpServer(connect_status=403)) as server:
        proxy = Proxy("127.0.0.1", server.port, "HTTPS_PROXY", "me", "secret")
        with pytest.raises(ProxyRefused, match=r"\(HTTPS_PROXY\) answers 403 for mm.test:443") as caught:
            await open_tunnel(proxy, "mm.test", 443, ssl.create_default_context())
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH\r\n", b""])
async def test_what_is_no_proxy_is_said(answer: bytes) -> None:
    """Another port of the same machine, for one."""

    async def handle(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()
            if answer:
                await stream.send_all(answer)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, host="127.0.0.1"), handle, 0)
        proxy = Proxy("127.0.0.1", listeners[0].socket.getsockname()[1], "HTTPS_PROXY")
        with trio.fail_after(30), pytest.raises(ProxyRefused, match="HTTPS_PROXY"):
            await open_tunnel(proxy, "mm.test", 443, ssl.create_default_context())
        nursery.cancel_scope.cancel()
