"""`oc-trio status` and the admin API of a running gateway."""

import json
import signal
import stat
from pathlib import Path

import httpx
import pytest

from tests.e2e.stand import Stand, open_stand

pytestmark = pytest.mark.e2e


async def test_status_of_a_running_gateway(tmp_path: Path, unused_port: int) -> None:
    """Who is live is told by exit code, text and JSON; metrics are on the port asked for."""
    async with open_stand(tmp_path) as stand:
        config = stand.config(extra=f"[gateway.admin]\nport = {unused_port}\n")
        code, out, err = await stand.command("status")
        assert (code, out) == (69, "")
        assert err.startswith("oc-trio: no gateway is running (asked at ")
        async with stand.gateway(config) as gateway:
            await gateway.line(gateway.err, lambda line: "admin API" in line)
            code, out, _ = await stand.command("status")
            assert code == 0
            assert "  default: live as @bot" in out.splitlines()
            assert "0 answers owed" in out
            code, out, _ = await stand.command("status", "--json")
            assert json.loads(out)["ready"] is True
            assert (await stand.command("status", "--account", "other"))[0] == 1
            socket = tmp_path / "state" / "oc-trio" / "admin.sock"
            assert stat.S_IMODE(socket.stat().st_mode) == 0o600
            await _probe(stand, f"http://127.0.0.1:{unused_port}")
            assert await gateway.end(signal.SIGTERM) == 0
        assert not socket.exists()


async def _probe(stand: Stand, url: str) -> None:
    post = await stand.alice.say("@bot hello")
    await stand.alice.wait_answer(post, stand.last_word)
    async with httpx.AsyncClient(base_url=url) as http:
        assert (await http.get("/readyz")).status_code == 200
        metrics = (await http.get("/metrics")).text
    assert 'oc_trio_ws_state{account="default",state="live"} 1.0' in metrics
    assert 'oc_trio_obligations_total{account="default",state="delivered"} 1.0' in metrics


async def test_doctor_beside_a_running_gateway(tmp_path: Path) -> None:
    """The gateway has the port, so it is asked to make Mattermost call; it goes on answering meanwhile."""
    async with open_stand(tmp_path) as stand:
        config = stand.config(extra="[channels.mattermost.commands]\nnative = true\n")
        async with stand.gateway(config) as gateway:
            await gateway.line(gateway.err, lambda line: "admin API" in line)
            code, out, err = await stand.command("doctor", "--json")
            found = {row["code"]: row for row in json.loads(out)}
            assert {"slash.arrives", "button.arrives"} <= found.keys(), out + err
            assert code == 0
            post = await stand.alice.say("@bot hello")
            await stand.alice.wait_answer(post, stand.last_word)
            assert await gateway.end(signal.SIGTERM) == 0


async def test_a_port_that_is_taken(tmp_path: Path) -> None:
    """The gateway answers people all the same, and says what it could not do."""
    async with open_stand(tmp_path) as stand:
        taken = stand.base.rpartition(":")[2]
        async with stand.gateway(stand.config(extra=f"[gateway.admin]\nport = {taken}\n")) as gateway:
            await gateway.line(gateway.err, lambda line: f"the admin port 127.0.0.1:{taken} can't be used" in line)
            post = await stand.alice.say("@bot hello")
            await stand.alice.wait_answer(post, stand.last_word)
