"""`oc-trio doctor` on accounts: the WebSocket through a proxy, rights, teams, and the ids of the configuration."""

from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from tests.cli.sandbox_server import MODEL, Server, a_server
from tests.cli.websocket_proxy import WebsocketProxy, open_websocket_proxy

pytestmark = pytest.mark.slow

NATIVE = "[channels.mattermost.commands]\nnative = true\n[gateway]\nport = 0\n"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    monkeypatch.setenv("STATE_DIRECTORY", str(state))
    with a_server(tmp_path) as running:
        running.has_buttons = False
        running.write_config(MODEL)
        yield running


@pytest.fixture
def proxy(server: Server) -> Iterator[WebsocketProxy]:
    """The configuration leads through it."""
    with open_websocket_proxy(server.url) as proxy:
        text = server.config.read_text()
        server.config.write_text(text.replace(server.url, proxy.url))
        yield proxy


def findings(server: Server, code: int, *options: str) -> dict[str, dict[str, str]]:
    """What was found, by code."""
    return {row["code"]: row for row in server.json("doctor", *options, code=code)}


def page(status: str) -> bytes:
    body = "<html><title>nginx</title></html>"
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()


def test_a_proxy_that_passes_everything_on(server: Server, proxy: WebsocketProxy) -> None:
    """Opened, greeted, held and pinged."""
    text = findings(server, 0, "--deep", "--hold", "0.2")["socket.ok"]["text"]
    assert text.startswith("opened, greeted, held for 0.2 s without a word, ping answered in ")


@pytest.mark.parametrize(
    ("answer", "code", "text", "fix"),
    [
        (page("502 Bad Gateway"), "socket.proxy", "answers HTTP 502", "let the proxy reach Mattermost for /api/v4/web"),
        (page("404 Not Found"), "socket.no_upgrade", "(HTTP 404)", "proxy_set_header Upgrade $http_upgrade;"),
        (page("200 OK"), "socket.no_upgrade", "(HTTP 200)", 'proxy_set_header Connection "upgrade";'),
        (page("403 Forbidden"), "socket.unreachable", "403", "has to reach wss://"),
        (b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n", "socket.unreachable", "429", "log"),
    ],
)
def test_a_proxy_that_refuses(
    server: Server, proxy: WebsocketProxy, answer: bytes, code: str, text: str, fix: str
) -> None:
    """Each answer that is not Mattermost's is named as the proxy's, with the lines to add."""
    proxy.answer = answer
    found = findings(server, 1)[code]
    assert found["level"] == "failed"
    assert text in found["text"]
    assert fix in found["fix"] or code == "socket.unreachable"
    assert found["why"] == "Nothing that people write reaches the gateway."


def test_a_proxy_that_drops_the_upgrade(server: Server, proxy: WebsocketProxy) -> None:
    """What Mattermost says of such a request means the proxy."""
    proxy.upgrades = False
    found = findings(server, 1)["socket.no_upgrade"]
    assert "does not pass the WebSocket upgrade" in found["text"]
    assert "(HTTP 400)" in found["text"]
    assert found["fix"].startswith("in nginx: `proxy_http_version 1.1;`")


def test_a_proxy_that_ends_quiet_connections(server: Server, proxy: WebsocketProxy) -> None:
    """With --deep it is noticed, and after how long."""
    proxy.seconds = 0.3
    assert "socket.ok" in findings(server, 0)
    found = findings(server, 1, "--deep", "--hold", "5")["socket.cut"]
    assert found["text"].startswith("ended after 0 s without a word (the websocket was closed with 1006")
    assert "proxy_read_timeout 600s;" in found["fix"]


def test_polling_needs_no_websocket(server: Server, proxy: WebsocketProxy) -> None:
    """With `connection.mode = "poll"` no websocket is opened."""
    proxy.answer = page("502 Bad Gateway")
    server.config.write_text(server.config.read_text() + '[channels.mattermost.connection]\nmode = "poll"\n')
    assert "socket.unused" in findings(server, 0)


@pytest.mark.parametrize(
    ("right", "code", "finding", "text", "fix"),
    [
        ("create_direct_channel", 0, "rights.direct", "may not open direct channels", "Create Direct Channel"),
        ("upload_file", 0, "rights.upload", "may not upload files", "FileSettings.EnableFileAttachments"),
        ("create_post", 1, "rights.post", "may not post", "Create Posts"),
        ("edit_post", 1, "rights.edit", "may not edit its posts", "ServiceSettings.PostEditTimeLimit"),
        ("add_reaction", 0, "rights.react", "may not react to posts", "Add Reactions"),
        ("delete_post", 0, "rights.delete", "may not delete its posts", "Delete Own Posts"),
    ],
)
def test_a_right_that_is_missing(server: Server, right: str, code: int, finding: str, text: str, fix: str) -> None:
    """Each has its finding; the others are tried all the same."""
    server.world.settings = attrs.evolve(server.world.settings, denied=frozenset({right}))
    found = findings(server, code)
    assert found[finding]["text"].startswith(f"{text}: ")
    assert fix in found[finding]["fix"]
    assert [one for one in found if one.startswith("rights.")] == [finding]


def test_slash_commands_where_the_bot_is_no_admin(server: Server) -> None:
    """The teams are named, and both ways out; commands are no matter where none are wanted."""
    other = server.world.create_team("sales", server.demo.admin)
    server.world.membership.join_team(other, server.world.users.get(server.demo.bot.id))
    server.write_config(NATIVE + MODEL)
    found = findings(server, 1)["slash.rights"]
    assert found["text"] == "@bot may not manage slash commands in team sales"
    assert found["fix"] == "grant Manage Slash Commands or make @bot team admin there"
    server.write_config(MODEL)
    assert "slash.rights" not in findings(server, 0)


def test_slash_commands_that_are_switched_off(server: Server) -> None:
    """The setting is named."""
    server.world.settings = attrs.evolve(server.world.settings, enable_commands=False)
    server.write_config(NATIVE + MODEL)
    assert "ServiceSettings.EnableCommands" in findings(server, 1)["slash.disabled"]["fix"]


ACCESS = '[channels.mattermost]\nbaseUrl = "{url}"\nbotToken = "{token}"\n{more}\n'


def configure(server: Server, more: str) -> None:
    """Keys of the account, then further tables."""
    demo = server.demo
    ids = {"team": demo.team.id, "alice": demo.alice.id, "square": demo.town_square.id, "nobody": "x" * 26}
    keys, _, tables = more.partition("\n[")
    text = ACCESS.format(url=server.url, token=demo.bot.token, more="{more}").replace("{more}", keys)
    text += "[channels.mattermost.network]\ndangerouslyAllowPrivateNetwork = true\n"
    text += ("[" + tables if tables else "") + "\n" + MODEL
    for name, value in ids.items():
        text = text.replace(f"<{name}>", value)
    server.config.write_text(text)


@pytest.mark.parametrize(
    ("more", "code", "finding", "text", "fix"),
    [
        ('groupAllowFrom = ["<alice>"]\nonlyTeams = ["<team>"]', 0, "ids.ok", "2 entries are known", ""),
        ('groupAllowFrom = ["<team>"]', 1, "ids.kind", "is the id of a team (demo), and one of a user is", "list user"),
        (
            'onlyChannels = ["<alice>"]',
            1,
            "ids.kind",
            "is the id of a user (@alice), and one of a channel",
            "list chan",
        ),
        ('onlyTeams = ["<square>"]', 1, "ids.kind", "is the id of a channel (town-square)", "list team ids"),
        ('allowFrom = ["<nobody>"]', 0, "ids.unknown", "allowFrom[0]: xxxxxxxxxxxxxxxxxxxxxxxxxx is no id", "/invite"),
        ('allowFrom = ["@alice"]', 1, "ids.name", '"@alice" is a name, and an id of a user is needed', "<alice>"),
        ('onlyTeams = ["demo"]', 1, "ids.name", '"demo" is a name, and an id of a team is needed', "<team>"),
        (
            '\n[[bindings]]\nagentId = "main"\n[bindings.match.peer]\nkind = "channel"\nid = "#town-square"',
            1,
            "ids.name",
            'bindings[0].match.peer.id: "#town-square" is a name, and an id of a channel',
            "<square>",
        ),
        ('onlyChannels = ["no-such"]', 1, "ids.name", '"no-such" is a name', "oc-trio channels resolve #NAME"),
        (
            '\n[commands]\nownerAllowFrom = ["<team>"]',
            1,
            "ids.kind",
            "commands.ownerAllowFrom[0]",
            "onlyTeams and bindings[].match.teamId are for teams",
        ),
    ],
)
def test_ids(server: Server, more: str, code: int, finding: str, text: str, fix: str) -> None:
    """What fits nothing is named by its key, with the right id where there is one."""
    configure(server, more)
    found = findings(server, code)[finding]
    assert text in found["text"]
    demo = server.demo
    for name, value in (("alice", demo.alice.id), ("team", demo.team.id), ("square", demo.town_square.id)):
        fix = fix.replace(f"<{name}>", f'write "{value}"')
    assert fix in found["fix"]
