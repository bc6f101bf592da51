"""Protects against SSRF: resolves a host name, checks each address, and connects to a checked address only.

The name is not resolved a second time, so an answer that changes (DNS rebinding) gains nothing. `core.netguard` decides
which addresses are allowed; HTTP and websocket connections both go through here.
"""

import ssl
from collections.abc import Awaitable, Callable, Iterable
from ipaddress import IPv4Address, IPv6Address
from typing import Any, TypeVar, cast

import httpcore
import httpx
import trio
from attrs import frozen

from oc_trio.core.netguard import NetPolicy, Refused, check_host
from oc_trio.errors import MattermostRejected, MattermostUnavailable
from oc_trio.mattermost.socket import open_tls

T = TypeVar("T")
Addresses = tuple[IPv4Address | IPv6Address, ...]

# An address that swallows packets must not use up the time of the next one; the last has all that is left.
ADDRESS_SECONDS = 5.0
# The status that a refusal of our own carries; no server was asked.
NOT_ASKED = 0


class AddressRefused(MattermostRejected):
    """The policy refuses an address; the message has the address, the reason and the setting that would allow it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, status=NOT_ASKED, code="oc_trio.address_refused")


@frozen
class AddressGuard:
    """Resolves names and checks addresses; raises AddressRefused, or MattermostUnavailable for an unresolvable name."""

    policy: NetPolicy

    async def addresses(self, host: str, port: int) -> Addresses:
        try:
            entries = await trio.socket.getaddrinfo(host, port, type=trio.socket.SOCK_STREAM)
        except OSError as problem:
            raise MattermostUnavailable(f"{host} can't be resolved: {problem.strerror or problem}") from problem
        except UnicodeError as problem:
            raise AddressRefused(f"{host[:80]!r} is no host name: {problem}") from problem
        verdict = check_host(host, [str(entry[4][0]) for entry in entries], self.policy)
        # One refused address refuses the name, even if others are allowed: who controls the name chooses what it
        # answers.
        if isinstance(verdict, Refused):
            raise AddressRefused(verdict.reason)
        return verdict.addresses

    async def dial(self, host: str, port: int) -> trio.SocketStream:
        """TCP to the first allowed address that answers."""

        async def connect(address: str) -> trio.SocketStream:
            return await trio.open_tcp_stream(address, port)

        return await _first_that_answers(await self.addresses(host, port), connect)

    async def open_stream(self, host: str, port: int, tls: ssl.SSLContext | None) -> trio.abc.Stream:
        """The `open_stream` of a websocket. The certificate is checked for the name, not for the address."""
        stream = await self.dial(host, port)
        return stream if tls is None else await open_tls(stream, host, tls)


async def _first_that_answers(addresses: Addresses, connect: Callable[[str], Awaitable[T]]) -> T:
    *others, last = addresses  # there is at least one: `check_host` refuses a name without addresses
    for address in others:
        with trio.move_on_after(ADDRESS_SECONDS):
            try:
                return await connect(str(address))
            # The error of the last address is the one that is reported.
            except (OSError, httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
    return await connect(str(last))


class _Backend(httpcore.AsyncNetworkBackend):
    """httpcore's own Trio backend, with the address chosen by the guard."""

    def __init__(self, guard: AddressGuard) -> None:
        self._guard = guard
        # httpcore defines a substitute for machines without Trio, which hides the real class from one type checker.
        self._inner = cast("httpcore.AsyncNetworkBackend", httpcore.TrioBackend())

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        return await _first_that_answers(
            await self._guard.addresses(host, port),
            lambda address: self._inner.connect_tcp(address, port, timeout, local_address, socket_options),
        )

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        raise AddressRefused(f"{path} is a local socket")

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)


class GuardedTransport(httpx.AsyncHTTPTransport):
    """An httpx transport that connects to allowed addresses only. Proxies from the environment are not used."""

    def __init__(self, guard: AddressGuard, ssl_context: ssl.SSLContext | None = None) -> None:
        context = ssl_context or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        super().__init__(verify=context, trust_env=False)
        # httpx has no parameter for the network backend, so its pool is replaced by one with the same settings.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=context,
            max_connections=100,
            max_keepalive_connections=20,
            keepalive_expiry=60.0,
            network_backend=_Backend(guard),
        )
