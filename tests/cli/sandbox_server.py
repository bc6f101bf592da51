"""A chat server on loopback for tests of commands, in a thread of its own, as a command has its own event loop."""

import json
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import trio
from attrs import define
from click.testing import CliRunner, Result

from oc_trio.cli.main import main
from oc_trio.sandbox.demo import Demo, seed
from oc_trio.sandbox.serve import serve
from oc_trio.sandbox.settings import Settings
from oc_trio.sandbox.world import World

T = TypeVar("T")

BUTTONS = 'capabilities = ["inlineButtons"]\n'
# What a start wants at least of models.
MODEL = '[models.providers.test]\napi = "scripted"\nmodels = ["test"]\n'


@define(eq=False)
class Server:
    """The demo's world at `url`, and a configuration file for it."""

    world: World
    demo: Demo
    url: str
    config: Path
    token: trio.lowlevel.TrioToken
    has_buttons: bool = True  # whether configurations ask for them, which opens the gateway's port

    def run(self, *args: str, stdin: str | None = None) -> Result:
        """`oc-trio ARGS --config FILE`."""
        env = {"STATE_DIRECTORY": str(self.config.parent / "state")}
        return CliRunner().invoke(main, [*args, "--config", str(self.config)], input=stdin, env=env)

    def do(self, function: Callable[[], T]) -> T:
        """Call `function` where the server runs: what it changes is told to connected clients."""
        return trio.from_thread.run_sync(function, trio_token=self.token)

    def json(self, *args: str, code: int = 0, stdin: str | None = None) -> Any:
        """What the command prints with `--json`; its exit code must be `code`."""
        result = self.run(*args, "--json", stdin=stdin)
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)

    def texts(self, channel: Any = None) -> list[str]:
        return [entry.message for entry in self.world.transcript(channel or self.demo.town_square)]

    def write_config(self, extra: str = "", **accounts: str) -> None:
        """The default account `demo`, with further accounts by token, and further TOML."""
        more = "".join(
            f'[channels.mattermost.accounts.{name}]\nbotToken = "{token}"\n' for name, token in accounts.items()
        )
        self.config.write_text(
            f'[channels.mattermost]\nbaseUrl = "{self.url}"\nbotToken = "{self.demo.bot.token}"\n'
            f"{BUTTONS if self.has_buttons else ''}"
            f"[channels.mattermost.network]\ndangerouslyAllowPrivateNetwork = true\n{more}{extra}"
        )


@contextmanager
def a_server(folder: Path, settings: Settings | None = None) -> Generator[Server, None, None]:
    """Serve until the block ends."""
    world = World(settings=settings)
    demo = seed(world)
    ready, running = threading.Event(), dict[str, Any]()

    async def serve_until_told() -> None:
        async with trio.open_nursery() as nursery:
            running["url"] = await nursery.start(partial(serve, world))
            running["token"], running["scope"] = trio.lowlevel.current_trio_token(), nursery.cancel_scope
            ready.set()

    thread = threading.Thread(target=trio.run, args=(serve_until_told,))
    thread.start()
    try:
        assert ready.wait(20)
        server = Server(world, demo, running["url"], folder / "oc-trio.toml", running["token"])
        server.write_config()
        yield server
    finally:
        running["token"].run_sync_soon(running["scope"].cancel)
        thread.join(20)
