"""`oc-trio init`, against the embedded server: what it asks, what it takes for the address, and what it writes."""

import json
import os
import pty
import re
import select
import signal
import stat
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from oc_trio.cli.main import main
from oc_trio.config.load import load
from tests.cli.sandbox_server import Server, a_server

MODELS = json.dumps({"object": "list", "data": [{"id": "qwen3"}, {"id": "gemma3"}]})


class OtherServer(ThreadingHTTPServer):
    """Anything that is not Mattermost: `pages` by path are status, headers and body."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pages: dict[str, tuple[int, dict[str, str], str]] = {}
        self.tokens: list[str] = []
        # Asked for where it is set.
        self.key = ""
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, OtherServer)
        server.tokens.append(self.headers.get("Authorization", ""))
        status, headers, body = server.pages.get(self.path, (200, {"Content-Type": "text/html"}, "<title>x</title>"))
        if server.key and self.headers.get("Authorization", "") != f"Bearer {server.key}":
            status, headers, body = 401, {"Content-Type": "application/json"}, '{"error": {"message": "no such key"}}'
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@contextmanager
def another_server() -> Iterator[OtherServer]:
    with OtherServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(5)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A chat server, in a folder without a configuration; the bot's token is in `token`."""
    secret = re.compile(r"MATTERMOST_.*|.*_(API_KEY|TOKEN)")
    for name in list(filter(secret.fullmatch, os.environ)):
        monkeypatch.delenv(name)
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    monkeypatch.delenv("OC_TRIO_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    with a_server(tmp_path) as running:
        running.config.unlink()
        (tmp_path / "token").write_text(f"{running.demo.bot.token}\n")
        (tmp_path / "token").chmod(0o600)
        yield running


@pytest.fixture
def models() -> Iterator[OtherServer]:
    """A model server with two models."""
    with another_server() as running:
        running.pages["/v1/models"] = (200, {"Content-Type": "application/json"}, MODELS)
        running.pages["/models"] = (404, {"Content-Type": "text/plain"}, "not found")
        yield running


def init(*args: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(main, ["init", *args], input=stdin)


def given(server: Server, models: OtherServer, *more: str, url: str = "") -> Result:
    """Everything by options, so that nothing is asked."""
    words = ("--url", url or server.url, "--token-file", "token", "--model-url", f"{models.url}/v1", "--model", "qwen3")
    return init(*words, *more)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_everything_by_options(server: Server, models: OtherServer, tmp_path: Path) -> None:
    """Nothing is asked; the file loads without a warning, the doctor's findings follow, and then what to type."""
    result = given(server, models, "--name", "Helper")
    assert result.exit_code == 0, result.output
    assert f"The token is @bot's (Demo Bot), in {server.demo.team.name}\n" in result.output
    assert "ok      rights of default: may post" in result.output
    assert "\nNext: oc-trio run\n" in result.output
    loaded = load(None, os.environ)
    account = loaded.accounts[loaded.default_account]
    assert (loaded.path, loaded.warnings, loaded.broken) == (tmp_path / "oc-trio.toml", (), {})
    assert (account.base_url, account.bot_token.reveal(), account.name) == (server.url, server.demo.bot.token, "Helper")
    assert (account.access.dm_policy.value, account.access.group_policy.value) == ("pairing", "open")
    assert loaded.config.agents.defaults.model.primary == "local/qwen3"
    assert mode_of(tmp_path / "oc-trio.toml") == 0o644
    # The given file is kept well, so that it stays the only copy.
    assert account.bot_token_file == "token"
    assert not (tmp_path / "bot-token").exists()


def test_a_conversation(server: Server, models: OtherServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In a pipe as at a terminal: what can't be right is asked again, and a local model server is offered."""
    monkeypatch.setenv("OLLAMA_HOST", models.url.removeprefix("http://"))
    answers = (
        "nowhere.invalid",
        f"{server.url}/api/v4/",
        "wrong-token",
        server.demo.bot.token,
        "2",
        "2",
        "",
        "@nobody",
        "alice",
        "",
    )
    result = init(stdin="\n".join(answers) + "\n")
    assert result.exit_code == 0, result.output
    assert "https://nowhere.invalid can't be reached" in result.output or "can't be resolved" in result.output
    assert "refuses the token" in result.output
    assert f"  2  gemma3, of Ollama at {models.url}/v1" in result.output
    assert f"there is no user nobody at {server.url}" in result.output
    text = (tmp_path / "oc-trio.toml").read_text()
    assert f'    "{server.demo.alice.id}",  # @alice' in text
    assert 'dmPolicy = "allowlist"' in text
    assert 'groupPolicy = "allowlist"' in text
    assert 'model = "ollama/gemma3"' in text
    assert (tmp_path / "bot-token").read_text().strip() == server.demo.bot.token
    assert mode_of(tmp_path / "bot-token") == 0o600
    assert server.demo.bot.token not in text


def test_machine_readable(server: Server, models: OtherServer, tmp_path: Path) -> None:
    """Standard output is one JSON object, without the token."""
    result = given(server, models, "--json", "--output", str(tmp_path / "mine.toml"))
    facts = json.loads(result.stdout)
    assert (facts["config"], facts["bot"], facts["isBot"]) == (str(tmp_path / "mine.toml"), "bot", True)
    assert (facts["tokenFile"], facts["next"]) == (
        str(tmp_path / "token"),
        f"oc-trio run --config {tmp_path / 'mine.toml'}",
    )
    assert {row["level"] for row in facts["findings"]} == {"ok"}
    assert server.demo.bot.token not in result.output


def test_the_token_from_elsewhere(
    server: Server, models: OtherServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """From standard input, from the environment, and from a file that others can read: into one that they can't."""
    words = ("--url", server.url, "--model-url", f"{models.url}/v1", "--model", "qwen3", "--overwrite")
    assert init(*words, "--token-stdin", stdin=f"{server.demo.bot.token}\n").exit_code == 0
    assert mode_of(tmp_path / "bot-token") == 0o600
    (tmp_path / "bot-token").unlink()
    (tmp_path / "token").chmod(0o644)
    assert init(*words, "--token-file", "token").exit_code == 0
    assert mode_of(tmp_path / "bot-token") == 0o600
    (tmp_path / "bot-token").unlink()
    monkeypatch.setenv("MATTERMOST_BOT_TOKEN", server.demo.bot.token)
    assert init(*words).exit_code == 0
    assert mode_of(tmp_path / "bot-token") == 0o600
    assert load(None, os.environ).warnings == ()


WRONG: dict[str, Callable[[str], str]] = {
    "no scheme": lambda url: url.removeprefix("http://"),
    "a team and a channel behind it": lambda url: f"{url}/demo/channels/town-square",
    "a message behind it": lambda url: f"{url}/demo/pl/abc?x=1#top",
    "the API behind it": lambda url: f"{url}/api/v4/",
    "in capitals": lambda url: url.replace("http://", "HTTP://"),
}


@pytest.mark.parametrize("spelled", WRONG.values(), ids=WRONG)
def test_an_address_that_means_the_server(
    server: Server, models: OtherServer, spelled: Callable[[str], str], tmp_path: Path
) -> None:
    """As people copy it: it is taken, and the file has the right one."""
    result = given(server, models, url=spelled(server.url))
    assert result.exit_code == 0, result.output
    assert f'baseUrl = "{server.url}"' in (tmp_path / "oc-trio.toml").read_text()


def test_an_address_that_could_send_the_token_elsewhere(server: Server, models: OtherServer, tmp_path: Path) -> None:
    """Another host or https:// that is only http://: named with the right one, used with --yes, or when asked."""
    port = server.url.rpartition(":")[2]
    with another_server() as proxy:
        ping = "/api/v4/system/ping"
        proxy.pages[ping] = (301, {"Location": f"http://localhost:{port}{ping}"}, "")
        for url, right in ((f"https://127.0.0.1:{port}", server.url), (proxy.url, f"http://localhost:{port}")):
            result = given(server, models, url=url)
            assert result.exit_code == 69
            assert f"Mattermost answers at {right}" in result.output
            assert f"write --url {right} --yes" in result.output
            assert not (tmp_path / "oc-trio.toml").exists()
            asked = init("--url", url, "--token-file", "token", stdin="n\n")
            assert (asked.exit_code, f"{right}. Use that? [Y/n]" in asked.output) == (1, True)
            assert given(server, models, "--yes", url=url).exit_code == 0
            (tmp_path / "oc-trio.toml").unlink()
        # Where nobody has given it, another address may be typed.
        refused = init("--token-file", "token", stdin=f"{proxy.url}\nn\n{server.url}\n")
        assert f"http://localhost:{port} is not used\nURL of your Mattermost: {server.url}" in refused.output
        # Nobody who was not agreed to has read the token.
        assert set(proxy.tokens) == {""}


def test_an_address_without_a_mattermost(server: Server, models: OtherServer, tmp_path: Path) -> None:
    """A page of something else, a port where nothing listens, a name that is none: said in words, and what to do."""
    with another_server() as page:
        result = given(server, models, url=page.url)
        assert result.exit_code == 69
        assert f"what answers at {page.url} is not Mattermost (HTTP 200, text/html)" in result.output
    result = given(server, models, url="http://nowhere.invalid")
    assert "nowhere.invalid can't be resolved" in result.output
    assert "open the server in a browser on this machine, and take its address" in result.output
    for url in ("http://127.0.0.1:9", "http://nowhere.invalid", "http://", "ftp://127.0.0.1", "http://a:b@127.0.0.1"):
        result = given(server, models, url=url)
        assert result.exit_code == 69, result.output
        assert "Traceback" not in result.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["token"]


def test_a_refused_token(server: Server, models: OtherServer, tmp_path: Path) -> None:
    """Exit code 77, and nothing is written; the token is not quoted."""
    (tmp_path / "token").write_text("abcdefghijklmnopqrstuvwxyz")
    result = given(server, models)
    assert result.exit_code == 77
    assert "refuses the token" in result.output
    assert "abcdefghijklmnopqrstuvwxyz" not in result.output
    for text, why in (("", "is empty"), ("ab cd", "SPACE"), ("töken", "LATIN SMALL LETTER O")):
        (tmp_path / "token").write_text(text)
        result = given(server, models)
        assert (result.exit_code, why in result.output) == (1, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["token"]


def test_the_token_of_a_person(server: Server, models: OtherServer, tmp_path: Path) -> None:
    """Named, and used only by who says so."""
    (tmp_path / "token").write_text(server.do(lambda: server.world.users.create_token(server.demo.alice.id).token))
    result = given(server, models)
    assert result.exit_code == 1
    assert "the token is a person's (@alice), not a bot account's" in result.output
    result = given(server, models, "--yes")
    assert "account default: the token is a person's" in result.output
    assert result.exit_code == 0


def test_files_that_are_there(server: Server, models: OtherServer, tmp_path: Path) -> None:
    """Existing files are replaced only with --overwrite, and then as a whole."""
    config, token = tmp_path / "oc-trio.toml", tmp_path / "bot-token"
    config.write_text("# mine")
    result = given(server, models)
    assert (result.exit_code, config.read_text()) == (1, "# mine")
    assert f"{config} is there already: --overwrite replaces it" in result.output
    assert init(stdin="n\n").exit_code == 1
    config.unlink()
    token.write_text("another token")
    words = ("--url", server.url, "--model-url", f"{models.url}/v1", "--model", "qwen3", "--token-stdin")
    result = init(*words, stdin=server.demo.bot.token)
    assert (result.exit_code, token.read_text(), config.exists()) == (1, "another token", False)
    assert init(*words, "--overwrite", stdin=server.demo.bot.token).exit_code == 0
    assert token.read_text().strip() == server.demo.bot.token
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bot-token", "oc-trio.toml", "token"]


def test_a_key_of_a_provider(
    server: Server, models: OtherServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """From its variable, from a file, or asked for; a provider that can't be had says what to use instead."""
    words = ("--url", server.url, "--token-file", "token", "--overwrite")
    result = init(*words, "--model", "openai/gpt-4.1")
    assert (result.exit_code, "set OPENAI_API_KEY, or give --api-key-file" in result.output) == (78, True)
    result = init(*words, "--model", "openai-codex/gpt-5")
    assert (result.exit_code, "signs in with a subscription" in result.output) == (78, True)
    result = init(*words, "--model", "qwen3")
    assert (result.exit_code, "Write PROVIDER/qwen3" in result.output) == (2, True)
    (tmp_path / "key").write_text("sk-secret")
    more = ("--provider", "openai", "--model-url", f"{models.url}/v1", "--model", "qwen3", "--api-key-file", "key")
    result = init(*words, *more)
    assert result.exit_code == 0, result.output
    assert mode_of(tmp_path / "openai-api-key") == 0o600
    assert "sk-secret" not in (tmp_path / "oc-trio.toml").read_text() + result.output
    assert models.tokens[-1] == "Bearer sk-secret"
    monkeypatch.setenv("OPENAI_API_KEY", "sk-variable")
    result = init(*words, "--provider", "openai", "--model-url", f"{models.url}/v1", "--model", "qwen3")
    assert (result.exit_code, models.tokens[-1]) == (0, "Bearer sk-variable")
    assert "sk-variable" not in (tmp_path / "oc-trio.toml").read_text()


def test_a_provider_is_offered_by_each_variable_of_its_key(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some providers' keys have two names in use."""
    monkeypatch.setenv("GOOGLE_API_KEY", "k")
    offered = init("--url", server.url, "--token-file", "token", stdin="").output
    assert "a model of google, with the key in GOOGLE_API_KEY" in offered


def test_a_model_server_that_wants_a_key(server: Server, models: OtherServer, tmp_path: Path) -> None:
    """What it says is repeated, and the key asked for again; without anybody to ask it is named."""
    models.key = "sk-right"
    words = ("--url", server.url, "--token-file", "token")
    result = init(*words, "--model-url", f"{models.url}/v1")
    assert (result.exit_code, "wants a key (HTTP 401)" in result.output) == (69, True)
    # Which number it has depends on the model servers of this machine.
    (number,) = re.findall(r"  (\d+)  another model server", init(*words, stdin="").output)
    address = models.url.removeprefix("http://") + "/v1"
    result = init(*words, stdin=f"{number}\n{address}\nsk-wrong\nsk-right\nqwen3\n1\n\n1\n")
    assert result.exit_code == 0, result.output
    assert "wants a key (HTTP 401)" in result.output
    assert "refuses the key" in result.output
    assert 'apiKeyFile = "local-api-key"' in (tmp_path / "oc-trio.toml").read_text()
    assert (tmp_path / "local-api-key").read_text() == "sk-right\n"
    assert mode_of(tmp_path / "local-api-key") == 0o600


def test_an_address_that_holds_a_password(server: Server, models: OtherServer, tmp_path: Path) -> None:
    """Then the configuration is readable to its owner only, as the secrets' files are."""
    address = f"{models.url.replace('http://', 'http://me:pass-word@')}/v1"
    result = init("--url", server.url, "--token-file", "token", "--model-url", address, "--model", "qwen3")
    assert result.exit_code == 0, result.output
    assert mode_of(tmp_path / "oc-trio.toml") == 0o600
    assert "pass-word" not in result.output


def test_a_model_server_with_several_models(server: Server, models: OtherServer) -> None:
    """Without --model it says what there is; /v1 is added where it lacks; an unknown model fails as in doctor."""
    words = ("--url", server.url, "--token-file", "token", "--model-url", models.url)
    result = init(*words)
    assert (result.exit_code, "2 models, so give --model: qwen3, gemma3" in result.output) == (1, True)
    result = init(*words, "--model", "qwen4")
    assert (result.exit_code, 'there is no model "qwen4"' in result.output) == (1, True)
    assert "Mend what failed, then examine it again: oc-trio doctor" in result.output
    assert load(None, os.environ).config.models.providers["local"].base_url == f"{models.url}/v1"


def test_wrong_usage(server: Server, models: OtherServer, tmp_path: Path) -> None:
    """What is missing is named at once, with exit code 2; so are answers that end too early."""
    result = init("--yes")
    assert (result.exit_code, "Missing: --url, --token-file" in result.output) == (2, True)
    result = init(stdin=f"{server.url}\n")
    assert (result.exit_code, "Standard input ended" in result.output) == (2, True)
    result = given(server, models, "--strangers", "allowlist")
    assert (result.exit_code, "--strangers allowlist needs people: --allow @NAME" in result.output) == (2, True)
    result = given(server, models, "--allow", "@nobody")
    assert (result.exit_code, "there is no user nobody" in result.output) == (1, True)
    result = given(server, models, "--output", "missing/oc-trio.toml")
    assert (result.exit_code, "mkdir -p" in result.output) == (1, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["token"]


@pytest.mark.slow
def test_at_a_terminal(server: Server, tmp_path: Path) -> None:
    """The token is not shown while it is typed, and a Ctrl-C at the next question leaves nothing behind."""
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "oc_trio", "init"]
    process = subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    try:
        shown = _read_until(ours, "URL of your Mattermost")
        os.write(ours, f"{server.url}\n".encode())
        shown += _read_until(ours, "token")
        _wait_for_silence(ours)
        os.write(ours, f"{server.demo.bot.token}\n".encode())
        shown += _read_until(ours, "Number")
        process.send_signal(signal.SIGINT)
        if not select.select([ours], [], [], 10.0)[0]:
            process.send_signal(signal.SIGINT)  # Python misses one that comes just before it waits for the terminal
        shown += _read_until(ours, "interrupted; nothing was written")
        assert process.wait(60) == 130
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert "The token is @bot's" in shown
    assert server.demo.bot.token not in shown
    assert not re.search("Traceback", shown)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["token"]


def _wait_for_silence(terminal: int) -> None:
    """The terminal stops its echo only after the question."""
    until = time.monotonic() + 30
    while termios.tcgetattr(terminal)[3] & termios.ECHO:
        assert time.monotonic() < until, "what is typed is shown"
        time.sleep(0.01)


def _read_until(terminal: int, text: str) -> str:
    shown, until = b"", time.monotonic() + 60
    while text.encode() not in shown:
        ready, _, _ = select.select([terminal], [], [], max(until - time.monotonic(), 0))
        assert ready, shown.decode()
        shown += os.read(terminal, 4096)
    return shown.decode()


def test_a_place_that_can_t_be_seen_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that may not be looked into (or, for root, has too long a name), and one that was deleted meanwhile."""
    words = ("--url", "http://127.0.0.1:9", "--model", "m", "--token-stdin")
    closed = init(*words, "--output", f"{tmp_path}/{'x' * 300}/oc-trio.toml", stdin="token-of-the-bot")
    assert (closed.exit_code, "there is no folder" in closed.stderr) == (1, True)
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    gone = init(*words, stdin="token-of-the-bot")
    assert (gone.exit_code, gone.stderr) == (
        78,
        "oc-trio: the current folder: is not there any more (start this in another one)\n",
    )
