"""What `oc-trio status` makes of a socket that gives no status, and of a broken configuration.

A running gateway is asked in `tests/e2e`.
"""

import json
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.client import BadStatusLine
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from oc_trio.cli.admin_socket import reason
from oc_trio.cli.exits import EX_CONFIG, EX_FAILED, EX_NOPERM, EX_UNAVAILABLE
from oc_trio.cli.main import main
from oc_trio.config import paths

REFUSALS = [
    pytest.param(FileNotFoundError(2, "none"), EX_UNAVAILABLE, "no gateway", id="no socket"),
    pytest.param(ConnectionRefusedError(111, "dead"), EX_UNAVAILABLE, "no gateway", id="a dead one"),
    pytest.param(PermissionError(13, "no"), EX_NOPERM, "as its user, or as root", id="another's"),
    pytest.param(TimeoutError("slow"), EX_UNAVAILABLE, "does not answer (TimeoutError)", id="it hangs"),
    pytest.param(BadStatusLine("x"), EX_UNAVAILABLE, "does not answer (BadStatusLine)", id="it speaks no HTTP"),
    pytest.param(ValueError("no JSON"), EX_UNAVAILABLE, "does not answer (ValueError)", id="something else answers"),
]


@pytest.mark.parametrize(("problem", "code", "words"), REFUSALS)
def test_why_there_is_no_status(problem: Exception, code: int, words: str) -> None:
    """Not being allowed to ask is not the same as nobody being there."""
    sentence, exits = reason(problem)
    assert exits == code
    assert words in sentence


LIVE = {"account": "default", "state": "live", "bot": "helper", "detail": ""}
STATUS = {"version": "1", "pid": 7, "phase": "serving", "startedAt": 1_700_000_000_000, "accounts": [LIVE]}


@contextmanager
def a_gateway(path: Path, **more: object) -> Generator[None, None, None]:
    """Something that answers one request at a socket, as a gateway does."""
    body = json.dumps({**STATUS, "stuck": [], "journal": {}, **more}).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()

        def answer() -> None:
            with listener.accept()[0] as connection:
                connection.recv(65_536)
                connection.sendall(head + body)

        thread = threading.Thread(target=answer)
        thread.start()
        yield
        thread.join(10)


def ask(folder: Path, config: str, *words: str) -> Result:
    (folder / "oc-trio.toml").write_text(config)
    env = {"STATE_DIRECTORY": str(folder), "HOME": str(folder)}
    return CliRunner().invoke(main, ["status", "--config", str(folder / "oc-trio.toml"), *words], env=env)


BROKEN = [
    pytest.param("[channels", "admin.sock", id="no TOML"),
    pytest.param("[shoes]\n", "admin.sock", id="an unknown key"),
    pytest.param('[shoes]\n[gateway.admin]\nsocket = "{folder}/my.sock"\n', "my.sock", id="with a socket of its own"),
]


@pytest.mark.parametrize(("config", "name"), BROKEN)
def test_a_broken_configuration(tmp_path: Path, config: str, name: str) -> None:
    """The gateway that runs is asked all the same, and what is wrong is said."""
    with a_gateway(tmp_path / name):
        done = ask(tmp_path, config.replace("{folder}", str(tmp_path)))
    assert (done.exit_code, "default: live as @helper" in done.stdout) == (0, True)
    assert done.stderr.startswith("oc-trio: ")
    assert "oc-trio.toml" in done.stderr or "shoes" in done.stderr


def test_one_account_by_the_name_in_the_file(tmp_path: Path) -> None:
    """As for every other command: `My Bot` in the file is the account my-bot."""
    with a_gateway(tmp_path / "admin.sock", accounts=[LIVE, {**LIVE, "account": "my-bot"}]):
        done = ask(tmp_path, "[shoes]\n", "--account", "My Bot", "--json")
    assert [one["account"] for one in json.loads(done.stdout)["accounts"]] == ["my-bot"]


def test_a_broken_configuration_in_json(tmp_path: Path) -> None:
    """The problems are in the object, too."""
    with a_gateway(tmp_path / "admin.sock"):
        done = ask(tmp_path, "[shoes]\n", "--json")
    output = json.loads(done.stdout)
    assert output["accounts"] == [LIVE]
    (problem,) = output["configuration"]
    assert "shoes" in problem


def test_a_broken_configuration_and_no_gateway(tmp_path: Path) -> None:
    """Both are said, and the exit code is the configuration's."""
    done = ask(tmp_path, "[shoes]\n")
    assert done.exit_code == EX_CONFIG
    assert "shoes" in done.stderr
    assert "no gateway is running" in done.stderr


@pytest.mark.parametrize("words", [["status"], ["reload"], ["logs"], ["pairing", "list"], ["doctor"]])
def test_a_shell_that_does_not_know_where_the_service_is(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks without STATE_DIRECTORY looks in a home of their own: they are told where the service's state is."""
    monkeypatch.setattr(paths, "SERVICE_STATE", tmp_path / "service")
    config = tmp_path / "oc-trio.toml"
    server = 'baseUrl = "http://127.0.0.1:1"\nbotToken = "t"\nnetwork.dangerouslyAllowPrivateNetwork = true\n'
    config.write_text(f"[channels.mattermost]\n{server}")
    config.chmod(0o600)
    told = f"; the service's state is in {tmp_path}/service: export STATE_DIRECTORY={tmp_path}/service"

    def said(state: str) -> str:
        env = {"STATE_DIRECTORY": state, "HOME": str(tmp_path), "OC_TRIO_CONFIG": str(config)}
        done = CliRunner().invoke(main, words, env=env)
        assert done.exit_code != 0
        return done.output

    assert told not in said("")
    (tmp_path / "service").mkdir()
    assert told in said("")
    assert told not in said(str(tmp_path / "other"))


def test_processes_and_leases(tmp_path: Path) -> None:
    """A process that stands by is well where another one serves; who serves what is said, and who is gone."""
    process = {"host": "one", "version": "1", "startedAt": 0, "me": False, "alive": True, "draining": False, "lag": 0.4}
    processes = [
        {**process, "id": "a", "pid": 11, "serves": ["default"]},
        {**process, "id": "b", "pid": 12, "host": "two", "me": True, "serves": []},
        {**process, "id": "c", "pid": 13, "host": "three", "alive": False, "serves": []},
    ]
    lease = {"account": "default", "holder": "a", "epoch": 3, "since": 1_700_000_000_000, "lag": 0.4}
    membership = {"problem": "", "processes": processes, "leases": [lease]}
    standby = {"account": "default", "state": "standby", "bot": "", "detail": "served by one (process 11)"}

    def said(**changes: object) -> Result:
        with a_gateway(tmp_path / "admin.sock", accounts=[standby], membership={**membership, **changes}):
            done = ask(tmp_path, "[shoes]\n")
        (tmp_path / "admin.sock").unlink()
        return done

    done = said()
    assert done.exit_code == 0
    assert done.stdout.splitlines()[-5:] == [
        "  default: standby: served by one (process 11)",
        "  process 11 on one (heard of 0.4 s ago), 1: serves default",
        "  process 12 on two (this one, heard of 0.4 s ago), 1: serves nothing",
        "  process 13 on three (gone), 1: serves nothing",
        "  lease of default: one (process 11), since 2023-11-14 22:13:20, renewed 0.4 s ago, epoch 3",
    ]
    done = said(leases=[{**lease, "holder": ""}], problem="postgres: away")
    assert done.exit_code == EX_FAILED
    assert "lease of default: nobody, epoch 3" in done.stdout
    assert "the database does not renew our leases: postgres: away" in done.stdout
    done = said(problem="postgres: away", stale=True, age=20.5)
    assert done.exit_code == EX_FAILED
    assert "who serves what is not known: it was read last 20.5 s ago" in done.stdout
    assert "lease of default" not in done.stdout
    assert "process 11" not in done.stdout.partition("who serves")[2]
