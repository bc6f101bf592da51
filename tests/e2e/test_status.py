"""`oc-trio status` and the admin API of a running gateway."""

import json
import signal
import stat
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
import trio

from tests.e2e.deployment import Deployment, open_deployment

pytestmark = pytest.mark.e2e


async def test_status_of_a_running_gateway(tmp_path: Path, unused_port: int) -> None:
    """Who is live is told by exit code, text and JSON; metrics are on the port asked for."""
    async with open_deployment(tmp_path) as deployment:
        config = deployment.config(extra=f"[gateway.admin]\nport = {unused_port}\n")
        code, out, err = await deployment.command("status")
        assert (code, out) == (69, "")
        assert err.startswith("oc-trio: no gateway is running (asked at ")
        async with deployment.gateway(config) as gateway:
            await gateway.line(gateway.err, lambda line: "admin API" in line)
            code, out, _ = await deployment.command("status")
            assert code == 0
            assert "  default: live as @bot" in out.splitlines()
            assert "0 answers owed" in out
            code, out, _ = await deployment.command("status", "--json")
            assert json.loads(out)["ready"] is True
            assert (await deployment.command("status", "--account", "other"))[0] == 1
            socket = tmp_path / "state" / "oc-trio" / "admin.sock"
            assert stat.S_IMODE(socket.stat().st_mode) == 0o600
            await _probe(deployment, f"http://127.0.0.1:{unused_port}")
            assert await gateway.end(signal.SIGTERM) == 0
        assert not socket.exists()


async def _probe(deployment: Deployment, url: str) -> None:
    post = await deployment.alice.say("@bot hello")
    await deployment.alice.wait_answer(post, deployment.last_word)
    async with httpx.AsyncClient(base_url=url) as http:
        assert (await http.get("/readyz")).status_code == 200
        metrics = (await http.get("/metrics")).text
    assert 'oc_trio_ws_state{account="default",state="live"} 1.0' in metrics
    assert 'oc_trio_obligations_total{account="default",state="delivered"} 1.0' in metrics


async def test_doctor_beside_a_running_gateway(tmp_path: Path) -> None:
    """The gateway has the port, so it is asked to make Mattermost call; it goes on answering meanwhile."""
    async with open_deployment(tmp_path) as deployment:
        config = deployment.config(extra="[channels.mattermost.commands]\nnative = true\n")
        async with deployment.gateway(config) as gateway:
            await gateway.line(gateway.err, lambda line: "admin API" in line)
            code, out, err = await deployment.command("doctor", "--json")
            found = {row["code"]: row for row in json.loads(out)}
            assert {"slash.arrives", "button.arrives"} <= found.keys(), out + err
            assert code == 0
            post = await deployment.alice.say("@bot hello")
            await deployment.alice.wait_answer(post, deployment.last_word)
            assert await gateway.end(signal.SIGTERM) == 0


async def test_the_status_page(tmp_path: Path, unused_port: int) -> None:
    """`status --page` gives the way in; `sessions stop` ends an answer; an open page holds no stop up."""
    async with open_deployment(tmp_path, tokens=600, delay_ms=100.0) as deployment:
        config = deployment.config(extra=f"[gateway.admin]\nport = {unused_port}\n")
        async with deployment.gateway(config) as gateway:
            await gateway.line(gateway.err, lambda line: "admin API" in line)
            code, out, _ = await deployment.command("status", "--page", "--json")
            found = json.loads(out)
            assert (code, found["addresses"][1]) == (0, f"http://127.0.0.1:{unused_port}")
            assert f"token: {found['token']}" in (await deployment.command("status", "--page"))[1].splitlines()
            async with httpx.AsyncClient(base_url=found["addresses"][1]) as http, trio.open_nursery() as nursery:
                entered = await http.post("/login", data={"token": found["token"]}, follow_redirects=True)
                assert 'id="turns"' in entered.text
                nursery.start_soon(_watch, http)
                post = await deployment.alice.say("@bot hello")
                session = await _session(http)
                code, out, _ = await deployment.command("sessions", "stop", session)
                assert (code, out) == (0, f"Stopped: {session}")
                assert (await deployment.command("sessions", "stop", session))[0] == 1
                code, out, _ = await deployment.command("explain", post)
                assert "stopped" in out
                with trio.fail_after(10):
                    assert await gateway.end(signal.SIGTERM) == 0
                nursery.cancel_scope.cancel()
            assert found["token"] not in "".join(gateway.err)
        assert (await deployment.command("sessions", "stop", session))[0] == 69


async def _watch(http: httpx.AsyncClient) -> None:
    """Keep the page's events open until the gateway breaks them off."""
    with suppress(httpx.RemoteProtocolError):
        async with http.stream("GET", "/events", timeout=None) as events:
            async for _ in events.aiter_bytes():
                pass


async def _session(http: httpx.AsyncClient) -> str:
    """The conversation that is being answered, as the page has it."""
    with trio.fail_after(20):
        while True:
            page = (await http.get("/")).text
            _, found, rest = page.partition('name="session" value="')
            if found:
                return rest.partition('"')[0]
            await trio.sleep(0.2)


async def test_a_port_that_is_taken(tmp_path: Path) -> None:
    """The gateway answers people all the same, and says what it could not do."""
    async with open_deployment(tmp_path) as deployment:
        taken = deployment.base.rpartition(":")[2]
        async with deployment.gateway(deployment.config(extra=f"[gateway.admin]\nport = {taken}\n")) as gateway:
            await gateway.line(gateway.err, lambda line: f"the admin port 127.0.0.1:{taken} can't be used" in line)
            post = await deployment.alice.say("@bot hello")
            await deployment.alice.wait_answer(post, deployment.last_word)
