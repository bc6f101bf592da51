"""`oc-trio run` as a process: it answers, stops in good order, and says in one line why it can't start."""

import os
import signal
from pathlib import Path

import pytest
import trio

from oc_trio.runtime.process.locations import JOURNAL
from tests.e2e.deployment import Child, open_deployment, spawn

pytestmark = pytest.mark.e2e


def complaints(child: Child) -> list[str]:
    """What a person reads: not the log. A traceback would be here, or in the log as `exception`."""
    assert not any("exception" in event for event in child.events)
    assert "Traceback" not in "".join(child.err)
    return [line for line in child.err if not line.startswith("{")]


async def test_a_mention_is_answered(tmp_path: Path) -> None:
    """The answer is one post in the thread of the mention; SIGTERM then ends the gateway with exit code 0."""
    async with open_deployment(tmp_path) as deployment, deployment.gateway(deployment.config()) as gateway:
        post = await deployment.alice.say("@bot hello")
        answer = await deployment.alice.wait_answer(post, deployment.last_word)
        assert answer["message"].startswith("word1 word2")
        assert await gateway.end(signal.SIGTERM) == 0
        assert complaints(gateway) == []
        assert "turn ended" in [event["event"] for event in gateway.events]
        assert gateway.out == []


async def test_a_drain_lets_answers_end(tmp_path: Path) -> None:
    """What is being answered when SIGTERM comes is answered before the process ends."""
    async with open_deployment(tmp_path, tokens=20, delay_ms=100) as deployment:
        async with deployment.gateway(deployment.config()) as gateway:
            post = await deployment.alice.say("@bot hello")
            await deployment.alice.wait_draft(post)
            assert await gateway.end(signal.SIGTERM) == 0
        assert complaints(gateway) == []
        await deployment.alice.wait_answer(post, deployment.last_word, seconds=1)


async def test_a_short_drain_marks_the_rest(tmp_path: Path) -> None:
    """An answer beyond the drain's budget is marked as interrupted, and goes on in the same post at the next start."""
    async with open_deployment(tmp_path, tokens=30, delay_ms=100) as deployment:
        config = deployment.config(drain=0.2)
        async with deployment.gateway(config) as gateway:
            post = await deployment.alice.say("@bot hello")
            await deployment.alice.wait_draft(post)
            assert await gateway.end(signal.SIGTERM) == 0
        assert complaints(gateway) == []
        (draft,) = await deployment.alice.answers(post)
        assert "interrupted" in draft["message"]
        async with deployment.gateway(config):
            answer = await deployment.alice.wait_answer(post, deployment.last_word)
        assert answer["id"] == draft["id"]
        assert "interrupted" not in answer["message"]


async def test_two_signals_end_it_at_once(tmp_path: Path) -> None:
    """A second signal doesn't wait for answers; nothing is lost by it."""
    async with open_deployment(tmp_path, tokens=30, delay_ms=100) as deployment:
        config = deployment.config(drain=60)
        async with deployment.gateway(config) as gateway:
            post = await deployment.alice.say("@bot hello")
            await deployment.alice.wait_draft(post)
            gateway.process.send_signal(signal.SIGTERM)
            await gateway.line(gateway.err, lambda line: "stopping" in line)
            began = trio.current_time()
            await gateway.end(signal.SIGINT)
            assert trio.current_time() - began < 12
        assert complaints(gateway) == []
        async with deployment.gateway(config):
            await deployment.alice.wait_answer(post, deployment.last_word)


async def test_a_refused_token(tmp_path: Path) -> None:
    """Exit code 77, one line that names the server and the account, and not the token."""
    async with (
        open_deployment(tmp_path) as deployment,
        deployment.gateway(deployment.config(), live=False, token="wrong-token-12345") as gateway,
    ):
        assert await gateway.end() == 77
        (line,) = complaints(gateway)
    assert line.startswith("oc-trio: ")
    assert "refuses the token" in line
    assert "default" in line
    assert "wrong-token" not in "".join(gateway.err)


async def test_a_server_out_of_reach(tmp_path: Path, unused_port: int) -> None:
    """Exit code 69 and one line that names the server."""
    async with (
        open_deployment(tmp_path) as deployment,
        deployment.gateway(deployment.config(base=f"http://127.0.0.1:{unused_port}"), live=False) as gateway,
    ):
        assert await gateway.end() == 69
        (line,) = complaints(gateway)
    assert f"http://127.0.0.1:{unused_port} can't be reached" in line


async def test_a_bad_key(tmp_path: Path) -> None:
    """Exit code 78 and one line per problem: file, line, key, and the nearest key there is."""
    config = tmp_path / "oc-trio.toml"
    config.write_text('[channels.mattermost]\nbaseUrl = "https://chat.example.com"\nbotToken = "t"\ndmPolcy = "open"\n')
    async with spawn("oc_trio", "run", "--config", str(config)) as gateway:
        assert await gateway.end() == 78
        (line,) = complaints(gateway)
    assert f"{config}:4" in line
    assert "channels.mattermost.dmPolcy" in line
    assert "dmPolicy" in line


async def test_a_damaged_journal(tmp_path: Path) -> None:
    """Exit code 65, by which the service manager leaves it to people, and one line that says what they can do."""
    async with open_deployment(tmp_path) as deployment:
        config = deployment.config()
        state = tmp_path / "state" / "oc-trio"
        state.mkdir(parents=True)
        (state / JOURNAL).write_bytes(b"not a database" * 100)
        async with deployment.gateway(config, live=False) as gateway:
            assert await gateway.end() == 65
            (line,) = complaints(gateway)
    assert str(state / JOURNAL) in line
    assert "put a backup in its place" in line


def make_folder(folder: Path, mode: int, *, link: str = "") -> None:
    folder.mkdir(exist_ok=True)
    folder.chmod(mode)
    if link:
        (folder / link).symlink_to("elsewhere")


def spoil(journal: Path, *, alone: bool = False) -> None:
    """Damage every page but the first, as a failing disk would; `alone`: what stands beside it is lost as well."""
    for beside in ("-wal", "-shm") if alone else ():
        Path(f"{journal}{beside}").unlink(missing_ok=True)
    with journal.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        assert size > 8192
        file.seek(4096)
        file.write(b"\xa5" * (size - 4096))


async def test_a_journal_damaged_in_the_middle(tmp_path: Path) -> None:
    """Found at the start or in mid-run: exit code 65 and one line, not an account that is started for ever."""
    async with open_deployment(tmp_path) as deployment:
        config, journal = deployment.config(), tmp_path / "state" / "oc-trio" / JOURNAL
        async with deployment.gateway(config) as gateway:
            post = await deployment.alice.say("@bot hello")
            await deployment.alice.wait_answer(post, deployment.last_word)
            assert await gateway.end(signal.SIGTERM) == 0
        assert [path.name for path in journal.parent.iterdir() if "before" in path.name] == []
        async with deployment.gateway(config) as gateway:
            spoil(journal)
            await deployment.alice.say("@bot hello again")
            assert await gateway.end() == 65
            (line,) = complaints(gateway)
        assert f"database disk image is malformed ({journal})" in line
        assert "put a backup in its place" in line
        spoil(journal, alone=True)
        async with deployment.gateway(config, live=False) as gateway:
            assert await gateway.end() == 65
            (line,) = complaints(gateway)
        assert "put a backup in its place" in line


async def test_a_state_that_others_can_change(tmp_path: Path) -> None:
    """A state directory that all may write, or a link in it: exit code 78, one line, and nothing is made there."""
    state, config = tmp_path / "oc-trio", tmp_path / "oc-trio.toml"
    config.write_text('[channels.mattermost]\nbaseUrl = "https://chat.example.com"\n')
    env = {"STATE_DIRECTORY": str(state), "MATTERMOST_BOT_TOKEN": "t"}

    async def refusal() -> str:
        async with spawn("oc_trio", "run", "--config", str(config), env=env) as gateway:
            assert await gateway.end() == 78
            (line,) = complaints(gateway)
        return line

    make_folder(state, 0o777)
    assert (await refusal()).endswith(f"chmod 700 {state}")
    make_folder(state, 0o700, link="admin.sock")
    assert "(admin.sock): remove them" in await refusal()
    assert os.listdir(state) == ["admin.sock"]


async def test_a_second_gateway(tmp_path: Path) -> None:
    """Exit code 75 and one line that names the state directory; the first one is not disturbed."""
    async with open_deployment(tmp_path) as deployment:
        config = deployment.config()
        async with deployment.gateway(config) as first:
            async with deployment.gateway(config, live=False) as second:
                assert await second.end() == 75
                (line,) = complaints(second)
            assert str(tmp_path / "state" / "oc-trio") in line
            assert "another gateway" in line
            post = await deployment.alice.say("@bot still there?")
            await deployment.alice.wait_answer(post, deployment.last_word)
            assert await first.end(signal.SIGTERM) == 0
