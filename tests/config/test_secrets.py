"""Secrets are found where the operator put them, refused where others can read them, and never shown."""

import copy
import sys
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from oc_trio.config.load import Loaded
from oc_trio.config.secrets import Secret, SecretRef, SecretSource, SecretUnavailable, read_secret
from oc_trio.errors import ConfigError

URL = 'baseUrl = "https://chat.example.com"\n'
HEAD = "[channels.mattermost]\n" + URL


def token(loaded: Loaded) -> str:
    (account,) = loaded.accounts.values()
    return account.bot_token.reveal()


def private_file(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_secret_never_shows_itself() -> None:
    """No way of printing gives the value away."""
    secret = Secret("hunter2", SecretRef(SecretSource.ENV, "X"))
    shown = [
        str(secret),
        repr(secret),
        f"{secret}",
        f"{secret:>20}",
        repr([secret]),
        repr(copy.copy(secret)),
    ]
    assert not any("hunter2" in text for text in shown)
    assert secret.reveal() == "hunter2"
    assert not Secret("")


def test_token_file(load_text: Callable[..., Loaded], tmp_path: Path) -> None:
    """A relative botTokenFile is found beside the configuration file, its last line break is no part of it."""
    private_file(tmp_path / "tok", "s3cret\n")
    assert token(load_text(HEAD + 'botTokenFile = "tok"', env={})) == "s3cret"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_readable_by_others_is_refused_with_the_fix(
    load_text: Callable[..., Loaded], tmp_path: Path, mode: int
) -> None:
    """The message names the mode and the command that repairs it, not the value."""
    file = private_file(tmp_path / "tok", "s3cret", mode)
    with pytest.raises(ConfigError) as caught:
        load_text(HEAD + 'botToken = { source = "file", path = "./tok" }', env={})
    assert f"chmod 600 {file}" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_environment_reference(load_text: Callable[..., Loaded]) -> None:
    """source env reads the named variable; OpenClaw's provider is accepted."""
    text = HEAD + 'botToken = { source = "env", provider = "default", id = "MY_BOT" }'
    assert token(load_text(text, env={"MY_BOT": "v"})) == "v"
    with pytest.raises(ConfigError, match="the environment variable MY_BOT is not set"):
        load_text(text, env={})


def test_command_reference(load_text: Callable[..., Loaded]) -> None:
    """source exec takes what the command prints."""
    code = "print('from-manager')"
    assert token(
        load_text(HEAD + f'botToken = {{ source = "exec", command = ["{sys.executable}", "-c", "{code}"] }}', env={})
    ) == ("from-manager")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("/no/such/program",), "can't be run: No such file"),
        ((sys.executable, "-c", "import sys; print('s3cret'); sys.exit(3)"), "ended with exit code 3"),
        ((sys.executable, "-c", "pass"), "is empty"),
        ((sys.executable, "-c", "print('a'); print('b')"), "more than one line"),
    ],
    ids=["missing", "failing", "silent", "talkative"],
)
def test_command_that_gives_no_secret(command: tuple[str, ...], words: str) -> None:
    """A password manager's failure is told in words, without what it printed."""
    with pytest.raises(SecretUnavailable) as caught:
        read_secret(SecretRef(SecretSource.EXEC, command[0], command[1:]), {})
    assert words in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_systemd_credentials(load_text: Callable[..., Loaded], tmp_path: Path) -> None:
    """LoadCredential= serves default and named accounts; systemd guards those files, so their mode is not judged."""
    folder = tmp_path / "credentials"
    folder.mkdir()
    private_file(folder / "bot-token", "one", 0o444)
    private_file(folder / "bot-token.alerts", "two", 0o440)
    text = HEAD + "[channels.mattermost.accounts.alerts]\nname = 'Alerts'"
    loaded = load_text(text, env={"CREDENTIALS_DIRECTORY": str(folder)})
    tokens = {name: account.bot_token.reveal() for name, account in loaded.accounts.items()}
    assert tokens == {"default": "one", "alerts": "two"}


def test_inline_and_file_together_are_refused(load_text: Callable[..., Loaded], tmp_path: Path) -> None:
    """Which of two tokens holds is not left to guessing."""
    private_file(tmp_path / "tok", "x")
    with pytest.raises(ConfigError, match="is set beside botToken"):
        load_text(HEAD + 'botToken = "a"\nbotTokenFile = "tok"', env={})


def test_an_accounts_own_token_replaces_the_roots_file(load_text: Callable[..., Loaded], tmp_path: Path) -> None:
    """An inline token of an account and a token file of the root are not a conflict."""
    private_file(tmp_path / "tok", "root")
    loaded = load_text(HEAD + 'botTokenFile = "tok"\n[channels.mattermost.accounts.b]\nbotToken = "own"', env={})
    assert {name: one.bot_token.reveal() for name, one in loaded.accounts.items()} == {"b": "own", "default": "root"}


def test_nothing_loaded_shows_a_secret(load_text: Callable[..., Loaded], tmp_path: Path) -> None:
    """repr of everything that load returns holds no token, key or header."""
    text = (
        HEAD
        + 'botToken = "s3cret-1"\n[models.providers.l]\nbaseUrl = "http://x"\napiKey = "s3cret-2"\n'
        + 'headers = { X-Key = "s3cret-3" }\n[hooks]\nenabled = true\ntoken = "s3cret-4"\n'
        + '[store]\nurl = "postgresql://u:s3cret-5@h/d"\n[mcp.servers.m]\ncommand = "m"\nenv = { KEY = "s3cret-6" }\n'
    )
    loaded = load_text(text, env={})
    assert "s3cret" not in repr(loaded)
    assert "s3cret" not in repr(list(loaded.accounts.values()))
    assert loaded.config.hooks.token.reveal() == "s3cret-4"
    assert loaded.config.mcp.servers["m"].env["KEY"].reveal() == "s3cret-6"
    assert attrs.fields_dict(Loaded)["values"].repr is False


def test_key_files(load_text: Callable[..., Loaded], tmp_path: Path) -> None:
    """apiKeyFile and hooks.tokenFile end up where the inline values would be."""
    private_file(tmp_path / "key", "k")
    config = load_text(
        '[models.providers.l]\nbaseUrl = "http://x"\napiKeyFile = "key"\n[hooks]\ntokenFile = "key"'
    ).config
    assert (config.models.providers["l"].api_key.reveal(), config.hooks.token.reveal()) == ("k", "k")


def test_a_missing_key_file_is_named_with_its_line(load_text: Callable[..., Loaded]) -> None:
    """The path is the file's, also of a provider whose name needs quotes."""
    with pytest.raises(ConfigError) as caught:
        load_text('[models.providers."my.box"]\nbaseUrl = "http://x"\napiKeyFile = "none"')
    (problem,) = (each for each in caught.value.problems if each.path.endswith("apiKeyFile"))
    assert (problem.path, problem.where.rpartition(":")[2]) == ('models.providers."my.box".apiKeyFile', "3")


def test_broken_json5_does_not_show_what_was_read(load_text: Callable[..., Loaded]) -> None:
    """The decoder's message holds the part already read; ours holds line and column."""
    with pytest.raises(ConfigError) as caught:
        load_text('{ channels: { mattermost: { botToken: "s3cret",\n   baseUrl: } } }', "openclaw.json")
    assert "s3cret" not in str(caught.value)
    assert "openclaw.json:2:13: not valid JSON5" in str(caught.value)


def test_looking_needs_no_secrets(load_text: Callable[..., Loaded]) -> None:
    """Without connect, unreadable secrets and missing servers are no problem."""
    loaded = load_text('[channels.mattermost]\nbotToken = { source = "env", id = "NO" }', env={}, connect=False)
    assert list(loaded.accounts) == ["default"]


def test_a_command_that_prints_without_end_is_stopped() -> None:
    """Long before its deadline, and before its words fill the memory; one that reads nothing is no failure."""
    endless = SecretRef(SecretSource.EXEC, "/usr/bin/yes", id="k")
    with pytest.raises(SecretUnavailable, match="/usr/bin/yes printed more than 1024 KiB"):
        read_secret(endless, {})
    answer = '{"protocolVersion": 1, "values": {"k": "s"}}'
    deaf = SecretRef(SecretSource.EXEC, "/bin/echo", arguments=(answer,), id="k")
    assert read_secret(deaf, {}).reveal() == "s"
