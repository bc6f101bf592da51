"""`oc-trio doctor` on the way back: Mattermost is made to call, and what keeps it from arriving is named."""

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from tests.cli.sandbox_server import MODEL, Server, a_server

pytestmark = pytest.mark.slow

NATIVE = "[channels.mattermost.commands]\nnative = true\n"
PORT = "[gateway]\nport = 0\n"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    monkeypatch.setenv("STATE_DIRECTORY", str(state))
    with a_server(tmp_path) as running:
        running.has_buttons = False
        yield running


@pytest.fixture
def unused_port() -> int:
    """A loopback port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def findings(server: Server, code: int) -> dict[str, dict[str, str]]:
    """What was found, by code."""
    return {row["code"]: row for row in server.json("doctor", code=code)}


def test_both_arrive(server: Server) -> None:
    """A command and a click come back, with source and token; nothing of the check is left."""
    server.write_config(NATIVE + PORT + MODEL)
    found = findings(server, 0)
    assert found["slash.arrives"]["level"] == found["button.arrives"]["level"] == "ok"
    assert found["slash.arrives"]["text"].startswith("arrive from 127.0.0.1 with a valid token, at http://localhost:")
    assert found["button.arrives"]["text"].startswith("arrive from 127.0.0.1 with a valid signature, at http://local")
    assert found["button.arrives"]["text"].endswith(
        'agents offer none: capabilities = ["inlineButtons"] would let them'
    )
    world = server.world
    assert world.commands.of_team(server.demo.team.id) == []
    own = world.direct(server.demo.bot, server.demo.bot)
    assert [bool(entry.deleted_at) for entry in world.transcript(own)] == [True] * len(world.transcript(own))
    assert len(world.transcript(own)) > 0


def test_agents_that_may_offer_buttons(server: Server) -> None:
    """Nothing is to be added then."""
    server.has_buttons = True
    server.write_config(PORT + MODEL)
    assert "agents offer none" not in findings(server, 0)["button.arrives"]["text"]


def test_nothing_calls_back(server: Server) -> None:
    """Without commands, buttons and hooks no port is opened and nobody is called."""
    server.write_config(MODEL)
    found = findings(server, 0)
    assert found["callback.unused"]["level"] == "ok"
    assert not [code for code in found if code.startswith(("slash", "button"))]


def _dead_port(_: Server) -> str:
    return '[channels.mattermost.commands]\nnative = true\ncallbackUrl = "http://localhost:1/cmd"\n'


def _mattermost_itself(server: Server) -> str:
    return f'[channels.mattermost.commands]\nnative = true\ncallbackUrl = "{server.url}/api/v4/cmd"\n'


def _forbidden_address(server: Server) -> str:
    server.world.settings = attrs.evolve(server.world.settings, allowed_internal=("gw.example",))
    return NATIVE


def _unknown_name(_: Server) -> str:
    return '[channels.mattermost.commands]\nnative = true\ncallbackUrl = "http://gw.invalid/cmd"\n'


def _no_right(server: Server) -> str:
    server.demo.team.roles[server.demo.bot.id] = "team_user"
    return NATIVE


def _commands_off(server: Server) -> str:
    server.world.settings = attrs.evolve(server.world.settings, enable_commands=False)
    return NATIVE


def _other_source(_: Server) -> str:
    return (
        '[channels.mattermost.interactions]\ncallbackBaseUrl = "http://127.0.0.1:{port}"\n'
        'allowedSourceIps = ["192.0.2.9"]\n'
    )


def _dead_buttons(_: Server) -> str:
    return '[channels.mattermost.interactions]\ncallbackBaseUrl = "http://127.0.0.1:1"\n'


_HOST = "ServiceSettings.AllowedUntrustedInternalConnections"
BROKEN: list[tuple[Callable[[Server], str], int, dict[str, str]]] = [
    (
        _dead_port,
        1,
        {
            "slash.unreachable": "`curl -i http://localhost:1/cmd` has to answer 405. If it does and commands or "
            f'clicks still fail, add "localhost" to {_HOST}',
            "button.arrives": "",
        },
    ),
    (_mattermost_itself, 1, {"slash.elsewhere": "commands.callbackUrl must lead to", "callback.mattermost": "set it"}),
    (
        _forbidden_address,
        1,
        {"slash.unreachable": f'"localhost" to {_HOST}', "button.unreachable": f'"localhost" to {_HOST}'},
    ),
    (_unknown_name, 1, {"slash.unreachable": "gw.invalid", "callback.unknown_host": "correct the name"}),
    (_no_right, 1, {"slash.not_verified": "grant Manage Slash Commands, or make", "button.arrives": ""}),
    (_commands_off, 1, {"slash.not_verified": "set ServiceSettings.EnableCommands to true"}),
    (_other_source, 1, {"button.source": 'add "127.0.0.1" to channels.mattermost.interactions.allowedSourceIps'}),
    (_dead_buttons, 1, {"button.unreachable": 'add "127.0.0.1" to'}),
]


@pytest.mark.parametrize(("breaks", "code", "expected"), BROKEN, ids=[one[0].__name__ for one in BROKEN])
def test_a_broken_way_back(
    server: Server, unused_port: int, breaks: Callable[[Server], str], code: int, expected: dict[str, str]
) -> None:
    """Each way to break it has its finding, with what to do, and its exit code."""
    broken = breaks(server).replace("{port}", str(unused_port))
    server.write_config(f"{broken}[gateway]\nport = {unused_port}\n{MODEL}")
    found = findings(server, code)
    for name, fix in expected.items():
        assert name in found, list(found)
        assert fix in found[name]["fix"]
        assert bool(found[name]["why"]) is (found[name]["level"] != "ok")


def test_a_path_that_a_proxy_changes(server: Server, unused_port: int) -> None:
    """The path at which the request came instead is named."""
    url = f"http://127.0.0.1:{unused_port}/prefix"
    port = f"[gateway]\nport = {unused_port}\n"
    server.write_config(f'[channels.mattermost.interactions]\ncallbackBaseUrl = "{url}"\n{port}{MODEL}')
    found = findings(server, 1)
    assert "callback.loopback" not in found  # Mattermost could call it
    text = found["button.elsewhere"]["text"]
    assert "Meanwhile the gateway was called at /prefix/mattermost/interactions/default, where nothing is" in text
    assert "(to this machine it answers 404, where 405 was expected)" in text


def test_a_port_that_is_taken(server: Server) -> None:
    """A start would fail, and so does this, in the same words."""
    taken = server.url.rpartition(":")[2]
    server.write_config(f"{NATIVE}[gateway]\nport = {taken}\n{MODEL}")
    found = findings(server, 1)["callback.listen"]
    assert found["text"].startswith(f"The callback server can't listen on 127.0.0.1:{taken}: Address already in use.")
    assert found["fix"].startswith(f"stop what uses 127.0.0.1:{taken}")


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "does not do that (HTTP 404)"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "is of another release: restart it"),
        (b"", "does not answer ("),
    ],
)
def test_a_gateway_that_can_not_be_asked(server: Server, tmp_path: Path, answer: bytes, text: str) -> None:
    """It has the port, so nothing is proven: what to do by hand is said for each URL."""
    with AnsweringSocket(tmp_path / "state" / "admin.sock", answer):
        server.write_config(NATIVE + MODEL)
        found = findings(server, 3)
    for name, path in (("slash", "api/channels/mattermost/command"), ("button", "mattermost/interactions/default")):
        row = found[f"{name}.not_verified"]
        assert row["level"] == "not verified"
        assert text in row["text"]
        assert f"`curl -i http://localhost:18789/{path}` has to answer 405" in row["fix"]


class AnsweringSocket:
    """Accepts one request at a unix socket and answers with these bytes."""

    def __init__(self, path: Path, answer: bytes) -> None:
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        self.thread = threading.Thread(target=self._serve, args=(answer,))

    def _serve(self, answer: bytes) -> None:
        connection, _ = self.listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(answer)

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *_: Any) -> None:
        self.listener.close()
        self.thread.join(5)


def test_the_words_on_a_terminal(server: Server) -> None:
    """What, why, fix and code stand below each other; what is well takes one line."""
    server.write_config(_no_right(server) + PORT + MODEL)
    lines = server.run("doctor").stdout.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("NOT VERIFIED slash commands of default"))
    assert lines[at + 1] == "        why: Whether slash commands work is not known."
    assert lines[at + 2].startswith(
        "        fix: grant Manage Slash Commands, or make the bot a team admin. Mattermost"
    )
    assert lines[at + 2].endswith(" [slash.not_verified]")
