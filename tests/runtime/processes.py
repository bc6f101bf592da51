"""Several gateways on one journal and before one chat server, in one Trio run: each can be killed, cut off or stopped.

    one = await processes.start("one")      # a `Process`; it serves what nobody else does
    two = await processes.start("two")
    await one.kill()                        # as kill -9: nothing reaches the server or the journal any more
    one.is_cut_off = True                   # its database does not answer it

The journal is the harness's; its leases are by the mock clock.
"""

import sqlite3
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import httpx
import trio
import trio.testing
from attrs import define, field

from oc_trio.config.load import Loaded
from oc_trio.errors import StoreError
from oc_trio.ids import AccountId
from oc_trio.runtime.account.dependencies import Dependencies
from oc_trio.runtime.clock import Clock
from oc_trio.runtime.process.gateway import Gateway
from oc_trio.sandbox.http_transport import SandboxTransport
from oc_trio.sandbox.websocket_stream import serve_websocket_stream
from oc_trio.store.leases import Leases, open_leases
from oc_trio.store.store import Store, open_store
from tests.runtime.harness import TLS, Harness


@define(eq=False)
class Process:
    """One gateway, and what lies between it and the world. `sent` has the time of each request that writes."""

    harness: Harness
    name: str
    is_dead: bool = False
    is_cut_off: bool = False
    slept: float = 0.0
    # Seconds that the database takes for a renewal.
    latency: float = 0.0
    # Something on the way keeps requests whose path ends like this until `let_go`, and no answer ever comes.
    held_back: str = ""
    let_go: trio.Event = field(factory=trio.Event)
    sent: list[tuple[float, str]] = field(factory=list)
    streams: list[trio.abc.Stream] = field(factory=list)
    ended: trio.Event = field(factory=trio.Event)
    gateway: Gateway = field(init=False)

    def state(self, account: str = "default") -> str:
        return self.gateway.health.account(AccountId(account)).state

    def detail(self, account: str = "default") -> str:
        return self.gateway.health.account(AccountId(account)).detail

    @property
    def serves(self) -> set[str]:
        return {health.account for health in self.gateway.health.accounts if health.is_live}

    def metric(self, name: str, **labels: str) -> float:
        return self.gateway.metrics.registry.get_sample_value(f"oc_trio_{name}", labels) or 0.0

    async def kill(self) -> None:
        """End it where it stands."""
        self.is_dead = True
        self.gateway.abort()
        await self.ended.wait()

    async def stop(self) -> None:
        """As SIGTERM does; returns at its end."""
        self.gateway.stop("the test wants it")
        await self.ended.wait()

    def lease_clock(self) -> float:
        return trio.current_time() + self.slept

    def dependencies(self) -> Dependencies:
        serial = sum(map(ord, self.name))
        return Dependencies(
            Clock(self.harness.now_ms, Random(serial)),
            TLS,
            lambda _url: _Line(SandboxTransport(self.harness.world), self),
            self._open_stream,
            lambda _spec, _http: self.harness.agent,
            open_store=self._open_store,
            open_leases=self._open_leases,
            lease_clock=self.lease_clock,
            pictures=self.harness.pictures,
        )

    @asynccontextmanager
    async def _open_store(self, location: str | sqlite3.Connection) -> AsyncIterator[Store]:
        async with open_store(location) as store:
            self._attach(store)
            yield store

    @asynccontextmanager
    async def _open_leases(self, location: str | sqlite3.Connection) -> AsyncIterator[Leases]:
        async with open_leases(location) as leases:
            self._attach(leases, is_slow=True)
            yield leases

    def _attach(self, tables: Any, *, is_slow: bool = False) -> None:
        """From now on what it does goes over this process's line to the database."""
        engine = tables._engine
        run = engine.run

        async def over_a_line(work: Callable[[Any], Any], fence: Any = None) -> Any:
            await trio.sleep(self.latency if is_slow else 0)
            if self.is_dead or self.is_cut_off:
                await trio.lowlevel.checkpoint()
                raise StoreError("postgres: connection refused")
            return await run(work, fence)

        engine.run = over_a_line

    async def _open_stream(self, host: str, port: int, tls: ssl.SSLContext | None) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        ours, theirs = trio.testing.memory_stream_pair()
        self.streams.append(theirs)
        self.harness.nursery.start_soon(serve_websocket_stream, self.harness.world, theirs)
        return ours


@define(eq=False)
class _Line(httpx.AsyncBaseTransport):
    inner: httpx.AsyncBaseTransport
    process: Process

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.process.is_dead:
            raise httpx.ConnectError("the process is gone")
        if request.method not in ("GET", "HEAD"):
            self.process.sent.append((trio.current_time(), f"{request.method} {request.url.path}"))
            if self.process.held_back and request.url.path.endswith(self.process.held_back):
                self.process.harness.nursery.start_soon(self._send_late, request)
                await trio.sleep_forever()
        return await self.inner.handle_async_request(request)

    async def _send_late(self, request: httpx.Request) -> None:
        await self.process.let_go.wait()
        await self.inner.handle_async_request(request)


@define(eq=False)
class Processes:
    """Starts processes on the harness's journal, and stops those that still run at the end of the test."""

    harness: Harness
    started: list[Process] = field(factory=list)
    # False: they find out by looking.
    has_notices: bool = True

    def __attrs_post_init__(self) -> None:
        self.harness.journal.notify = self._notify

    def _notify(self, topic: str) -> None:
        if self.has_notices:
            for process in self.started:
                process.gateway.notices.deliver(topic)

    async def start(self, name: str = "one", loaded: Loaded | None = None) -> Process:
        """Start a process; it is ready when this returns."""
        process = Process(self.harness, name)
        process.gateway = Gateway(loaded or self.harness.configured(), self.harness.journal, process.dependencies())
        self.started.append(process)

        async def run(task_status: trio.TaskStatus[None]) -> None:
            try:
                await process.gateway.run(with_signals=False, task_status=task_status)
            except* Exception:
                # Nobody hears the last words of a process that was killed.
                if not process.is_dead:
                    raise
            finally:
                process.ended.set()

        await self.harness.nursery.start(run)
        with trio.fail_after(60):
            await process.gateway.ready.wait()
        return process

    async def pair(self) -> tuple[Process, Process]:
        """One that serves, and one that stands by."""
        return await self.start("one"), await self.start("two")

    async def stop(self) -> None:
        for process in self.started:
            if not process.ended.is_set():
                process.is_cut_off = False
                await process.stop()


def leases(harness: Harness) -> dict[str, tuple[str, int]]:
    """Who has which account by the database: the process's id and the epoch; "" where nobody has it."""
    sql = "SELECT account, CASE WHEN deadline > oc_now_ms() THEN holder ELSE '' END, epoch FROM leases"
    return {account: (holder, epoch) for account, holder, epoch in harness.journal.execute(sql)}
