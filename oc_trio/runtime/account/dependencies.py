"""What a gateway depends on from outside, each part replaceable: tests and the simulation pass the sandbox here."""

import sqlite3
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx
from attrs import field

from oc_trio.agent.build import AgentSpec, build_agent
from oc_trio.agent.port import Agent
from oc_trio.classes import frozen
from oc_trio.core.netguard import NetPolicy
from oc_trio.lease import Lease, boot_time
from oc_trio.mattermost.address_guard import AddressGuard, GuardedTransport
from oc_trio.mattermost.socket import OpenStream
from oc_trio.runtime.account.catchup import CatchUp
from oc_trio.runtime.clock import Clock
from oc_trio.runtime.conversation.pictures import Pictures
from oc_trio.runtime.conversation.session import Session
from oc_trio.runtime.error_boundary import ErrorBoundary
from oc_trio.runtime.handlers.public_port import PublicPort
from oc_trio.runtime.turn.previewer import Previewer
from oc_trio.store.leases import Leases, open_leases
from oc_trio.store.location import is_postgres
from oc_trio.store.notify import Notices, run_notices
from oc_trio.store.store import Store, open_store
from oc_trio.telemetry.tracing import NO_TRACER, Tracer


@asynccontextmanager
async def open_shared_leases(location: str | sqlite3.Connection) -> AsyncIterator[Leases | None]:
    """The leases of a journal that several processes can share; None where it has one process."""
    if isinstance(location, str) and is_postgres(location):
        async with open_leases(location) as leases:
            yield leases
    else:
        yield None


@frozen(eq=False)
class Dependencies:
    """`http_transport` gives the transport to a server, `open_stream` its websocket's stream, and `fetch_transport`
    fetches the files at web addresses; None means real sockets behind the address guard. `make_agent` builds
    agents, `open_store` opens the journal at a location and `open_leases` its leases, `run_notices` delivers what its
    other processes tell, `lease_clock` is the holder's (see `oc_trio.lease`), `pictures` scales pictures for models,
    `tracer` makes the traces of turns; the classes are those that an account is built from. `environ` may name proxies.
    """

    clock: Clock = field(factory=Clock)
    ssl_context: ssl.SSLContext | None = None
    http_transport: Callable[[str], httpx.AsyncBaseTransport] | None = None
    open_stream: OpenStream | None = None
    make_agent: Callable[[AgentSpec, httpx.AsyncClient], Agent] = build_agent
    open_store: Callable[[str | sqlite3.Connection], AbstractAsyncContextManager[Store]] = open_store
    open_leases: Callable[[str | sqlite3.Connection], AbstractAsyncContextManager[Leases | None]] = open_shared_leases
    run_notices: Callable[[str | sqlite3.Connection, Notices], Awaitable[None]] = run_notices
    lease_clock: Callable[[], float] = boot_time
    lease: type[Lease] = Lease
    session: type[Session] = Session
    previewer: type[Previewer] = Previewer
    catch_up: type[CatchUp] = CatchUp
    boundary: type[ErrorBoundary] = ErrorBoundary
    serve_port: Callable[..., Awaitable[None]] = PublicPort.serve
    fetch_transport: httpx.AsyncBaseTransport | None = None
    pictures: Pictures = field(factory=Pictures)
    tracer: Tracer = NO_TRACER
    environ: Mapping[str, str] = field(factory=dict, repr=False)

    def transport(self, base_url: str, policy: NetPolicy) -> httpx.AsyncBaseTransport:
        """The transport of REST requests to the server at `base_url`."""
        if self.http_transport is not None:
            return self.http_transport(base_url)
        return GuardedTransport(AddressGuard(policy), self.ssl_context, self.environ)

    def stream_opener(self, policy: NetPolicy) -> OpenStream:
        """What opens the websocket's stream to a server."""
        return self.open_stream or AddressGuard(policy, self.environ).open_stream
