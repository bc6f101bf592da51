"""An operator brings slash commands, buttons, threads and a second agent to life, from a file that lacks their needs.

The chat server has another address than loopback, as on another machine. Each step is what the message before it says.
"""

import json
import re
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import pytest
from attrs import define, field
from click.testing import CliRunner

from oc_trio.cli.main import main
from oc_trio.core.netguard import Zone, classify
from tests.e2e.deployment import Child, Deployment, open_deployment

pytestmark = pytest.mark.e2e


def private_address() -> str:
    """An address of this machine on a network of its own; "" where it has none."""
    for family, elsewhere in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "fd00::ffff")):
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((elsewhere, 9))  # sends nothing: asks which address would be used
            except OSError:
                continue
            address: str = probe.getsockname()[0]
        if classify(ip_address(address)) in {Zone.PRIVATE, Zone.CARRIER_NAT}:
            return address
    return ""


ADDRESS = private_address()
HOST = f"[{ADDRESS}]" if ":" in ADDRESS else ADDRESS


@define(eq=False)
class Operator:
    """Edits `~/.openclaw/openclaw.json`, types commands and looks at the chat."""

    deployment: Deployment
    file: Path
    port: int
    settings: dict[str, Any] = field(factory=dict)

    @property
    def mattermost(self) -> dict[str, Any]:
        table: dict[str, Any] = self.settings["channels"]["mattermost"]
        return table

    def save(self) -> None:
        self.file.write_text(json.dumps(self.settings, indent=2))
        self.file.chmod(0o600)

    async def types(self, *words: str) -> tuple[int, str]:
        """Exit code, and all that is printed."""
        code, out, err = await self.deployment.command(*words, config=self.file)
        return code, out + err

    def checks(self) -> tuple[int, str]:
        """`oc-trio config check` after an edit."""
        self.save()
        done = CliRunner().invoke(main, ["config", "check", "--config", str(self.file)])
        return done.exit_code, done.output

    @asynccontextmanager
    async def gateway(self) -> AsyncIterator[Child]:
        self.save()
        async with self.deployment.gateway(self.file) as gateway:
            await gateway.line(gateway.err, lambda line: "slash commands registered" in line)
            yield gateway
            assert await gateway.end(signal.SIGTERM) == 0

    async def oc_status(self) -> str:
        """What Alice reads when she types `/oc_status` in the channel."""
        alice = self.deployment.alice
        body = {"command": "/oc_status", "channel_id": alice.channel_id}
        answer = (await alice.http.post("/commands/execute", json=body)).raise_for_status().json()
        if answer["text"] != "Processing...":
            return str(answer["text"])
        return await alice.wait_reply(lambda text: text.startswith("**oc_trio**"))


@pytest.mark.skipif(not ADDRESS, reason="this machine has no private address")
async def test_from_a_file_that_does_not_start_to_a_channel_that_works(tmp_path: Path, unused_port: int) -> None:
    """Each message names what is wrong, where, and what to write: following it leads to the next, and to the end."""
    async with open_deployment(tmp_path, tokens=3, host=ADDRESS) as deployment:
        operator = Operator(deployment, tmp_path / "openclaw.json", unused_port)
        operator.settings = {
            "gateway": {"port": unused_port},
            "channels": {
                "mattermost": {
                    "enabled": True,
                    "botToken": deployment.token,
                    "baseUrl": deployment.base,
                    "dmPolicy": "pairing",
                    "commands": {
                        "native": True,
                        "nativeSkills": True,
                        "callbackPath": "/api/channels/mattermost/command",
                        "callbackUrl": f"http://{HOST}:{unused_port}/api/channels/mattermost/command",
                    },
                }
            },
        }
        reaches_a_start(operator)
        await lets_mattermost_call(operator)
        await lets_people_in(operator)
        await answers_in_threads_as_another_agent(operator)


def reaches_a_start(operator: Operator) -> None:
    """A server on the own network, and a model."""
    code, output = operator.checks()
    assert code == 78
    assert "openclaw.json:9: channels.mattermost.baseUrl: Blocked hostname or private/internal/special-use" in output
    assert "set channels.mattermost.network.dangerouslyAllowPrivateNetwork to true" in output
    operator.mattermost["network"] = {"dangerouslyAllowPrivateNetwork": True}
    assert "agents.defaults.model: no model is configured" in output
    assert "oc-trio models list" in output
    provider = {
        "baseUrl": operator.deployment.model,
        "api": "openai-completions",
        "apiKey": "none",
        "models": ["words"],
    }
    operator.settings["models"] = {"providers": {"words": provider}}
    operator.settings["agents"] = {"defaults": {"model": "words/words"}}
    assert operator.checks()[0] == 0


async def lets_mattermost_call(operator: Operator) -> None:
    """The port is open where Mattermost calls, and buttons have an address that it can reach."""
    url = operator.mattermost["commands"]["callbackUrl"]
    _, output = operator.checks()
    assert re.search(r"openclaw.json:\d+: channels.mattermost.commands.callbackUrl: is this gateway's own port", output)
    listening = dict(re.findall(r'gateway\.(\w+) = "([^"]+)"', output))
    assert listening == ({"bind": "custom", "customBindHost": "::"} if ":" in ADDRESS else {"bind": "lan"})
    async with operator.gateway(), httpx.AsyncClient() as mattermost_host:
        with pytest.raises(httpx.ConnectError):
            await mattermost_host.get(url)
    operator.settings["gateway"].update(listening)
    async with operator.gateway() as gateway, httpx.AsyncClient() as mattermost_host:
        assert (await mattermost_host.get(url)).status_code == 405
        events = [event["event"] for event in gateway.events]
        assert any("slash commands registered" in event and f"callback={url}" in event for event in events)
        [unreachable] = [event for event in events if "interactions callbackUrl" in event]
        assert f"http://localhost:{operator.port}/mattermost/interactions/default (loopback)" in unreachable
        assert "set channels.mattermost.interactions.callbackBaseUrl to a URL reachable from" in unreachable
    clicks = operator.mattermost["interactions"] = {"callbackBaseUrl": url}
    _, output = operator.checks()
    assert "channels.mattermost.interactions.callbackBaseUrl: looks like the slash command URL" in output
    assert "write only scheme, host and port; the path is appended" in output
    clicks["callbackBaseUrl"] = f"http://{HOST}:{operator.port}"
    async with operator.gateway() as gateway:
        events = [event["event"] for event in gateway.events]
        [refusing] = [event for event in events if "interactions callbackUrl" in event]
        assert "channels.mattermost.interactions.allowedSourceIps is empty" in refusing
        assert "List the Mattermost server's address there" in refusing
    clicks["allowedSourceIps"] = ["<mattermost-server-or-proxy-ip>"]
    code, output = operator.checks()
    assert code == 78
    assert "interactions.allowedSourceIps[0]: must be an IP address or a range such as 10.0.0.0/8" in output
    clicks["allowedSourceIps"] = [ADDRESS]
    assert operator.checks()[0] == 0


async def lets_people_in(operator: Operator) -> None:
    """The list of people for channels: an id instead of a placeholder or a name."""
    alice = operator.deployment.alice
    async with operator.gateway():
        refused = await operator.oc_status()
    me = (await alice.http.get("/users/me")).raise_for_status().json()["id"]
    assert refused == (
        "Slash commands are not configured for this channel (no allowlist). "
        f"Ask the bot owner to add your Mattermost user id, {me}, to `groupAllowFrom`."
    )
    operator.mattermost.update(groupPolicy="allowlist", groupAllowFrom=["<your-mattermost-user-id>"])
    _, output = operator.checks()
    assert "channels.mattermost.groupAllowFrom[0]: is not a Mattermost user id (26 letters and digits)" in output
    assert 'oc-trio channels resolve "@NAME" prints the id' in output
    operator.mattermost["groupAllowFrom"] = ["alice"]
    _, output = operator.checks()
    command = re.findall(r'oc-trio (channels resolve) "(@alice)" prints the id', output)
    assert len(command) == 1, output
    _, output = await operator.types(*command[0][0].split(), command[0][1])
    user_id = re.findall(r"user:(\w+)", output)[0]
    assert user_id == me
    async with operator.gateway():
        assert "Unauthorized. Ask the bot owner to add your Mattermost user id" in await operator.oc_status()
        operator.mattermost["groupAllowFrom"] = [user_id]
        operator.save()
        assert (await operator.types("restart"))[0] == 0
        status = await operator.oc_status()
        assert "**oc_trio** as @bot, live" in status
        assert "agent: `main`" in status
        _, output = await operator.types("logs", "-n", "100")
        assert f"slash command /oc_status from alice in {alice.channel_id}" in output
        buttons = json.dumps([[{"text": "Yes", "callback_data": "yes"}]])
        code, _ = await operator.types("message", "send", "-t", "#town-square", "-m", "Sure?", "--buttons", buttons)
        assert code == 0
        page = (await alice.http.get(f"/channels/{alice.channel_id}/posts")).raise_for_status().json()
        [question] = [post for post in page["posts"].values() if post["message"] == "Sure?"]
        action = question["props"]["attachments"][0]["actions"][0]["id"]
        (await alice.http.post(f"/posts/{question['id']}/actions/{action}", json={})).raise_for_status()
        await alice.wait_reply(lambda text: operator.deployment.last_word in text)


async def answers_in_threads_as_another_agent(operator: Operator) -> None:
    """Threads of the channel belong to another agent; what a binding and a target need are ids."""
    alice, deployment = operator.deployment.alice, operator.deployment
    operator.mattermost["replyToMode"] = "all"
    match = {"channel": "mattermost", "accountId": "default"}
    peer = {"kind": "channel", "id": "#town-square"}
    operator.settings["bindings"] = [
        {"agentId": "agent2", "match": {**match, "peer": peer}},
        {"agentId": "main", "match": match},
    ]
    code, output = operator.checks()
    assert code == 78
    assert 'bindings[0].agentId: there is no agent "agent2" (there are: main)' in output
    operator.settings["agents"]["list"] = [{"id": "main", "default": True}, {"id": "agent2"}]
    code, output = operator.checks()
    assert code == 0
    assert "bindings[0].match.peer.id: is not a Mattermost channel id (26 letters and digits)" in output
    assert 'oc-trio channels resolve "#town-square" prints the id' in output
    _, output = await operator.types("channels", "resolve", "#town-square")
    peer["id"] = re.findall(r"channel:(\w+)", output)[0]
    code, output = operator.checks()
    assert "bindings" not in output
    code, output = await operator.types("message", "send", "--target", f"#{peer['id']}", "--message", "Hi")
    assert code == 1
    assert f"If that is an id, write channel:{peer['id']}" in output
    assert (await operator.types("message", "send", "--target", f"channel:{peer['id']}", "--message", "Hi"))[0] == 0
    # The id by Mattermost's own API, with the bot's token.
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {deployment.token}"}) as api:
        team = (await api.get(f"{deployment.base}/api/v4/teams/name/demo")).raise_for_status().json()["id"]
        town_square = f"{deployment.base}/api/v4/teams/{team}/channels/name/town-square"
        assert (await api.get(town_square)).raise_for_status().json()["id"] == peer["id"]
    async with operator.gateway():
        post = await alice.say("@bot hello")
        await alice.wait_answer(post, deployment.last_word)
        await alice.say("@bot /status", root_id=post)
        status = await alice.wait_reply(lambda text: "agent: `agent2`" in text)
        assert f":thread:{post}" in status
