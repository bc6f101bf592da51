"""`oc-trio doctor` on the machine: files, clock, certificate and unit; and what `--fix` does about it."""

import json
import os
import re
import signal
import socket
import ssl
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme

from oc_trio.runtime.operator.checks.host import (
    certificate_finding,
    check_unit,
    clock_finding,
    duration,
)
from oc_trio.runtime.operator.checks.state import state_directory, state_files
from oc_trio.runtime.process.locations import JOURNAL
from oc_trio.store.store import open_store
from tests.cli.sandbox_server import MODEL, Server, a_server
from tests.cli.websocket_proxy import open_websocket_proxy


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    monkeypatch.setenv("STATE_DIRECTORY", str(state))
    monkeypatch.setenv("PATH", str(tmp_path))  # no systemctl
    with a_server(tmp_path) as running:
        running.has_buttons = False
        running.write_config(MODEL)
        running.config.chmod(0o600)
        yield running


def findings(server: Server, code: int, *options: str) -> dict[str, dict[str, str]]:
    """What was found, by code."""
    return {row["code"]: row for row in server.json("doctor", *options, code=code)}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.slow
def test_what_fix_closes_to_others(server: Server, tmp_path: Path) -> None:
    """Configuration, directory and files; each is said, and afterwards nothing is left to do."""
    state = tmp_path / "state"
    trio.run(_make_journal, state / JOURNAL)
    for path, to in ((state, 0o750), (state / JOURNAL, 0o644), (server.config, 0o644)):
        path.chmod(to)
    before = findings(server, 0)
    assert before["state.open"]["fix"] == f"chmod 700 {state}"
    assert before["state.file_open"]["text"] == f"can be read by other users: {JOURNAL}"
    assert mode(state / JOURNAL) == 0o644
    fixed = findings(server, 0, "--fix")
    assert [row["level"] for row in fixed.values() if row["code"].startswith("state.")] == ["fixed", "fixed"]
    assert fixed["state.file_open"]["text"].endswith(f": chmod 600 {state / JOURNAL}")
    assert (mode(state), mode(state / JOURNAL), mode(server.config)) == (0o700, 0o600, 0o600)
    assert "state.file_open" not in findings(server, 0)
    assert "ok      state directory" in server.run("doctor").stdout


async def _make_journal(location: Path) -> None:
    async with open_store(location):
        pass


def test_a_state_directory_that_everybody_may_write(server: Server, tmp_path: Path) -> None:
    """A start refuses it; --fix closes it."""
    (tmp_path / "state").chmod(0o707)
    assert findings(server, 1)["state.unfit"]["level"] == "failed"
    assert findings(server, 0, "--fix")["state.unfit"]["level"] == "fixed"
    assert mode(tmp_path / "state") == 0o700


def test_a_token_file_that_others_may_read(server: Server, tmp_path: Path) -> None:
    """Nothing starts with it; --fix closes the file, says so, and goes on."""
    token = tmp_path / "bot-token"
    token.write_text(server.demo.bot.token)
    token.chmod(0o644)
    text = server.config.read_text()
    server.config.write_text(text.replace(f'botToken = "{server.demo.bot.token}"', f'botTokenFile = "{token}"'))
    assert server.run("doctor").exit_code == 78
    result = server.run("doctor", "--fix")
    assert (result.exit_code, mode(token)) == (0, 0o600)
    assert f"run: chmod 600 {token}: chmod 600 {token}" in result.stderr


def test_files_of_somebody_else(tmp_path: Path) -> None:
    """A command that root ran may have left them, and the gateway can't write them."""
    (tmp_path / "journal.sqlite3").touch(0o600)
    (found,) = state_files(tmp_path, owner=os.geteuid() + 1)
    assert found.code == "state.file_owner"
    assert found.fix == f"chown --reference={tmp_path} {tmp_path / 'journal.sqlite3'}"


def test_a_place_that_takes_no_file() -> None:
    """A folder is tried by writing a file, whatever its permissions say."""
    found = state_directory(Path("/proc"))
    assert found.code == "state.read_only"
    assert found.text.startswith("/proc can't be written by this user: ")


@pytest.mark.parametrize(
    ("ahead", "code", "text"),
    [(0, "clock.ok", "agrees"), (300, "clock.off", "300 s ahead of"), (-3600, "clock.off", "3600 s behind")],
)
def test_clocks(ahead: int, code: str, text: str) -> None:
    """Half a minute is no difference; the header has whole seconds."""
    found = clock_finding(formatdate(1_700_000_000, usegmt=True), 1_700_000_000.5 + ahead, "clock")
    assert found is not None
    assert (found.code, text in found.text) == (code, True)
    assert clock_finding("no date", 1.0, "clock") is None


def test_a_clock_that_is_wrong(server: Server) -> None:
    """The clock is compared with the `Date` that the server sends."""
    assert findings(server, 0)["clock.ok"]["text"] == "this machine's clock agrees with Mattermost's"
    with open_websocket_proxy(server.url) as proxy:
        proxy.date = formatdate(time.time() - 7200, usegmt=True).encode()
        server.config.write_text(server.config.read_text().replace(server.url, proxy.url))
        ahead = re.search(r"(\d+) s ahead of Mattermost's", findings(server, 0)["clock.off"]["text"])
        # Time passes between the two readings of the clock.
        assert ahead is not None
        assert 7200 <= int(ahead[1]) < 7300


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("55s", 55), ("1min 30s", 90), ("90", 90), ("1h", 3600), ("infinity", float("inf")), ("soon", None), ("", None)],
)
def test_durations(text: str, seconds: float | None) -> None:
    """Durations are read in the spellings that systemd prints."""
    assert duration(text) == seconds


@pytest.mark.parametrize(
    ("stop", "level", "code"),
    [("45s", "ok", "unit.ok"), ("40s", "warning", "unit.stop"), ("30s", "failed", "unit.stop")],
)
def test_a_unit_that_systemd_knows(server: Server, tmp_path: Path, stop: str, level: str, code: str) -> None:
    """The drain (30 s) and what follows it have to fit into its time for a stop."""
    program = tmp_path / "systemctl"
    program.write_text(f"#!/bin/sh\nprintf 'LoadState=loaded\\nTimeoutStopUSec={stop}\\n'\n")
    program.chmod(0o755)
    found = findings(server, 1 if level == "failed" else 0)[code]
    assert found["level"] == level
    if code == "unit.stop":
        assert found["fix"].startswith("TimeoutStopSec=45 (`oc-trio systemd print` writes it)")


async def test_a_unit_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where systemd is not to be asked; a drop-in wins, and without the key it is systemd's own 90 s."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert await check_unit(30.0, [tmp_path]) is None
    unit = tmp_path / "oc-trio.service"
    unit.write_text("[Service]\nType=notify\n")
    found = await check_unit(80.0, [tmp_path])
    assert found is not None
    assert found.text == f"{unit} gives a stop 90 s, and a drain of 80 s needs 95 s"
    (tmp_path / "oc-trio.service.d").mkdir()
    (tmp_path / "oc-trio.service.d" / "stop.conf").write_text("[Service]\nTimeoutStopSec=2min\n")
    found = await check_unit(80.0, [tmp_path])
    assert found is not None
    assert found.code == "unit.ok"


@contextmanager
def tls_server(*names: str, days: float = 90.0) -> Iterator[tuple[int, trustme.CA]]:
    """A port that ends each connection after the TLS handshake."""
    from datetime import UTC, datetime, timedelta

    authority = trustme.CA()
    issued = authority.issue_cert(*names, not_after=datetime.now(UTC) + timedelta(days=days))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(context)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                with closing(client), suppress(OSError):
                    client.settimeout(5)
                    with context.wrap_socket(client, server_side=True):
                        pass

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1], authority
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "days", "trusted", "code", "text", "fix"),
    [
        ("localhost", 90.0, True, "tls.ok", "valid certificate, with 90 days left", ""),
        ("localhost", 5.0, True, "tls.soon", "with 5 days left", "renew it"),
        ("localhost", -1.0, True, "tls.failed", "certificate has expired", "renew the certificate of localhost"),
        ("other.example", 90.0, True, "tls.failed", "Hostname mismatch", "write one of them in baseUrl"),
        ("localhost", 90.0, False, "tls.failed", "certificate verify failed: ", "name it in SSL_CERT_FILE"),
    ],
)
def test_certificates(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    days: float,
    trusted: bool,
    code: str,
    text: str,
    fix: str,
) -> None:
    """The reason why one is refused, or how long it lasts; the rest of the account is not to be had here."""
    with tls_server(name, days=days) as (port, authority):
        if trusted:
            authority.cert_pem.write_to_path(tmp_path / "ca.pem")
            monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        server.config.write_text(server.config.read_text().replace(server.url, f"https://localhost:{port}"))
        found = findings(server, 1)[code]
    assert text in found["text"]
    assert fix in found["fix"]


def test_a_certificate_without_a_date() -> None:
    """A certificate whose end is not known makes no finding."""
    assert certificate_finding("certificate", "chat.example", "", 0.0) is None


NATIVE = "[channels.mattermost.commands]\nnative = true\n"


def register(server: Server, port: int) -> list[Any]:
    """As a gateway would have done it, but for one that leads elsewhere and one that is gone."""
    result = server.run("doctor", "--json")
    assert result.exit_code == 0, result.output
    url = f"http://localhost:{port}/api/channels/mattermost/command"
    user = server.world.users.get(server.demo.bot.id)
    made = []
    for trigger in ("status", "model", "models", "new", "stop", "help", "think", "reasoning", "verbose"):
        body = {"team_id": server.demo.team.id, "trigger": f"oc_{trigger}", "method": "P", "url": url}
        made.append(server.world.commands.create(user, {**body, "display_name": "oc_trio"}))
    made[0].url = "http://elsewhere.example/cmd"
    return made


@pytest.mark.slow
def test_slash_commands_that_were_moved(server: Server, tmp_path: Path, unused_port: int) -> None:
    """They are named with where they lead; --fix registers them anew."""
    trio.run(_make_journal, tmp_path / "state" / JOURNAL)
    server.write_config(f"{NATIVE}[gateway]\nport = {unused_port}\n{MODEL}")
    server.config.chmod(0o600)
    register(server, unused_port)
    found = findings(server, 1)
    assert found["slash.moved"]["text"] == "/oc_status in team demo lead to http://elsewhere.example/cmd"
    assert found["slash.missing"]["text"] == "/oc_queue in team demo are not registered"
    fixed = findings(server, 0, "--fix")
    assert fixed["slash.moved"]["level"] == fixed["slash.missing"]["level"] == "fixed"
    urls = {one.url for one in server.world.commands.of_team(server.demo.team.id)}
    assert urls == {f"http://localhost:{unused_port}/api/channels/mattermost/command"}
    assert len(server.world.commands.of_team(server.demo.team.id)) == 10
    assert not [code for code in findings(server, 0) if code in ("slash.moved", "slash.missing")]


@pytest.mark.slow
def test_a_running_gateway_registers_them_itself(server: Server, tmp_path: Path, unused_port: int) -> None:
    """It has to know the tokens, so it is told to."""
    server.write_config(f"{NATIVE}[gateway]\nport = {unused_port}\n{MODEL}")
    server.config.chmod(0o600)
    register(server, unused_port)
    received: list[int] = []
    before = signal.signal(signal.SIGHUP, lambda number, _: received.append(number))
    try:
        with admin_socket(tmp_path / "state" / "admin.sock", {"pid": os.getpid(), "trips": []}):
            found = findings(server, 0, "--fix")
    finally:
        signal.signal(signal.SIGHUP, before)
    assert received
    assert found["slash.moved"]["text"].endswith(
        f"told the running gateway (process {os.getpid()}) to register them anew"
    )


@contextmanager
def admin_socket(path: Path, answer: dict[str, Any]) -> Iterator[None]:
    """Answers every request with this object."""
    body = json.dumps(answer).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def serve() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                with closing(client), suppress(OSError):
                    client.recv(65536)
                    client.sendall(head + body)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


@pytest.mark.slow
def test_another_gateway(server: Server, tmp_path: Path) -> None:
    """A post of the bot's with the mark of another installation; those of the checks are no sign of one."""

    async def prepare() -> None:
        async with open_store(tmp_path / "state" / JOURNAL) as store:
            await store.installation.ensure("a" * 8, 1)

    trio.run(prepare)
    assert "bot.second" not in findings(server, 0)
    assert "bot.second" not in findings(server, 0)
    mark = {"oc_trio": {"k": "x" * 26, "i": "f00df00d"}}
    server.do(lambda: server.world.post_as(server.demo.bot, server.demo.town_square, "hello", props=mark))
    found = findings(server, 1)["bot.second"]
    assert "f00df00d" in found["text"]
    assert found["fix"] == "stop the other gateway, or give this one a bot of its own"


@pytest.fixture
def unused_port() -> int:
    """A loopback port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
