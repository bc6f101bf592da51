"""`oc-trio commands` against a sandbox on a real socket."""

import json
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import define
from click.testing import CliRunner

from oc_trio.cli.commands import command
from oc_trio.sandbox.serve import serve
from oc_trio.sandbox.world import World

URL = "http://localhost:18789/api/channels/mattermost/command"


@define(eq=False)
class Server:
    """A sandbox in a thread, with commands of ours and of somebody else's."""

    config: Path

    def run(self, *arguments: str) -> Any:
        return CliRunner().invoke(command, [*arguments, "--config", str(self.config)])

    def triggers(self) -> list[tuple[str, bool]]:
        rows = json.loads(self.run("list", "--json").stdout)["commands"]
        return sorted((row["trigger"], row["ours"]) for row in rows)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    world = World(rng=random.Random(7))
    alice = world.create_user("alice", "Passw0rd!x")
    team = world.create_team("town", alice)
    bot = world.create_bot("helper", team=team, admin=True)
    base = {"team_id": team.id, "method": "P", "url": URL, "display_name": "oc_trio"}
    for trigger in ("oc_status", "oc_forgotten"):
        world.commands.create(world.users.get(bot.id), {**base, "trigger": trigger})
    world.commands.create(alice, {**base, "trigger": "oc_alices", "url": "http://other.test/"})
    urls: list[str] = []
    bound, stop = threading.Event(), trio.Event()
    tokens: list[trio.lowlevel.TrioToken] = []

    async def main() -> None:
        tokens.append(trio.lowlevel.current_trio_token())
        async with trio.open_nursery() as nursery:

            async def run(*, task_status: trio.TaskStatus[str]) -> None:
                await serve(world, task_status=task_status)

            urls.append(await nursery.start(run))
            bound.set()
            await stop.wait()
            nursery.cancel_scope.cancel()

    thread = threading.Thread(target=trio.run, args=(main,))
    thread.start()
    assert bound.wait(10)
    config = tmp_path / "oc-trio.toml"
    config.write_text(
        f'[channels.mattermost]\nbaseUrl = "{urls[0]}"\nbotToken = "{bot.token}"\n'
        "network = { dangerouslyAllowPrivateNetwork = true }\ncommands = { native = true }\n"
    )
    yield Server(config)
    tokens[0].run_sync_soon(stop.set)
    thread.join(10)


def test_commands_are_listed_with_their_owners(server: Server) -> None:
    """Ours in use, ours left behind and foreign ones are told apart."""
    lines = server.run("list").stdout.splitlines()
    assert sorted(line.split("  ")[1:3] for line in lines) == [
        ["/oc_alices", "somebody else's"],
        ["/oc_forgotten", "ours, left behind"],
        ["/oc_status", "ours"],
    ]


def test_prune_removes_what_was_left_behind(server: Server) -> None:
    """What is in use and what is foreign stays."""
    result = server.run("prune")
    assert (result.exit_code, result.stdout) == (0, "removed town /oc_forgotten\n"), result.output
    assert server.triggers() == [("oc_alices", False), ("oc_status", True)]
    assert server.run("prune").stdout == "Nothing was left behind.\n"


def test_prune_all_removes_everything_of_ours(server: Server) -> None:
    """Before a bot is taken away, its commands go too."""
    assert server.run("prune", "--all").exit_code == 0
    assert server.triggers() == [("oc_alices", False)]


def test_an_unknown_account_is_told(server: Server) -> None:
    """One line on standard error and the documented exit code."""
    result = server.run("list", "--account", "nobody")
    assert (result.exit_code, "There is no usable account nobody" in result.stderr) == (78, True)


def test_a_server_that_is_away_is_told(tmp_path: Path) -> None:
    """No traceback when nobody listens."""
    config = tmp_path / "oc-trio.toml"
    config.write_text(
        '[channels.mattermost]\nbaseUrl = "http://127.0.0.1:9"\nbotToken = "abcdefghijklmnop"\n'
        "network = { dangerouslyAllowPrivateNetwork = true }\n"
    )
    result = CliRunner().invoke(command, ["list", "--config", str(config)])
    assert (result.exit_code, "can't be asked" in result.stderr) == (69, True), result.output
