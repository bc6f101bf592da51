"""`oc-trio explain` with a server to ask: names, and why a post never came."""

from collections.abc import Generator
from functools import partial
from pathlib import Path

import pytest
import trio

from oc_trio.core.ledger import Source
from oc_trio.ids import AccountId, ChannelId, UserId
from oc_trio.runtime.process.locations import JOURNAL
from oc_trio.store.admission import Admission
from oc_trio.store.store import open_store
from tests.cli.sandbox_server import Server, a_server

MAIN = AccountId("default")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server, None, None]:
    with a_server(tmp_path_factory.mktemp("explain")) as served:
        yield served


@pytest.fixture
def journal(server: Server) -> Path:
    """A journal that a gateway has begun an hour ago by the server's clock."""
    state = server.config.parent / "state"
    state.mkdir(mode=0o700, exist_ok=True)

    async def begin() -> None:
        async with open_store(state / JOURNAL) as store:
            await store.installation.ensure("ours", 1)

    trio.run(begin)
    return state / JOURNAL


def admit(journal: Path, server: Server, post_id: str, reason: str) -> None:
    demo = server.demo
    admission = Admission(
        MAIN,
        post_id,
        ChannelId(demo.town_square.id),
        UserId(demo.alice.id),
        "",
        1_700_000_000_000,
        Source.LIVE,
        "context",
        reason,
        None,
        payload="",
        at=1_700_000_000_100,
    )

    async def write() -> None:
        async with open_store(journal) as store:
            await store.admission.admit(admission)

    trio.run(write)


def test_names_stand_beside_ids(server: Server, journal: Path) -> None:
    """Sender, channel with its team, and the bot's own name in the sentence."""
    admit(journal, server, "p" * 26, "no_mention")
    result = server.run("explain", "p" * 26)
    assert result.exit_code == 0, result.output
    demo = server.demo
    assert f"by @{demo.alice.username} ({demo.alice.id}) in ~town-square of team " in result.stdout
    assert f"it does not mention @{demo.bot.username}" in result.stdout
    offline = server.run("explain", "p" * 26, "--offline").stdout
    assert f"by {demo.alice.id} in {demo.town_square.id}" in offline


def test_a_channel_that_the_bot_is_not_in(server: Server, journal: Path) -> None:
    """An open one is named; both say what to type there."""
    demo = server.demo
    for name, private in (("garden", False), ("cellar", True)):
        post = server.do(partial(_posted, server, name, private=private))
        result = server.run("explain", f"{server.url}/x/pl/{post}")
        assert result.exit_code == 1
        assert "never reached this gateway" in result.stderr
        assert f"/invite @{demo.bot.username}" in result.stderr
        assert ("~garden" in result.stderr) is not private


def _posted(server: Server, name: str, *, private: bool) -> str:
    team = server.world.teams.get(server.demo.town_square.team_id)
    channel = server.world.create_channel(team, name, server.demo.alice, private=private)
    return str(server.world.post_as(server.demo.alice, channel, "hello").id)


def test_a_post_that_never_came_although_it_could(server: Server, journal: Path) -> None:
    """It says when and where it was posted, and what may be the matter."""
    post = server.do(lambda: server.world.post_as(server.demo.alice, server.demo.town_square, "hello").id)
    result = server.run("explain", post)
    assert result.exit_code == 1
    assert "it was posted at " in result.stderr
    assert "no gateway was live" in result.stderr


def test_a_post_of_the_bot_that_is_not_ours(server: Server, journal: Path) -> None:
    """Somebody else uses the bot."""
    post = server.do(lambda: server.world.post_as(server.demo.bot, server.demo.town_square, "hello").id)
    assert "not through this gateway" in server.run("explain", post).stderr


def test_a_post_that_there_is_not(server: Server, journal: Path) -> None:
    """The server knows no such post."""
    assert "has no such post" in server.run("explain", "q" * 26).stderr


def test_a_server_that_is_away(server: Server, journal: Path) -> None:
    """Without the server, what the journal knows is printed all the same."""
    admit(journal, server, "r" * 26, "no_mention")
    written = server.config.read_text()
    server.config.write_text(written.replace(server.url, "http://127.0.0.1:9"))
    result = server.run("explain", "r" * 26)
    server.config.write_text(written)
    assert result.exit_code == 0
    assert "names are missing: http://127.0.0.1:9 could not be asked" in result.stdout
