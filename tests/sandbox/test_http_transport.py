"""The in-process transport and the faults around a request."""

import httpx
import pytest
import trio
from trio.testing import MockClock

from oc_trio.sandbox.faults import Faults
from oc_trio.sandbox.request import SandboxRequest, SandboxResponse
from tests.sandbox.conftest import SandboxClients


async def test_a_client_posts_and_reads_without_a_socket(sandbox: SandboxClients) -> None:
    """A create answers 201 and the post is what the server saw."""
    channel = sandbox.demo.town_square
    async with sandbox.bot() as client:
        made = await client.post("/posts", json={"channel_id": channel.id, "message": "hello"})
        read = await client.get(f"/posts/{made.json()['id']}")
    assert made.status_code == 201
    assert read.json()["message"] == "hello"
    assert [entry.message for entry in sandbox.world.transcript(channel)] == ["hello"]


class LostAnswer(Faults):
    """The write is applied, its answer never arrives."""

    async def after(self, request: SandboxRequest, response: SandboxResponse) -> SandboxResponse:
        if request.method == "POST":
            raise httpx.ReadError("connection lost")
        return response


async def test_a_lost_answer_leaves_the_write_applied(sandbox: SandboxClients) -> None:
    """A retry with the same pending_post_id after a lost answer makes no second post."""
    channel = sandbox.demo.town_square
    body = {"channel_id": channel.id, "message": "once", "pending_post_id": "bot:1"}
    async with sandbox.bot() as client:
        sandbox.world.faults = LostAnswer()
        with pytest.raises(httpx.ReadError):
            await client.post("/posts", json=body)
        sandbox.world.faults = Faults()
        again = await client.post("/posts", json=body)
    entries = sandbox.world.transcript(channel)
    assert [each.message for each in entries] == ["once"]
    assert again.json()["id"] == entries[0].post_id


class Unreachable(Faults):
    async def before(self, request: SandboxRequest) -> SandboxResponse | None:
        raise httpx.ConnectError("unreachable")


class Limited(Faults):
    async def before(self, request: SandboxRequest) -> SandboxResponse | None:
        return SandboxResponse.text("limit exceeded\n", 429, (("retry-after", "1"),))


class Slow(Faults):
    async def before(self, request: SandboxRequest) -> SandboxResponse | None:
        await trio.sleep(20)
        return None


async def test_a_network_error_before_handling_applies_nothing(sandbox: SandboxClients) -> None:
    """A request that never arrived leaves no post and no log entry."""
    sandbox.world.faults = Unreachable()
    async with sandbox.bot() as client:
        with pytest.raises(httpx.ConnectError):
            await client.post("/posts", json={"channel_id": sandbox.demo.town_square.id, "message": "x"})
    assert sandbox.world.transcript(sandbox.demo.town_square) == ()
    assert len(sandbox.world.requests) == 0


async def test_an_injected_429_is_plain_text_with_retry_after(sandbox: SandboxClients) -> None:
    """The answer given by the fault reaches the client; the request is not applied."""
    sandbox.world.faults = Limited()
    async with sandbox.bot() as client:
        answer = await client.post("/posts", json={"channel_id": sandbox.demo.town_square.id, "message": "x"})
    assert (answer.status_code, answer.headers["retry-after"], answer.text) == (429, "1", "limit exceeded\n")
    assert sandbox.world.transcript(sandbox.demo.town_square) == ()


async def test_a_delay_runs_on_the_mock_clock(sandbox: SandboxClients, autojump_clock: MockClock) -> None:
    """Twenty seconds of delay pass on the run's clock, and the post's time says so."""
    sandbox.world.faults = Slow()
    began = trio.current_time()
    async with sandbox.bot() as client:
        await client.post("/posts", json={"channel_id": sandbox.demo.town_square.id, "message": "late"})
    assert trio.current_time() - began == pytest.approx(20)
    (entry,) = sandbox.world.transcript(sandbox.demo.town_square)
    assert entry.versions[0][0] >= 1_800_000_000_000 + 20_000


async def test_the_request_log_names_who_asked_for_what(sandbox: SandboxClients) -> None:
    """Every request is logged with its caller and status, the oldest forgotten first."""
    async with sandbox.bot() as client, sandbox.client() as nobody:
        await client.get("/users/me")
        await nobody.get("/users/me")
    requests = [(each.method, each.path, each.username, each.status) for each in sandbox.world.requests]
    assert requests == [("GET", "/api/v4/users/me", "bot", 200), ("GET", "/api/v4/users/me", "", 401)]
