"""SSRF protection: names are resolved, their addresses checked, and only a checked address is dialled."""

import socket
import ssl
from functools import partial
from typing import Any

import httpx
import pytest
import trio
import trio.testing
import trustme
from attrs import define, field

from oc_trio.core.netguard import OPT_IN, NetPolicy
from oc_trio.errors import MattermostRejected, MattermostUnavailable
from oc_trio.mattermost.address_guard import ADDRESS_SECONDS, NOT_ASKED, AddressGuard, AddressRefused, GuardedTransport

OPEN, CLOSED = NetPolicy(allow_private=True), NetPolicy()


@define(eq=False)
class Names(trio.abc.HostnameResolver):
    """A name server of our own; names it does not know don't exist. `hang` never answers."""

    known: dict[str, list[str]] = field(factory=dict)
    lookups: list[str] = field(factory=list)

    async def getaddrinfo(self, host: bytes | None, port: Any, *_more: Any, **_named: Any) -> Any:
        name = (host or b"").decode()
        self.lookups.append(name)
        await trio.lowlevel.checkpoint()
        if name not in self.known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                0,
                "",
                (address, port, 0, 0) if ":" in address else (address, port),
            )
            for address in self.known[name]
        ]

    async def getnameinfo(self, sockaddr: Any, flags: int) -> tuple[str, str]:
        raise NotImplementedError


@pytest.fixture
async def names() -> Names:
    made = Names()
    trio.socket.set_custom_hostname_resolver(made)
    return made


@pytest.fixture
def patient_clock() -> trio.testing.MockClock:
    """Jumps when nothing has happened for a moment: sockets are the kernel's, and no task of ours."""
    return trio.testing.MockClock(autojump_threshold=0.2)


@pytest.fixture
async def port(nursery: trio.Nursery) -> int:
    """A server on loopback that answers every HTTP request with its own address."""

    async def answer(stream: trio.SocketStream) -> None:
        await stream.receive_some(4096)
        body = stream.socket.getsockname()[0].encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
        await stream.send_all(head + body)

    listeners = await nursery.start(partial(trio.serve_tcp, answer, 0, host="127.0.0.1"))
    return int(listeners[0].socket.getsockname()[1])


# judging


@pytest.mark.parametrize(
    ("address", "policy", "allowed"),
    [
        pytest.param("93.184.216.34", CLOSED, True, id="public"),
        pytest.param("10.1.2.3", CLOSED, False, id="private"),
        pytest.param("10.1.2.3", OPEN, True, id="private with the opt-in"),
        pytest.param("127.0.0.1", OPEN, True, id="loopback with the opt-in"),
        pytest.param("169.254.169.254", OPEN, False, id="metadata in spite of it"),
        pytest.param("fe80::1%lo", OPEN, False, id="link-local with a zone"),
        pytest.param("::ffff:10.0.0.1", CLOSED, False, id="private in IPv6 clothes"),
    ],
)
async def test_a_name_is_judged_by_its_address(names: Names, address: str, policy: NetPolicy, allowed: bool) -> None:
    """A host is allowed or refused by the address that its name resolves to."""
    names.known["mm.test"] = [address]
    if allowed:
        assert [str(one) for one in await AddressGuard(policy).addresses("mm.test", 443)] == [address]
    else:
        with pytest.raises(AddressRefused):
            await AddressGuard(policy).addresses("mm.test", 443)


async def test_one_bad_address_spoils_the_name(names: Names) -> None:
    """A name that also leads inside is not dialled at all."""
    names.known["mm.test"] = ["93.184.216.34", "10.0.0.1"]
    with pytest.raises(AddressRefused, match="resolves to 10"):
        await AddressGuard(CLOSED).addresses("mm.test", 443)


async def test_a_refusal_tells_the_setting_that_would_allow_it(names: Names) -> None:
    """As a rejection that no server spoke."""
    names.known["mm.test"] = ["10.0.0.1"]
    with pytest.raises(MattermostRejected, match=OPT_IN) as raised:
        await AddressGuard(CLOSED).addresses("mm.test", 443)
    assert (raised.value.status, raised.value.code) == (NOT_ASKED, "oc_trio.address_refused")
    assert not raised.value.is_auth


async def test_a_name_that_does_not_resolve_may_do_so_later(names: Names) -> None:
    """A name server that is away is an outage."""
    with pytest.raises(MattermostUnavailable, match=r"nowhere\.test can't be resolved: Name or service not known"):
        await AddressGuard(OPEN).addresses("nowhere.test", 443)


async def test_what_can_not_be_a_name_is_refused() -> None:
    """A label beyond 63 letters raises no error of the program."""
    with pytest.raises(AddressRefused, match="is no host name"):
        await AddressGuard(OPEN).addresses("é" * 70 + ".test", 443)


async def test_a_second_look_up_can_not_change_the_address(names: Names, port: int) -> None:
    """The judged address is dialled: the name is asked once per connection."""
    names.known["mm.test"] = ["127.0.0.1"]
    await (await AddressGuard(OPEN).dial("mm.test", port)).aclose()
    assert names.lookups.count("mm.test") == 1


# dialling


async def test_the_next_address_is_tried_when_one_refuses(names: Names, port: int) -> None:
    """127.0.0.2 has nobody listening."""
    names.known["mm.test"] = ["127.0.0.2", "127.0.0.1"]
    stream = await AddressGuard(OPEN).dial("mm.test", port)
    assert stream.socket.getpeername()[0] == "127.0.0.1"
    await stream.aclose()


async def test_the_last_refusal_comes_out(names: Names) -> None:
    """If no address accepts the connection, the error of the last one is raised."""
    names.known["mm.test"] = ["127.0.0.2", "127.0.0.3"]
    with pytest.raises(OSError, match=r"127\.0\.0\.3"):
        await AddressGuard(OPEN).dial("mm.test", 1)


async def test_an_address_that_swallows_packets_leaves_time_for_the_next(
    names: Names, port: int, nursery: trio.Nursery, patient_clock: trio.testing.MockClock
) -> None:
    """A full backlog stands for a black hole: after some seconds the next address is dialled."""
    hole = trio.socket.socket()
    await hole.bind(("127.0.0.2", port))
    hole.listen(0)
    fillers = [trio.socket.socket() for _ in range(3)]

    async def fill(sock: trio.socket.SocketType) -> None:
        await sock.connect(("127.0.0.2", port))

    for filler in fillers:
        nursery.start_soon(fill, filler)
    await trio.testing.wait_all_tasks_blocked(0.05)
    names.known["mm.test"] = ["127.0.0.2", "127.0.0.1"]
    began = trio.current_time()
    stream = await AddressGuard(OPEN).dial("mm.test", port)
    assert stream.socket.getpeername()[0] == "127.0.0.1"
    assert trio.current_time() - began == ADDRESS_SECONDS
    await stream.aclose()
    nursery.cancel_scope.cancel()
    with trio.CancelScope(shield=True):
        await trio.testing.wait_all_tasks_blocked()
    for sock in (*fillers, hole):
        sock.close()


async def test_tls_is_spoken_with_the_name(names: Names, nursery: trio.Nursery) -> None:
    """The certificate is the name's, whatever address it was found at."""
    authority = trustme.CA()
    served, trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("mm.test").configure_cert(served)
    authority.configure_trust(trusted)

    async def answer(stream: trio.SSLStream[trio.SocketStream]) -> None:
        await stream.send_all(b"hello")

    listeners = await nursery.start(partial(trio.serve_ssl_over_tcp, answer, 0, served, host="127.0.0.1"))
    names.known["mm.test"] = ["127.0.0.1"]
    stream = await AddressGuard(OPEN).open_stream(
        "mm.test", listeners[0].transport_listener.socket.getsockname()[1], trusted
    )
    assert await stream.receive_some(5) == b"hello"
    await trio.aclose_forcefully(stream)
    nursery.cancel_scope.cancel()


async def test_without_tls_the_stream_is_plain(names: Names, port: int) -> None:
    """For `ws://` the stream is plain TCP."""
    names.known["mm.test"] = ["127.0.0.1"]
    stream = await AddressGuard(OPEN).open_stream("mm.test", port, None)
    assert isinstance(stream, trio.SocketStream)
    await stream.aclose()


# HTTP


async def test_http_goes_through_the_guard(names: Names, port: int) -> None:
    """Allowed names are reached, at their next address if need be; refused ones are never dialled."""
    names.known["mm.test"] = ["127.0.0.2", "127.0.0.1"]
    async with httpx.AsyncClient(transport=GuardedTransport(AddressGuard(OPEN))) as client:
        assert (await client.get(f"http://mm.test:{port}/")).text == "127.0.0.1"
    async with httpx.AsyncClient(transport=GuardedTransport(AddressGuard(CLOSED))) as client:
        with pytest.raises(AddressRefused):
            await client.get(f"http://mm.test:{port}/")


async def test_http_says_when_nobody_answers(names: Names) -> None:
    """In httpx's own words, which are translated where the others are."""
    names.known["mm.test"] = ["127.0.0.2", "127.0.0.3"]
    async with httpx.AsyncClient(transport=GuardedTransport(AddressGuard(OPEN))) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get("http://mm.test:1/")


async def test_what_goes_through_a_proxy_is_resolved_by_it(names: Names, port: int) -> None:
    """The name may be unknown here; a file that others name is fetched without a proxy."""
    names.known["proxy.test"] = ["127.0.0.1"]
    environ = {"HTTP_PROXY": f"http://proxy.test:{port}"}
    async with httpx.AsyncClient(transport=GuardedTransport(AddressGuard(OPEN), environ=environ)) as client:
        assert (await client.get("http://mm.test/")).status_code == 200
    async with httpx.AsyncClient(transport=GuardedTransport(AddressGuard(OPEN))) as client:
        with pytest.raises(MattermostUnavailable, match="can't be resolved"):
            await client.get("http://mm.test/")
