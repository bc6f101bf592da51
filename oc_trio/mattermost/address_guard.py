"""Protects against SSRF: resolves a host name, checks each address, and connects to a checked address only.

The name is not resolved a second time, so an answer that changes (DNS rebinding) gains nothing. `core.netguard` decides
which addresses are allowed; HTTP and websocket connections both go through here.
"""

import ssl
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address

import trio
from attrs import field

from oc_trio.classes import frozen
from oc_trio.core.netguard import NetPolicy, Refused, check_host
from oc_trio.core.proxies import BadProxy, proxy_for
from oc_trio.errors import MattermostRejected, MattermostUnavailable
from oc_trio.mattermost.socket import open_tls
from oc_trio.network.pool import PooledTransport
from oc_trio.network.tls import client_tls
from oc_trio.network.tunnel import open_tunnel

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
    """Resolves names and checks addresses; raises AddressRefused, or MattermostUnavailable for an unresolvable name.

    `environ` may name proxies, for websockets. What goes through a proxy is not checked: the proxy resolves the name.
    """

    policy: NetPolicy
    environ: Mapping[str, str] = field(factory=dict, repr=False, eq=False)

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
        # There is at least one: `check_host` refuses a name without addresses.
        *others, last = await self.addresses(host, port)
        for address in others:
            # The error of the last address is the one that is reported.
            with trio.move_on_after(ADDRESS_SECONDS), suppress(OSError):
                return await trio.open_tcp_stream(str(address), port)
        return await trio.open_tcp_stream(str(last), port)

    async def open_stream(self, host: str, port: int, tls: ssl.SSLContext | None) -> trio.abc.Stream:
        """The `open_stream` of a websocket. The certificate is checked for the name, not for the address."""
        address = f"[{host}]" if ":" in host else host
        try:
            proxy = proxy_for(f"{'ws' if tls is None else 'wss'}://{address}:{port}", self.environ)
        except BadProxy as problem:
            raise OSError(str(problem)) from problem
        stream: trio.abc.Stream
        if proxy is None:
            stream = await self.dial(host, port)
        else:
            # A proxy may be reached by TLS itself, also where the server behind it is not.
            stream = await open_tunnel(proxy, host, port, tls or client_tls())
        return stream if tls is None else await open_tls(stream, host, tls)


class GuardedTransport(PooledTransport):
    """An httpx transport that connects to allowed addresses only. `environ` may name proxies; default: none is used."""

    def __init__(
        self, guard: AddressGuard, ssl_context: ssl.SSLContext | None = None, environ: Mapping[str, str] | None = None
    ) -> None:
        # For http:// addresses: a context without certificates is built fast and trusts nobody.
        super().__init__(ssl_context or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), dial=guard.dial, environ=environ or {})
