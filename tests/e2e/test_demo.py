"""`oc-trio demo` as a process: a real model endpoint, its port, and what is left when it ends."""

import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from oc_trio.sandbox.demo import PASSWORD
from tests.e2e.deployment import Child, Person, spawn

pytestmark = pytest.mark.e2e


@asynccontextmanager
async def demo(folder: Path, *words: str) -> AsyncIterator[tuple[Child, str]]:
    """The demo with its temporary files in `folder`, and its URL."""
    async with spawn("oc_trio", "demo", *words, env={"TMPDIR": str(folder)}) as child:
        line = await child.line(child.out, lambda line: line.startswith("oc_trio demo: "))
        yield child, line.removeprefix("oc_trio demo: ")


def left_in(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()]


async def log_in(http: httpx.AsyncClient, url: str) -> Person:
    """Alice, in her direct channel with the bot."""
    http.base_url = httpx.URL(f"{url}/api/v4")
    login = await http.post("/users/login", json={"login_id": "alice", "password": PASSWORD})
    http.headers["Authorization"] = f"Bearer {login.raise_for_status().headers['Token']}"
    bot = (await http.get("/users/username/bot")).raise_for_status().json()
    return await Person(http, bot["id"], "").direct()


async def test_a_model_endpoint_answers(tmp_path: Path) -> None:
    """With --model-url the answers are that model's; Ctrl-C ends everything and leaves nothing behind."""
    model_command = ("oc_trio.sandbox.model_server", "--tokens", "12", "--delay-ms", "5")
    async with spawn(*model_command) as model, httpx.AsyncClient(timeout=30) as http:
        endpoint = await model.line(model.out, lambda line: line.startswith("http"))
        async with demo(tmp_path, "--port", "0", "--model-url", endpoint, "--model", "words") as (child, url):
            alice = await log_in(http, url)
            await alice.say("hello")
            await alice.wait_reply(lambda text: text.endswith("word12"))
            assert left_in(tmp_path)[0].startswith("oc-trio-demo-")
            assert await child.end(signal.SIGINT) == 0
        stats = (await http.get(f"{endpoint}/stats".replace("/v1", ""))).json()
    assert (stats["served"], stats["open"]) == (1, 0)
    assert left_in(tmp_path) == []
    assert child.err == []


async def test_a_model_out_of_reach_is_said_in_the_chat(tmp_path: Path, unused_port: int) -> None:
    """The demo starts all the same; whoever writes is told, in a sentence."""
    words = ("--port", "0", "--model-url", f"http://127.0.0.1:{unused_port}/v1", "--model", "m")
    async with demo(tmp_path, *words) as (child, url), httpx.AsyncClient(timeout=30) as http:
        alice = await log_in(http, url)
        await alice.say("hello")
        reply = await alice.wait_reply(lambda text: "model" in text)
        assert "Traceback" not in reply
        assert await child.end(signal.SIGINT) == 0
    assert "Traceback" not in "".join(child.err)


async def test_the_port_that_was_asked_for(tmp_path: Path) -> None:
    """A port that was asked for is never replaced: one line, exit code 1."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        async with spawn("oc_trio", "demo", "--port", port, env={"TMPDIR": str(tmp_path)}) as child:
            assert await child.end() == 1
    assert child.err == [f"Error: cannot listen on 127.0.0.1:{port}: Address already in use"]
    assert left_in(tmp_path) == []


async def test_the_default_port_may_be_replaced(tmp_path: Path) -> None:
    """Where the default is taken a free one is used, and said so."""
    with socket.socket() as taken:
        try:
            taken.bind(("127.0.0.1", 8065))
            taken.listen()
        except OSError:
            pass  # somebody else has it, which does as well
        async with demo(tmp_path) as (child, url):
            assert not url.endswith(":8065")
            assert child.err == ["port 8065 is taken, using a free one"]
            assert await child.end(signal.SIGTERM) == 0


@pytest.mark.parametrize("words", [("--model", "m"), ("--model-url", "http://x/v1")], ids=["model", "url"])
async def test_half_a_model(words: tuple[str, str]) -> None:
    """The endpoint and the model's name belong together."""
    async with spawn("oc_trio", "demo", *words) as child:
        assert await child.end() == 2
    assert child.err[-1] == "Error: --model-url and --model belong together."
