"""A changed configuration in a running gateway."""

import math
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import evolve

from oc_trio.agent.scripted import Attach, Pause, Say
from oc_trio.callbacks.app import build_app
from oc_trio.config.document import Document
from oc_trio.config.load import Loaded, build, load
from oc_trio.core.turn_events import Button
from oc_trio.errors import ConfigError, Problem
from oc_trio.ids import AccountId
from oc_trio.runtime.process.gateway import Gateway
from oc_trio.runtime.process.placement import Changes, changes, plans
from oc_trio.runtime.process.reload import needs_start, rereader
from tests.logbook import Logbook
from tests.runtime.harness import Harness, merged

BASE: dict[str, Any] = {
    "channels": {"mattermost": {"baseUrl": "https://chat.example.com", "botToken": "token-of-default"}},
}
OTHER = {"baseUrl": "https://other.example.com", "botToken": "token-of-other"}


def loaded(*layers: Mapping[str, Any]) -> Loaded:
    values: Mapping[str, Any] = BASE
    for layer in layers:
        values = merged(values, layer)
    return build(Document(dict(values)), {})


def account(**keys: Any) -> dict[str, Any]:
    return {"channels": {"mattermost": keys}}


TWO = account(accounts={"default": {}, "other": OTHER})


def did(**names: tuple[str, ...]) -> Changes:
    return Changes(**{what: tuple(map(AccountId, accounts)) for what, accounts in names.items()})


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param({}, {}, did(keep=("default",)), id="nothing"),
        pytest.param({}, account(chatmode="onmessage"), did(restart=("default",)), id="a-setting"),
        pytest.param({}, account(botToken="another"), did(restart=("default",)), id="a-token"),
        pytest.param({}, TWO, did(start=("other",), keep=("default",)), id="one-more"),
        pytest.param(TWO, {}, did(stop=("other",), keep=("default",)), id="one-less"),
        pytest.param(
            TWO,
            merged(TWO, account(accounts={"other": {"chatmode": "onmessage"}})),
            did(restart=("other",), keep=("default",)),
            id="one-of-two",
        ),
        pytest.param(TWO, merged(TWO, {"session": {"dmScope": "main"}}), did(restart=("default", "other")), id="all"),
        pytest.param(
            TWO,
            merged(TWO, account(accounts={"other": {"enabled": False}})),
            did(stop=("other",), keep=("default",)),
            id="switched-off",
        ),
        pytest.param({}, {"logging": {"level": "debug"}}, did(keep=("default",)), id="logging"),
        pytest.param(
            {"agents": {"entries": {"main": {"identity": {"name": "Ada"}}}}},
            {"agents": {"entries": {"main": {"identity": {"name": "Ada"}, "systemPrompt": "x"}}}},
            did(keep=("default",)),
            id="a-prompt",
        ),
    ],
)
def test_changes(old: dict[str, Any], new: dict[str, Any], expected: Changes) -> None:
    """Only what differs is touched."""
    assert changes(plans(loaded(old)), plans(loaded(new))) == expected


def test_what_needs_a_start() -> None:
    """Listeners and the journal are opened once."""
    trusted = {"port": 4711, "drainSeconds": 7, "trustedProxies": ["127.0.0.1"]}
    new = loaded({"gateway": trusted, "metrics": {"path": "/m"}})
    assert needs_start(loaded().config, new.config) == ("gateway.port", "gateway.trustedProxies", "metrics")


async def get(gateway: Gateway, path: str) -> int:
    """The status of a GET at the public port, without its socket: real time would not go with the mock clock."""
    client: Any = build_app(gateway.port.registry, metrics=gateway.metrics).test_client()
    response = await client.get(path, scope_base={"client": ("127.0.0.1", 1)})
    return int(response.status_code)


async def deliver(gateway: Gateway, body: Mapping[str, str], token: str) -> int:
    """The status of a call of the hook that posts."""
    client: Any = build_app(gateway.port.registry, metrics=gateway.metrics).test_client()
    headers = {"Authorization": f"Bearer {token}"}
    response = await client.post(
        "/hooks/deliver", json=dict(body), headers=headers, scope_base={"client": ("127.0.0.1", 1)}
    )
    return int(response.status_code)


class TestRunningGateway:
    async def reloaded(self, harness: Harness, *layers: Mapping[str, Any], within: float = 5.0) -> None:
        """Reload with these changes, as SIGHUP does; a port is opened in a thread, without a limit."""
        assert harness.gateway is not None
        gateway, values = harness.gateway, harness.gateway.loaded.document.values
        for layer in layers:
            values = merged(values, layer)

        async def reread() -> Loaded:
            await trio.lowlevel.checkpoint()
            return build(Document(dict(values)), {})

        gateway.reread = reread
        with trio.move_on_after(within):
            await gateway.reload()
        await trio.sleep(5)

    async def test_a_setting_takes_effect_without_a_restart(self, harness: Harness) -> None:
        """The account comes back with its new rules; what was said meanwhile is answered."""
        harness.script = [Say("yes")]
        gateway = await harness.start()
        harness.say("anybody?")
        await harness.settled()
        assert harness.answers() == []
        await self.reloaded(harness, account(chatmode="onmessage"))
        harness.say("anybody now?")
        await harness.settled()
        assert harness.answers() == ["yes"]
        assert gateway.health.account(AccountId("default")).is_live

    async def test_scheduled_jobs_change_at_once(self, harness: Harness) -> None:
        """A new one runs, one that is gone does not, and the account stays connected."""
        job = {"expression": "* * * * *", "target": "#square"}
        await harness.start(cron={"jobs": {"old": {**job, "message": "old"}}})
        await trio.sleep(60)
        assert harness.answers() == ["old"]
        assert harness.gateway is not None
        values = {**harness.gateway.loaded.document.values, "cron": {"jobs": {"new": {**job, "message": "new"}}}}
        streams = len(harness.streams)

        async def reread() -> Loaded:
            await trio.lowlevel.checkpoint()
            return build(Document(values), {})

        harness.gateway.reread = reread
        await harness.gateway.reload()
        await trio.sleep(120)
        assert harness.answers() == ["old", "new", "new"]
        assert len(harness.streams) == streams

    async def test_an_unchanged_account_is_not_touched(self, harness: Harness) -> None:
        """Its connection stays, and the answer that is being written goes on."""
        harness.script = [Say("one", delay=0), Pause(20), Say(" two", delay=0)]
        await harness.start()
        harness.say("@helper count")
        await trio.sleep(2)
        sockets = len(harness.streams)
        await self.reloaded(harness, {"agents": {"defaults": {"systemPrompt": "Be brief."}}})
        await harness.settled()
        assert harness.answers() == ["one two"]
        assert len(harness.streams) == sockets
        harness.say("@helper again")
        await harness.settled()
        assert [request.system_prompt == "Be brief." for request in harness.agent.requests] == [False, True]

    async def test_a_changed_account_finishes_what_it_writes(self, harness: Harness) -> None:
        """The drain of the old rules lets running answers end before the new ones begin."""
        harness.script = [Say("one", delay=0), Pause(4), Say(" two", delay=0)]
        await harness.start()
        harness.say("@helper count")
        await trio.sleep(2)
        await self.reloaded(harness, account(chatmode="onmessage"))
        await harness.settled()
        assert harness.answers() == ["one two"]
        assert harness.agent.cancelled == 0

    async def test_an_invalid_file_changes_nothing(self, harness: Harness, logbook: Logbook) -> None:
        """Every problem is logged, and the old rules hold on."""
        harness.script = [Say("yes")]
        gateway = await harness.start()
        before = gateway.loaded
        await self.reloaded(harness, account(chatmode="onmessage", dmPolicy="sometimes", historyLimit=-1))
        assert gateway.loaded is before
        problems = [line["problem"] for line in logbook.find("the configuration is not used")]
        assert [problem.split(":")[0] for problem in problems] == [
            "channels.mattermost.historyLimit",
            "channels.mattermost.dmPolicy",
        ]
        harness.say("anybody?")
        harness.say("@helper hi")
        await harness.settled()
        assert harness.answers() == ["yes"]

    async def test_what_came_of_it_is_in_the_status(self, harness: Harness, logbook: Logbook) -> None:
        """Keys without values, accounts, and the problems of a refused file, which change nothing else."""
        gateway = await harness.start()
        secret = {"chatmode": "onmessage", "botToken": harness.bot.token, "historyLimit": 7}
        await self.reloaded(harness, account(**secret))
        done = gateway.health.reload
        assert (done.begun, done.ended, done.problems) == (1, 1, ())
        assert done.changed == ("channels.mattermost.chatmode", "channels.mattermost.historyLimit")
        assert (done.restarted, done.kept) == (("default",), ())
        await self.reloaded(harness, account(dmPolicy="sometimes"))
        refused = gateway.health.reload
        assert (refused.begun, refused.ended, refused.changed) == (2, 2, ())
        assert [problem.split(":")[0] for problem in refused.problems] == ["channels.mattermost.dmPolicy"]
        logbook.find("the configuration is not used")

    async def test_callbacks_that_are_switched_on_open_the_port(self, harness: Harness, logbook: Logbook) -> None:
        """At a start without any there is no port; SIGHUP opens it, and commands are registered."""
        harness.team.roles[harness.bot.id] = "team_user team_admin"
        gateway = await harness.start(gateway={"port": 0})
        assert gateway.port.url == ""
        callbacks = account(commands={"native": True}, capabilities=["inlineButtons"])
        await self.reloaded(harness, callbacks, within=math.inf)
        (line,) = logbook.find("public port")
        assert line["at"] == gateway.port.url == gateway.health.listener.url
        (line,) = logbook.find("callbacks")
        assert line["clicks"] == f"http://localhost:{gateway.port.bound}/mattermost/interactions/default"
        commands = harness.world.commands.of_team(harness.team.id)
        assert {command.url for command in commands} == {line["commands"]}
        for path in ("/api/channels/mattermost/command", "/mattermost/interactions/default"):
            assert await get(gateway, path) == 405

    async def test_another_account_gets_its_paths(self, harness: Harness) -> None:
        """An account that SIGHUP adds is called back, too."""
        gateway = await harness.start({"capabilities": ["inlineButtons"]}, gateway={"port": 0})
        path = "/mattermost/interactions/"
        other = {"botToken": harness.world.create_bot("other", team=harness.team).token}
        assert await get(gateway, path + "other") == 404
        await self.reloaded(harness, account(accounts={"default": {}, "other": other}))
        assert await get(gateway, path + "other") == 405

    async def test_hooks_that_are_switched_on_are_taken(self, harness: Harness) -> None:
        """With their token, and with another one after the next SIGHUP."""
        harness.script = [Say("built")]
        gateway = await harness.start(gateway={"port": 0})
        for token in ("first-" * 6, "second-" * 6):
            await self.reloaded(harness, {"hooks": {"enabled": True, "token": token}}, within=math.inf)
            body = {"text": f"by {token}", "to": f"channel:{harness.square.id}"}
            assert await deliver(gateway, body, "wrong") == 401
            assert await deliver(gateway, body, token) == 202
        await harness.until(lambda: len(harness.answers()) == 2)

    async def test_a_port_that_is_taken_at_a_reload(self, harness: Harness, logbook: Logbook) -> None:
        """It is an error in the log and in the status; answers go on, with what would be buttons in words."""
        harness.script = [Say("yes"), Attach(buttons=((Button("A", "a"),),))]
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            gateway = await harness.start(gateway={"port": taken.getsockname()[1], "bind": "loopback"})
            await self.reloaded(harness, account(capabilities=["inlineButtons"]), within=math.inf)
        assert len(logbook.find("no public port")) == 1
        assert "can't listen on 127.0.0.1" in gateway.health.listener.error
        harness.say("@helper hi")
        await harness.settled()
        (post,) = harness.ours()
        assert (post.message, "attachments" in post.props) == ("yes\n\n- A", False)

    async def test_agents_that_cannot_be_built_change_nothing(self, harness: Harness, logbook: Logbook) -> None:
        """A model that is gone from the file keeps the old file in effect."""
        gateway = await harness.start()
        before = gateway.loaded

        async def reread() -> Loaded:
            await trio.lowlevel.checkpoint()
            raise ConfigError(Problem("models", "gone"))

        gateway.reread = reread
        assert await gateway.reload() is None
        gateway.reread = self._without_models(before)
        assert await gateway.reload() is None
        assert gateway.loaded is before
        assert len(logbook.find("the configuration is not used")) == 2

    def _without_models(self, before: Loaded) -> Any:
        values = {key: value for key, value in before.document.values.items() if key not in ("models", "agents")}

        async def reread() -> Loaded:
            await trio.lowlevel.checkpoint()
            return build(Document(values), {})

        return reread

    async def test_a_stop_during_a_reload_ends_everything(self, harness: Harness) -> None:
        """The account that a reload is draining is not started again."""
        harness.script = [Say("one", delay=0), Pause(20), Say(" two", delay=0)]
        gateway = await harness.start(gateway={"drainSeconds": 60})
        harness.say("@helper count")
        await trio.sleep(2)
        await self.reloaded(harness, account(chatmode="onmessage"))
        with trio.fail_after(60):
            await harness.stop()
        assert harness.answers() == ["one two"]
        assert gateway.health.phase == "stopped"

    async def test_a_new_secret_is_left_out_of_the_logs(self, harness: Harness) -> None:
        """The redactor learns what the new file holds."""
        gateway = await harness.start()
        keyed = {"models": {"providers": {"double": {"apiKey": "a-very-new-key"}}}}
        await self.reloaded(harness, keyed)
        assert gateway.redactor.clean("with a-very-new-key inside") != "with a-very-new-key inside"


async def test_the_file_is_read_again(tmp_path: Path) -> None:
    """The default way reads the same path, in a thread, and refuses what is wrong with it."""
    path = tmp_path / "oc-trio.toml"
    text = '[channels.mattermost]\nbaseUrl = "https://chat.example.com"\nbotToken = "token-of-default"\n'
    path.write_text(text)
    first = load(str(path), {})
    reread = rereader(first, {})
    path.write_text(text + 'chatmode = "onmessage"\n')
    assert (await reread()).accounts[AccountId("default")].gating.chatmode.value == "onmessage"
    path.write_text(text + 'chatmood = "onmessage"\n')
    with pytest.raises(ConfigError, match="chatmood"):
        await reread()
    assert evolve(first) == first
