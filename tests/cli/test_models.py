"""`oc-trio models list` as its users see it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from oc_trio.cli.main import main
from tests.config.openclaw_database import make_store

CONFIG = """[channels.mattermost]
baseUrl = "https://chat.example.com"
botToken = "t"
[models.providers.local]
baseUrl = "http://127.0.0.1:8000/v1"
models = ["qwen3"]
[agents.defaults]
model = { primary = "anthropic/claude-sonnet-4-6", fallbacks = ["local/qwen3"] }
"""


def run(folder: Path, *arguments: str, **env: str) -> Result:
    base: dict[str, str | None] = {"HOME": str(folder), "XDG_CONFIG_HOME": None, "OC_TRIO_CONFIG": None}
    keys: dict[str, str | None] = {"ANTHROPIC_API_KEY": None, "OPENAI_API_KEY": None}
    return CliRunner().invoke(main, ["models", "list", *arguments], env={**base, **keys, **env})


def test_built_in_and_configured(tmp_path: Path) -> None:
    """Those that agents ask come first; each says where its key is from."""
    file = tmp_path / "c.toml"
    file.write_text(CONFIG)
    done = run(tmp_path, "--config", str(file), ANTHROPIC_API_KEY="s3cret")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0].split() == [
        "anthropic",
        "used",
        "anthropic-messages",
        "https://api.anthropic.com",
        "(env",
        "ANTHROPIC_API_KEY)",
    ]
    assert lines[1] == "    anthropic/claude-sonnet-4-6"
    assert lines[2].startswith("local ")
    assert any(line.startswith("openai ") and "no key: set OPENAI_API_KEY" in line for line in lines)
    assert any(line.startswith("ollama ") and line.endswith("(no key)") for line in lines)
    assert "s3cret" not in done.output


def test_json(tmp_path: Path) -> None:
    """The JSON output has the rows of the table, with a field for each column."""
    file = tmp_path / "c.toml"
    file.write_text(CONFIG)
    rows = {row["name"]: row for row in json.loads(run(tmp_path, "--json", "--config", str(file)).stdout)}
    assert rows["local"] == {
        "name": "local",
        "api": "openai-completions",
        "baseUrl": "http://127.0.0.1:8000/v1",
        "builtIn": False,
        "configured": True,
        "variables": [],
        "needsKey": False,
        "key": "",
        "models": ["qwen3"],
        "used": True,
        "usedBy": ["agents.defaults.model.fallbacks[0]"],
    }
    assert rows["google"]["variables"] == ["GEMINI_API_KEY", "GOOGLE_API_KEY"]


def test_without_a_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The built-in ones are listed all the same; a file that is wrong is said."""
    monkeypatch.chdir(tmp_path)
    assert run(tmp_path).stdout.startswith("anthropic    built in")
    (tmp_path / "oc-trio.toml").write_text("agents = 3")
    done = run(tmp_path)
    assert (done.exit_code, done.stdout) == (78, "")
    assert "agents: must be a table" in done.stderr


def test_a_key_that_openclaw_keeps(tmp_path: Path) -> None:
    """Its place is said, and not that it stood in the file."""
    file = tmp_path / ".openclaw" / "openclaw.json"
    make_store(file.parent, {"openai:default": {"type": "api_key", "provider": "openai", "key": "s3cret"}})
    file.write_text('{ agents: { defaults: { model: "openai/gpt-5.4" } }, channels: { mattermost: {} } }')
    done = run(tmp_path, "--config", str(file))
    assert done.stdout.splitlines()[0].endswith("https://api.openai.com/v1  (kept by OpenClaw)")
    assert "s3cret" not in done.output
