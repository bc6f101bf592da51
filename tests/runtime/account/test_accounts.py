"""Several accounts in one gateway: one's failure is its own."""

import ssl
from collections.abc import AsyncGenerator
from random import Random
from typing import Any

import httpx
import pytest
import trio
import trio.testing

from oc_trio.agent.scripted import Say
from oc_trio.config.document import Document
from oc_trio.config.load import build
from oc_trio.errors import MattermostRejected
from oc_trio.ids import AccountId
from oc_trio.runtime.account.dependencies import Dependencies
from oc_trio.runtime.clock import Clock
from oc_trio.runtime.process.gateway import Gateway
from oc_trio.sandbox.http_transport import SandboxTransport
from oc_trio.sandbox.websocket_stream import serve_websocket_stream
from tests.journals import Journal, empty_journal
from tests.logbook import Logbook
from tests.runtime.harness import Harness, RecordingAgent, merged, open_harness

EAST, WEST = AccountId("east"), AccountId("west")


class Broken(httpx.AsyncBaseTransport):
    """A way to a server that fails like a bug, not like a network, for as long as it is told to."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self.inner, self.is_broken, self.tries = inner, False, 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.is_broken:
            self.tries += 1
            raise ZeroDivisionError("a mistake in the code of the west")
        return await self.inner.handle_async_request(request)


class TwoServers:
    """Two chat servers, east and west, and one gateway with an account on each of them."""

    def __init__(self, nursery: trio.Nursery, east: Harness, west: Harness, journal: Journal) -> None:
        self.nursery, self.servers, self.agent = nursery, {EAST: east, WEST: west}, RecordingAgent()
        self.agent.script = lambda _request: [Say("served")]
        self.west_line = Broken(SandboxTransport(west.world))
        self.journal = journal
        self.gateway: Gateway | None = None
        self.ended = trio.Event()

    @property
    def health(self) -> dict[str, str]:
        assert self.gateway is not None
        return {str(account.account): account.state for account in self.gateway.health.accounts}

    async def start(
        self, west: dict[str, Any] | None = None, *, east: dict[str, Any] | None = None, isolate: bool = False
    ) -> Gateway:
        accounts: dict[str, Any] = {
            str(name): {"baseUrl": f"http://{name}.test", "botToken": harness.bot.token}
            for name, harness in self.servers.items()
        }
        section = {
            "dmPolicy": "open",
            "allowFrom": ["*"],
            "groupPolicy": "open",
            "network": {"dangerouslyAllowPrivateNetwork": True},
            "accounts": merged(accounts, {"west": west or {}, "east": east or {}}),
        }
        values: dict[str, Any] = {
            "channels": {"mattermost": section},
            "agents": {"defaults": {"model": {"primary": "double/script"}}},
            "models": {"providers": {"double": {"api": "scripted", "models": ["script"]}}},
        }
        gateway = self.gateway = Gateway(
            build(Document(values), {}, isolate=isolate), self.journal, self._dependencies()
        )

        async def run(task_status: trio.TaskStatus[None]) -> None:
            try:
                await gateway.run(with_signals=False, task_status=task_status)
            finally:
                self.ended.set()

        await self.nursery.start(run)
        await trio.sleep(5)
        return gateway

    async def stop(self) -> None:
        if self.gateway is not None:
            self.gateway.stop("the test is over")
            with trio.fail_after(120):
                await self.ended.wait()

    async def asks(self, account: AccountId) -> list[str]:
        """What a person on that account's server gets for a direct message."""
        harness = self.servers[account]
        harness.say("hi", channel=harness.direct())
        await trio.sleep(5)
        return harness.answers(harness.direct())

    def _dependencies(self) -> Dependencies:
        def transport(url: str) -> httpx.AsyncBaseTransport:
            return self.west_line if "west" in url else SandboxTransport(self.servers[EAST].world)

        async def open_stream(host: str, port: int, tls: ssl.SSLContext | None) -> trio.abc.Stream:
            await trio.lowlevel.checkpoint()
            ours, theirs = trio.testing.memory_stream_pair()
            harness = self.servers[WEST if "west" in host else EAST]
            harness.streams.append(theirs)
            self.nursery.start_soon(serve_websocket_stream, harness.world, theirs)
            return ours

        clock = Clock(self.servers[EAST].now_ms, Random(5))
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        return Dependencies(clock, tls, transport, open_stream, lambda _spec, _http: self.agent)


@pytest.fixture
async def two_servers(nursery: trio.Nursery, harness: Harness) -> AsyncGenerator[TwoServers, None]:
    """The harness is the server in the east; its clock is used for both."""
    async with open_harness(nursery) as west, empty_journal() as journal:
        two_servers = TwoServers(nursery, harness, west, journal)
        yield two_servers
        await two_servers.stop()


async def test_two_accounts_on_two_servers(two_servers: TwoServers) -> None:
    """Each serves its own people, under the name that its server gave it."""
    await two_servers.start()
    assert two_servers.health == {"east": "live", "west": "live"}
    assert [await two_servers.asks(name) for name in (EAST, WEST)] == [["served"], ["served"]]
    sessions = {row.key for row in await _sessions(two_servers)}
    assert sessions == {
        f"agent:main:mattermost:{name}:direct:{harness.alice.id}" for name, harness in two_servers.servers.items()
    }


async def test_a_wrong_token_leaves_the_other_serving(two_servers: TwoServers, logbook: Logbook) -> None:
    """The refused account says so, the other one answers, and the whole is ready."""
    gateway = await two_servers.start({"botToken": "wrong"})
    assert two_servers.health == {"east": "live", "west": "auth_failed"}
    assert await two_servers.asks(EAST) == ["served"]
    assert await two_servers.asks(WEST) == []
    shown = gateway.health.snapshot()
    assert shown["ready"] is True
    assert gateway.ready.is_set()
    assert "west: auth_failed" in gateway.health.status_line()
    assert "wrong" not in str(shown)
    assert logbook.find("the server refuses the token")


async def test_only_wrong_tokens_end_the_gateway(two_servers: TwoServers) -> None:
    """Where nobody could be served, the start fails in words."""
    with pytest.raises(MattermostRejected, match="refuses the token of account"):
        await two_servers.start({"botToken": "wrong"}, east={"botToken": "wrong-too"})


async def test_a_crashing_account_starts_again_with_growing_pauses(two_servers: TwoServers, logbook: Logbook) -> None:
    """A bug in one account is logged, shown and counted; the other serves on; in the end it is back by itself."""
    gateway = await two_servers.start()
    two_servers.west_line.is_broken = True
    harness = two_servers.servers[WEST]
    await harness.streams[-1].aclose()
    await trio.sleep(1)
    post = harness.say("hi", channel=harness.direct())
    await trio.sleep(120)
    assert two_servers.health == {"east": "live", "west": "failed"}
    assert gateway.health.account(WEST).detail == "ZeroDivisionError in test_accounts.py:39"
    assert await two_servers.asks(EAST) == ["served"]
    pauses = [line["seconds"] for line in logbook.find("account failed; starting it again")]
    assert 3 <= len(pauses) <= 10
    assert pauses[-1] > pauses[0]
    two_servers.west_line.is_broken = False
    await trio.sleep(300)
    assert two_servers.health == {"east": "live", "west": "live"}
    assert harness.answers(harness.direct()) == ["served"]
    assert post.message == "hi"


async def test_a_mistake_in_one_accounts_settings_leaves_the_other_serving(
    two_servers: TwoServers, logbook: Logbook
) -> None:
    """The account is left out and shown with its problem, in the status and as an error in the log."""
    gateway = await two_servers.start({"dmPolicy": "sometimes"}, isolate=True)
    assert two_servers.health == {"east": "live", "west": "misconfigured"}
    assert "dmPolicy" in gateway.health.account(WEST).detail
    (line,) = logbook.find("an account can't be started")
    assert (line["account"], line["level"]) == (WEST, "error")
    assert "dmPolicy" in line["problem"]
    assert await two_servers.asks(EAST) == ["served"]


async def test_an_account_that_is_switched_off_is_said_so(two_servers: TwoServers, logbook: Logbook) -> None:
    """The log at the start names an account that is switched off."""
    await two_servers.start({"enabled": False})
    (line,) = logbook.find("an account is switched off")
    assert (line["account"], line["level"]) == (WEST, "warning")


async def _sessions(two_servers: TwoServers) -> Any:
    from oc_trio.store.store import open_store

    async with open_store(two_servers.journal) as store:
        return await store.sessions.list()
