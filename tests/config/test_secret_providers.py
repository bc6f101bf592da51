"""`secrets.providers` of an openclaw.json: what is read, and which mistake is named where."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oc_trio.config.load import Loaded
from oc_trio.errors import ConfigError

LoadText = Callable[..., Loaded]
Document = dict[str, Any]


def document(reference: object, **secrets: Any) -> str:
    values = {
        "secrets": secrets,
        "channels": {"mattermost": {"baseUrl": "https://chat.example.com", "botToken": reference}},
    }
    return json.dumps(values)


def token(loaded: Loaded) -> str:
    (account,) = loaded.accounts.values()
    return account.bot_token.reveal()


def test_a_file_and_a_json_pointer(load_text: LoadText, tmp_path: Path) -> None:
    """Relative paths start at the configuration; the pointer knows its escapes."""
    (tmp_path / "store.json").write_text('{"a/b": [{"~": "s3cret"}]}')
    (tmp_path / "store.json").chmod(0o600)
    reference = {"source": "file", "provider": "f", "id": "/a~1b/0/~0"}
    providers = {"f": {"source": "file", "path": "store.json"}}
    loaded = load_text(document(reference, providers=providers), "openclaw.json")
    assert token(loaded) == "s3cret"


def test_a_program_is_asked_as_openclaw_asks(load_text: LoadText, tmp_path: Path) -> None:
    """The question is JSON on standard input, and so is the answer."""
    script = (
        'read question; case "$question" in *\'"provider": "v"\'*\'"ids": ["a/b#c"]\'*) '
        'echo "{\\"values\\": {\\"a/b#c\\": \\"$WORD\\"}}";; esac'
    )
    providers = {"v": {"source": "exec", "command": "/bin/sh", "args": ["-c", script], "env": {"WORD": "s3cret"}}}
    defaults = {"exec": "v"}
    text = document({"source": "exec", "id": "a/b#c"}, providers=providers, defaults=defaults)
    assert token(load_text(text, "openclaw.json")) == "s3cret"


SHELL = {"source": "exec", "command": "/bin/sh"}
WRONG: dict[str, tuple[Document, Document, str]] = {
    "no such provider": (
        {"source": "file", "provider": "x", "id": "/a"},
        {"f": {"source": "file", "path": "/f"}},
        'channels.mattermost.botToken.provider: there is no secrets provider "x" of file (there are: f',
    ),
    "of another source": (
        {"source": "exec", "provider": "f", "id": "a"},
        {"f": {"source": "file", "path": "/f"}},
        'there is no secrets provider "f" of exec',
    ),
    "not in the store": (
        {"source": "store", "provider": "default", "id": "A"},
        {},
        "OpenClaw's store of secrets (",
    ),
    "not on the list": (
        {"source": "env", "provider": "e", "id": "HOME"},
        {"e": {"source": "env", "allowlist": ["OTHER"]}},
        "channels.mattermost.botToken.id: secrets.providers.e.allowlist does not have HOME",
    ),
    "no pointer": (
        {"source": "file", "provider": "f", "id": "a"},
        {"f": {"source": "file", "path": "/f"}},
        'botToken.id: must be a JSON pointer (such as "/providers/openai/apiKey")',
    ),
    "a single value": (
        {"source": "file", "provider": "f", "id": "/a"},
        {"f": {"source": "file", "path": "/f", "mode": "singleValue"}},
        'must be "value", for secrets.providers.f holds a single value',
    ),
    "a relative program": (
        {"source": "exec", "provider": "v", "id": "a"},
        {"v": {"source": "exec", "command": "vault"}},
        "secrets.providers.v.command: must be the absolute path of a program",
    ),
    "an untrusted program": (
        {"source": "exec", "provider": "v", "id": "a"},
        {"v": {**SHELL, "trustedDirs": ["/opt"]}},
        "secrets.providers.v.command: is in none of trustedDirs",
    ),
    "a plugin": (
        {"source": "exec", "provider": "v", "id": "a"},
        {"v": {"source": "exec", "pluginIntegration": {}}},
        "secrets.providers.v.pluginIntegration: is a plugin of OpenClaw",
    ),
    "nothing there": (
        {"source": "exec", "provider": "v", "id": "a"},
        {"v": {**SHELL, "args": ["-c", 'echo \'{"errors": {"a": {"code": "NOT_FOUND", "message": "s3cret"}}}\'']}},
        "botToken: /bin/sh gave no value for a (NOT_FOUND)",
    ),
    "no JSON": (
        {"source": "exec", "provider": "v", "id": "a"},
        {"v": {**SHELL, "args": ["-c", "echo s3cret"]}},
        "botToken: /bin/sh printed no JSON object",
    ),
    "no time limit": (
        {"source": "exec", "provider": "v", "id": "a"},
        {"v": {**SHELL, "timeoutMs": "soon"}},
        "secrets.providers.v.timeoutMs: must be between 1 and 120000",
    ),
    "no arguments": (
        {"source": "exec", "provider": "v", "id": "a"},
        {"v": {**SHELL, "args": [5]}},
        "secrets.providers.v.args: must be a list of texts",
    ),
    "too slow": (
        {"source": "exec", "provider": "v", "id": "a"},
        {"v": {**SHELL, "args": ["-c", "sleep 5"], "timeoutMs": 50}},
        "botToken: /bin/sh gave no answer within 0.05 s",
    ),
}


@pytest.mark.parametrize(("reference", "providers", "words"), WRONG.values(), ids=WRONG)
def test_what_can_t_be_had_stops_the_start(
    load_text: LoadText, reference: Document, providers: Document, words: str
) -> None:
    """With the line of the file, and never with a secret."""
    with pytest.raises(ConfigError) as caught:
        load_text(document(reference, providers=providers), "openclaw.json")
    assert len(caught.value.problems) == 1
    assert words in str(caught.value)
    assert "openclaw.json:1: " in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("not JSON", "is not JSON, so /a finds nothing in it"),
        ("{}", "holds nothing at /a"),
        ('{"a": 1}', "holds no text at /a"),
    ],
)
def test_what_a_pointer_does_not_find(load_text: LoadText, tmp_path: Path, content: str, words: str) -> None:
    """TOML takes a pointer as well."""
    (tmp_path / "f").write_text(content)
    (tmp_path / "f").chmod(0o600)
    toml = '[channels.mattermost]\nbaseUrl = "https://x"\nbotToken = { source = "file", path = "./f", pointer = "/a" }'
    with pytest.raises(ConfigError, match=words):
        load_text(toml)


def test_a_broken_reference_of_somebody_else_s_is_nobody_s_business(load_text: LoadText) -> None:
    """Other channels' tokens are not read."""
    text = '{ channels: { slack: { appToken: { source: "exec", provider: "gone", id: "a" } }, mattermost: {} } }'
    assert load_text(text, "openclaw.json").accounts
    # What is wrong stands at the provider, which nobody else asks.
    text = text.replace("gone", "v").replace(
        "{ channels", '{ secrets: { providers: { v: { source: "exec" } } }, channels'
    )
    assert load_text(text, "openclaw.json").accounts
