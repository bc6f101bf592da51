"""A secret that was pasted with something else in it is a configuration error, wherever it stands."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from oc_trio.cli.main import main

HEAD = '[channels.mattermost]\nbaseUrl = "https://chat.example.com"\n'
TOKEN = 'botToken = "abcdef"\n'
MODEL = '[models.providers.l]\nbaseUrl = "http://127.0.0.1:1/v1"\n'

COMMANDS = [["config", "check"], ["doctor"], ["run"]]


def oc_trio(tmp_path: Path, command: list[str], text: str, **env: str) -> Result:
    file = tmp_path / "oc-trio.toml"
    file.write_text(text, encoding="utf-8")
    env = {"STATE_DIRECTORY": str(tmp_path / "state"), **env}
    return CliRunner().invoke(main, [*command, "--config", str(file)], env=env)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_curly_quotes(tmp_path: Path, command: list[str]) -> None:
    """Every command that would use it refuses it, names key and character, and shows nothing of it."""
    result = oc_trio(tmp_path, command, HEAD + TOKEN + MODEL + 'apiKey = "\u201csk-abc\u201d"\n')
    assert result.exit_code == 78
    assert "models.providers.l.apiKey" in result.output
    assert "LEFT DOUBLE QUOTATION MARK (U+201C)" in result.output
    assert "sk-abc" not in result.output


CHARACTERS = [
    ("\u201cs3cret", "begins with LEFT DOUBLE QUOTATION MARK"),
    ("s3cret\u2019", "ends with RIGHT SINGLE QUOTATION MARK"),
    ("s3\u200bcret", "holds ZERO WIDTH SPACE (U+200B)"),
    ("s3\u00a0cret", "holds NO-BREAK SPACE"),
    ("\ufeffs3cret", "begins with a byte order mark"),
    (" s3cret", "begins with SPACE"),
    ("s3cret ", "ends with SPACE"),
    ("s3 cret", "holds SPACE"),
    ("s3cret\\t", "ends with CHARACTER TABULATION"),
    ("s3cret\\n", "ends with LINE FEED"),
    ("s3\\u0007cret", "holds a character without a name (U+0007)"),
    ("s3\\u007fcret", "holds DELETE"),
    ("s3cr\u00e9t", "holds LATIN SMALL LETTER E WITH ACUTE"),
]


@pytest.mark.parametrize(("value", "words"), CHARACTERS)
def test_characters(tmp_path: Path, value: str, words: str) -> None:
    """Each character that can't be in a secret is named as Unicode names it."""
    result = oc_trio(tmp_path, ["config", "check"], HEAD + f'botToken = "{value}"\n')
    assert result.exit_code == 78
    assert f"channels.mattermost.botToken: {words}" in result.output
    assert "s3cr" not in result.output.replace(str(tmp_path), "")


PLACES = [
    ("hooks.token", f'{TOKEN}[hooks]\nenabled = true\ntoken = "s3\u200bcret"\n'),
    ("models.providers.l.headers.api-key", f'{TOKEN}{MODEL}headers = {{ api-key = "s3\u200bcret" }}\n'),
    ("models.providers.l.headers.X", f'{TOKEN}{MODEL}headers = {{ X = {{ source = "env", id = "IT" }} }}\n'),
    ("mcp.servers.m.headers.X", f'{TOKEN}[mcp.servers.m]\nurl = "http://x"\nheaders = {{ X = "s3\u200bcret" }}\n'),
    ("channels.mattermost.botToken", 'botToken = { source = "env", id = "IT" }\n'),
    ("channels.mattermost.botTokenFile", 'botTokenFile = "it"\n'),
    ("models.providers.l.apiKeyFile", f'{TOKEN}{MODEL}apiKeyFile = "it"\n'),
    ("hooks.tokenFile", f'{TOKEN}[hooks]\nenabled = true\ntokenFile = "it"\n'),
    ("channels.mattermost.botToken", 'botToken = { source = "exec", command = ["cat", "IT"] }\n'),
]


@pytest.mark.parametrize(("key", "text"), PLACES, ids=[f"{at}-{key}" for at, (key, _) in enumerate(PLACES)])
def test_places(tmp_path: Path, key: str, text: str) -> None:
    """Inline, from the environment, a file or a program; tokens, keys and headers."""
    file = tmp_path / "it"
    file.write_text("s3\u200bcret\n", encoding="utf-8")
    file.chmod(0o600)
    result = oc_trio(tmp_path, ["config", "check"], HEAD + text.replace('"IT"]', f'"{file}"]'), IT="s3\u200bcret")
    assert result.exit_code == 78
    assert f"{key}: " in result.output
    assert "holds ZERO WIDTH SPACE" in result.output
    assert "cret" not in result.output.replace(str(tmp_path), "").replace("secret", "")


@pytest.mark.parametrize("content", [b"\xef\xbb\xbfs3cret", b"\xff\xfes\x003\x00", b"s3cr\xe9t"])
def test_files_that_an_editor_spoilt(tmp_path: Path, content: bytes) -> None:
    """A byte order mark, another encoding: words, no traceback."""
    file = tmp_path / "it"
    file.write_bytes(content)
    file.chmod(0o600)
    result = oc_trio(tmp_path, ["config", "check"], HEAD + 'botTokenFile = "it"\n')
    assert result.exit_code == 78
    assert "byte order mark" in result.output or "not a text file" in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("by", ["botTokenFile", "credential", "credential of the account"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xef\xbb\xbfs3cret\n", "begins with a byte order mark"),
        (b"\xef\xbb\xbf", "byte order mark"),
        (b"\xff\xfes\x003\x00", "not a text file"),
        ("s3cret\u200b\n".encode(), "ZERO WIDTH SPACE"),
        ("\u201cs3cret\u201d".encode(), "LEFT DOUBLE QUOTATION MARK"),
        (b"s3cret\n\ns3cret\n", "LINE FEED"),
    ],
    ids=["bom", "only-bom", "utf-16", "zero-width", "quotes", "two-lines"],
)
def test_the_bot_token_file(tmp_path: Path, command: list[str], by: str, content: bytes, words: str) -> None:
    """Beside the configuration or as a credential of systemd: words that name the key, no traceback, no secret."""
    name = "bot-token.default" if by == "credential of the account" else "bot-token"
    file = tmp_path / name
    file.write_bytes(content)
    file.chmod(0o600)
    text, env = HEAD, {}
    if by == "botTokenFile":
        text += 'botTokenFile = "bot-token"\n'
    else:
        env = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    result = oc_trio(tmp_path, command, text, **env)
    assert result.exit_code == 78, result.output
    assert words in result.output
    assert "channels.mattermost.botToken" in result.output
    assert "Traceback" not in result.output
    assert "s3cret" not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)


def test_the_environment_variable(tmp_path: Path) -> None:
    """MATTERMOST_BOT_TOKEN is a secret like any other; a byte that is no text is named so."""
    for value, words in (
        ("s3cret\u200b", "ZERO WIDTH SPACE"),
        (os.fsdecode(b"s3\xe9cret"), "REPLACEMENT CHARACTER, for a byte"),
    ):
        result = oc_trio(tmp_path, ["config", "check"], HEAD, MATTERMOST_BOT_TOKEN=value)
        assert result.exit_code == 78
        assert words in result.output


def test_what_is_fine(tmp_path: Path) -> None:
    """A last line break of a file, blanks within a header, any text for a program."""
    file = tmp_path / "it"
    file.write_text("s3cret\r\n", encoding="utf-8")
    file.chmod(0o600)
    text = (
        f'{HEAD}botTokenFile = "it"\ngroupAllowFrom = ["*"]\n{MODEL}headers = {{ Authorization = "Bearer s3cret" }}\n'
        '[models.providers.p]\napi = "command"\ncommand = ["x"]\nenv = { GREETING = "Gr\u00fc\u00df Gott" }\n'
        '[agents.defaults]\nmodel = "p/x"\n'
    )
    result = oc_trio(tmp_path, ["config", "check"], text)
    assert result.exit_code == 0, result.output
    shown = oc_trio(tmp_path, ["config", "show"], text)
    assert shown.exit_code == 0
    assert "s3cret" not in shown.output
    assert "Gr\u00fc\u00df" not in shown.output


@pytest.mark.parametrize("name", ["api key", "x:y", "\u00e4", "", "Content-Length"])
def test_header_names(tmp_path: Path, name: str) -> None:
    """What HTTP would refuse at the first question is refused before."""
    result = oc_trio(tmp_path, ["config", "check"], HEAD + TOKEN + MODEL + f'headers = {{ "{name}" = "v" }}\n')
    assert result.exit_code == 78
    assert "models.providers.l.headers." in result.output
