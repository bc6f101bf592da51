"""Real processes on loopback: sandbox, model server, gateway; and a person who writes and reads over REST."""

import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import trio
from attrs import define, field, frozen

from oc_trio.sandbox.demo import PASSWORD
from tests.e2e.fork_server import ForkedProcess, start_program

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60.0

CONFIG = """
[channels.mattermost]
baseUrl = "{base}"
groupPolicy = "open"
replyToMode = "all"
network.dangerouslyAllowPrivateNetwork = true

[models.providers.words]
api = "openai-completions"
baseUrl = "{model}"
apiKey = "none"
models = ["words"]

[agents.defaults]
model = "words/words"

[gateway]
port = 0
drainSeconds = {drain}
"""


@define(eq=False)
class Child:
    """A process whose lines are kept; `out` and `err` grow while it runs."""

    process: ForkedProcess
    out: list[str] = field(factory=list)
    err: list[str] = field(factory=list)
    _news: trio.Event = field(factory=trio.Event)

    async def collect(self, stream: trio.abc.ReceiveStream, lines: list[str]) -> None:
        rest = b""
        async for chunk in stream:
            *whole, rest = (rest + chunk).split(b"\n")
            lines.extend(line.decode() for line in whole)
            self._news.set()
            self._news = trio.Event()

    async def line(self, lines: list[str], is_wanted: Callable[[str], bool]) -> str:
        """The first line that is `found`; fails the test when none comes."""
        await trio.lowlevel.checkpoint()
        with trio.move_on_after(START_SECONDS):
            while True:
                hit = next((line for line in lines if is_wanted(line)), None)
                if hit is not None:
                    return hit
                await self._news.wait()
        raise AssertionError("the line did not come; there was:\n" + "\n".join(self.err[-20:] or self.out[-20:]))

    async def end(self, number: signal.Signals | None = None) -> int:
        """Send `number`, if any, and return the exit code."""
        if number is not None:
            self.process.send_signal(number)
        with trio.fail_after(START_SECONDS):
            return await self.process.wait()

    @property
    def events(self) -> list[dict[str, Any]]:
        """The log lines, as they are written."""
        return [json.loads(line) for line in self.err if line.startswith("{")]


@asynccontextmanager
async def spawn(*command: str, env: dict[str, str] | None = None) -> AsyncIterator[Child]:
    """Run a module of ours with a small environment of its own; what is left of it is killed."""
    bare = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": "/nonexistent", "LANG": "C.UTF-8"}
    process = start_program(*command, env={**bare, **(env or {})})
    child = Child(process)
    assert process.stdout is not None
    assert process.stderr is not None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(child.collect, process.stdout, child.out)
        nursery.start_soon(child.collect, process.stderr, child.err)
        try:
            yield child
        finally:
            if process.returncode is None:
                process.kill()
            with trio.move_on_after(5, shield=True):
                await process.wait()
        # The readers end with the process's streams; nothing it said is lost.


@frozen
class Person:
    """Somebody at the chat server, by REST."""

    http: httpx.AsyncClient
    bot_id: str
    channel_id: str

    async def say(self, text: str, *, root_id: str = "") -> str:
        """The new post's id."""
        body = {"channel_id": self.channel_id, "message": text, "root_id": root_id}
        answer = await self.http.post("/posts", json=body)
        return str(answer.raise_for_status().json()["id"])

    async def direct(self) -> "Person":
        """The same person, in the direct channel with the bot."""
        me = (await self.http.get("/users/me")).raise_for_status().json()["id"]
        channel = (await self.http.post("/channels/direct", json=[me, self.bot_id])).raise_for_status().json()
        return Person(self.http, self.bot_id, channel["id"])

    async def wait_reply(self, is_wanted: Callable[[str], bool]) -> str:
        """The bot's first post in this channel whose text is `found`, as soon as there is one."""
        texts: list[str] = []
        with trio.move_on_after(START_SECONDS):
            while True:
                page = (await self.http.get(f"/channels/{self.channel_id}/posts")).raise_for_status().json()
                posts = sorted(page["posts"].values(), key=lambda post: post["create_at"])
                texts = [post["message"] for post in posts if post["user_id"] == self.bot_id]
                hit = next((text for text in texts if is_wanted(text)), None)
                if hit is not None:
                    return hit
                await trio.sleep(0.05)
        raise AssertionError(f"the bot did not say that; it said {texts}")

    async def answers(self, root_id: str) -> list[dict[str, Any]]:
        """The bot's posts in that thread, oldest first."""
        page = (await self.http.get(f"/posts/{root_id}/thread")).raise_for_status().json()
        posts = sorted(page["posts"].values(), key=lambda post: post["create_at"])
        return [post for post in posts if post["user_id"] == self.bot_id]

    async def wait_draft(self, root_id: str) -> dict[str, Any]:
        """The bot's first post in that thread, as soon as there is one."""
        with trio.fail_after(START_SECONDS):
            while not (is_wanted := await self.answers(root_id)):  # noqa: ASYNC110 - the chat server is another process
                await trio.sleep(0.05)
        return is_wanted[0]

    async def wait_answer(self, root_id: str, last_word: str, *, seconds: float = 60.0) -> dict[str, Any]:
        """The bot's only post in that thread once it holds `last_word`."""
        is_wanted: list[dict[str, Any]] = []
        with trio.move_on_after(seconds):
            while True:
                is_wanted = await self.answers(root_id)
                if is_wanted and last_word in is_wanted[-1]["message"].split():
                    break
                await trio.sleep(0.05)
        assert [last_word in post["message"].split() for post in is_wanted] == [True], [
            post["message"] for post in is_wanted
        ]
        return is_wanted[0]


@frozen
class Deployment:
    """A running sandbox and model server, and what a gateway needs to join them. `folder` holds its state."""

    base: str
    model: str
    token: str
    last_word: str
    alice: Person
    folder: Path

    def config(self, *, base: str | None = None, drain: float = 5.0, extra: str = "") -> Path:
        path = self.folder / "oc-trio.toml"
        path.write_text(CONFIG.format(base=base or self.base, model=self.model, drain=drain) + extra)
        return path

    @asynccontextmanager
    async def gateway(
        self, config: Path, *, live: bool = True, token: str = "", env: dict[str, str] | None = None
    ) -> AsyncIterator[Child]:
        """`oc-trio run`, live already unless told otherwise."""
        own = {"MATTERMOST_BOT_TOKEN": token or self.token, "XDG_STATE_HOME": str(self.folder / "state")}
        env = {**own, **(env or {})}
        async with spawn("oc_trio", "run", "--config", str(config), env=env) as child:
            if live:
                await child.line(child.err, lambda line: "connected as @bot" in line)
            yield child

    async def command(self, *words: str, config: Path | None = None) -> tuple[int, str, str]:
        """Run `oc-trio` beside the gateway: exit code, standard output, standard error."""
        env = {"MATTERMOST_BOT_TOKEN": self.token, "XDG_STATE_HOME": str(self.folder / "state")}
        named = ("--config", str(config or self.folder / "oc-trio.toml"))
        async with spawn("oc_trio", *words, *named, env=env) as child:
            code = await child.end()
        return code, "\n".join(child.out), "\n".join(child.err)


@asynccontextmanager
async def open_deployment(
    folder: Path, *, tokens: int = 20, delay_ms: float = 10.0, host: str = "127.0.0.1"
) -> AsyncIterator[Deployment]:
    """Answers have `tokens` words, `delay_ms` apart; the chat server listens on `host`."""
    model_command = ("--tokens", str(tokens), "--delay-ms", str(delay_ms))
    async with (
        spawn("oc_trio", "sandbox", "--host", host, "--port", "0", "--json") as sandbox,
        spawn("oc_trio.sandbox.model_server", "--port", "0", *model_command) as model,
        httpx.AsyncClient(timeout=30) as http,
    ):
        started = json.loads(await sandbox.line(sandbox.out, lambda line: line.startswith("{")))
        model_url = await model.line(model.out, lambda line: line.startswith("http"))
        http.base_url = httpx.URL(f"{started['url']}/api/v4")
        login = await http.post("/users/login", json={"login_id": "alice", "password": PASSWORD})
        http.headers["Authorization"] = f"Bearer {login.raise_for_status().headers['Token']}"
        channel = (await http.get("/teams/name/demo/channels/name/town-square")).raise_for_status().json()
        alice = Person(http, started["bot_id"], channel["id"])
        yield Deployment(started["url"], model_url, started["bot_token"], f"word{tokens}", alice, folder)
