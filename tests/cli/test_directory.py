"""`oc-trio directory` against the embedded server: complete lists, filters, several accounts."""

from collections.abc import Generator

import pytest

from tests.cli.sandbox_server import Server, a_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server, None, None]:
    with a_server(tmp_path_factory.mktemp("directory")) as found:
        admin, team = found.demo.admin, found.demo.team
        hills = found.world.create_team("hills", admin)
        found.world.membership.join_team(hills, found.world.users.get(found.demo.bot.id))
        for number in range(230):
            found.world.create_user(f"person{number:03}", team=hills)
        found.world.create_channel(team, "secret", admin, found.demo.bot, private=True)
        found.world.create_channel(team, "elsewhere", admin)
        yield found


def test_self(server: Server) -> None:
    """The bot is listed with an id that is a target."""
    output = server.json("directory", "self")
    [entry] = output["entries"]
    assert entry["id"] == f"user:{server.demo.bot.id}"
    assert entry["name"] == "@bot"


def test_peers_of_all_teams_and_pages(server: Server) -> None:
    """People beyond one page and of the second team are there; the bot itself is not."""
    output = server.json("directory", "peers")
    names = [entry["name"] for entry in output["entries"]]
    assert {"@alice", "@bob", "@person000", "@person229"} <= set(names)
    assert "@bot" not in names
    assert names == sorted(names)
    assert output["total"] == len(names) == 233


def test_peers_by_query_and_limit(server: Server) -> None:
    """A query narrows, a limit cuts what is printed and says so."""
    output = server.json("directory", "peers", "--query", "ali")
    assert [entry["id"] for entry in output["entries"]] == [f"user:{server.demo.alice.id}"]
    cut = server.run("directory", "peers", "--limit", "2")
    assert len(cut.stdout.splitlines()) == 2
    assert "231 more" in cut.stderr


@pytest.mark.parametrize("group", ["peers", "groups"])
def test_an_option_before_list_is_refused(server: Server, group: str) -> None:
    """`list` would not see it, and would print everything."""
    refused = server.run("directory", group, "--query", "ali", "list")
    assert refused.exit_code == 2
    assert "Write --query behind `list`." in refused.stderr


def test_groups(server: Server) -> None:
    """Channels of all teams that the bot is in, private ones as groups, with their team; no others."""
    output = server.json("directory", "groups")
    found = {(entry["team"], entry["name"], entry["kind"]) for entry in output["entries"]}
    assert ("demo", "#secret", "group") in found
    assert ("hills", "#town-square", "channel") in found
    assert not any(name == "#elsewhere" for _, name, _ in found)
    [one] = server.json("directory", "groups", "--query", "#secr")["entries"]
    assert one["handle"] == "Secret"


def test_members(server: Server) -> None:
    """The people of a channel, named by any form of a target."""
    output = server.json("directory", "members", "demo/secret")
    assert [entry["name"] for entry in output["entries"]] == ["@admin"]
    assert server.run("directory", "members", "#town-square").exit_code == 1, "it is in two teams"


def test_every_account_and_its_failure(server: Server) -> None:
    """Each account's entries are listed; one that can't ask is told, and the exit code with it."""
    other = server.world.create_bot("second", team=server.demo.team)
    server.write_config(second=other.token, third="x" * 26)
    try:
        output = server.json("directory", "self", code=77)
        assert {entry["account"]: entry["name"] for entry in output["entries"]} == {
            "default": "@bot",
            "second": "@second",
        }
        assert list(output["problems"]) == ["third"]
        assert [entry["account"] for entry in server.json("directory", "self", "--account", "second")["entries"]] == [
            "second"
        ]
    finally:
        server.write_config()
