"""The wiring: real sockets behind the guard unless a test plugs in its own."""

import ssl

import httpx
import pytest
import trio

from oc_trio.core.netguard import NetPolicy
from oc_trio.mattermost.address_guard import AddressRefused, GuardedTransport
from oc_trio.runtime.account.dependencies import Dependencies


async def test_without_a_word_every_connection_passes_the_guard() -> None:
    """For HTTP and for the websocket alike."""
    dependencies = Dependencies()
    transport = dependencies.transport("http://127.0.0.1:1", NetPolicy())
    assert isinstance(transport, GuardedTransport)
    async with httpx.AsyncClient(transport=transport) as client:
        with pytest.raises(AddressRefused):
            await client.get("http://127.0.0.1:1/")
    with pytest.raises(AddressRefused):
        await dependencies.stream_opener(NetPolicy())("127.0.0.1", 1, None)


async def test_what_is_plugged_in_is_used() -> None:
    """The simulation's server gets the address that was asked for."""
    urls: list[str] = []

    def transport(url: str) -> httpx.AsyncBaseTransport:
        urls.append(url)
        return httpx.MockTransport(lambda _request: httpx.Response(204))

    async def open_stream(host: str, port: int, tls: ssl.SSLContext | None) -> trio.abc.Stream:
        raise OSError(f"{host}:{port} {tls}")

    dependencies = Dependencies(http_transport=transport, open_stream=open_stream)
    async with httpx.AsyncClient(transport=dependencies.transport("http://mm.test", NetPolicy())) as client:
        assert (await client.get("http://mm.test/")).status_code == 204
    assert urls == ["http://mm.test"]
    with pytest.raises(OSError, match=r"mm\.test:80 None"):
        await dependencies.stream_opener(NetPolicy())("mm.test", 80, None)
