"""Keys and secrets that OpenClaw keeps in its database: read, and never written."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oc_trio.config.load import Loaded
from oc_trio.config.openclaw_store import OpenClawStore
from oc_trio.errors import ConfigError
from tests.config.conftest import ENV
from tests.config.openclaw_database import make_store

LoadText = Callable[..., Loaded]
MODEL = '{ agents: { defaults: { model: "openai/gpt-5.4" } }, channels: { mattermost: {} } }'
STORED = '{ channels: { mattermost: { botToken: { source: "store", provider: "default", id: "MM_TOKEN" } } } }'


def key(provider: str, value: str, **more: Any) -> dict[str, Any]:
    return {"type": "api_key", "provider": provider, "key": value, **more}


def test_which_profile_counts(tmp_path: Path) -> None:
    """The order's first, else the default one, else the first; a login by subscription is none."""
    make_store(
        tmp_path,
        {
            "anthropic:work": key("anthropic", "work"),
            "anthropic:default": key("anthropic", "default"),
            "openai:personal": {"type": "oauth", "provider": "openai", "access": "x"},
            "groq:b": key("groq", "b"),
            "xai:ref": {"type": "api_key", "provider": "xai", "keyRef": {"source": "env", "id": "X"}},
        },
    )
    store = OpenClawStore(tmp_path)
    plain = {"anthropic": "default", "groq": "b", "xai": {"source": "env", "id": "X"}}
    assert store.keys({}) == plain
    assert store.keys({"anthropic": ["gone", "anthropic:work"]})["anthropic"] == "work"


def test_older_logins_are_in_files(tmp_path: Path) -> None:
    """Keys are read from older files as well; a key in the database goes before them."""
    file = tmp_path / "agents" / "main" / "agent" / "auth-profiles.json"
    file.parent.mkdir(parents=True)
    file.write_text(
        json.dumps({"version": 1, "profiles": {"a:default": key("a", "old"), "b:default": key("b", "old")}})
    )
    make_store(tmp_path, {"b:default": key("b", "new")})
    assert OpenClawStore(tmp_path).keys({}) == {"a": "old", "b": "new"}


def test_a_key_of_openclaw_s_serves(load_text: LoadText, tmp_path: Path) -> None:
    """Where neither the file nor the variable has one, and for the providers of the file alone."""
    make_store(tmp_path / ".openclaw", {"openai:default": key("openai", "sk-o"), "groq:default": key("groq", "sk-g")})
    providers = load_text(MODEL, "openclaw.json").config.models.providers
    assert {name: provider.api_key.reveal() for name, provider in providers.items()} == {"openai": "sk-o"}
    mine = load_text(MODEL, "openclaw.json", env={**ENV, "OPENAI_API_KEY": "mine"}).config.models.providers
    assert mine["openai"].api_key.reveal() == "mine"


def test_a_toml_knows_nothing_of_it(load_text: LoadText, tmp_path: Path) -> None:
    """Only an openclaw.json has to do with OpenClaw's folder."""
    make_store(tmp_path / ".openclaw", {"openai:default": key("openai", "sk-o")})
    with pytest.raises(ConfigError, match="openai needs a key"):
        load_text('[channels.mattermost]\n[agents.defaults]\nmodel = "openai/gpt-5.4"')


def test_the_store_of_secrets(load_text: LoadText, tmp_path: Path) -> None:
    """A value that it has; one that it hasn't is a problem with its name."""
    with pytest.raises(ConfigError, match=r"store of secrets \(.*state/openclaw.sqlite\) has no MM_TOKEN"):
        load_text(STORED, "openclaw.json")
    make_store(tmp_path / ".openclaw", {}, {"MM_TOKEN": "stored"})
    (account,) = load_text(STORED, "openclaw.json").accounts.values()
    assert account.bot_token.reveal() == "stored"


def test_a_database_that_can_t_be_read(load_text: LoadText, tmp_path: Path) -> None:
    """Of keys it is a warning, of a secret that the file wants a problem; one without these tables has nothing."""
    file = make_store(tmp_path / ".openclaw", {})
    file.write_bytes(b"no database at all, but long enough to look at" * 50)
    warnings = "\n".join(map(str, load_text(MODEL.replace("openai/gpt-5.4", "ollama/q"), "openclaw.json").warnings))
    assert "openclaw.sqlite can't be read: file is not a database" in warnings
    with pytest.raises(ConfigError, match="can't be read: file is not a database"):
        load_text(STORED, "openclaw.json")
    file.write_bytes(b"")
    assert OpenClawStore(tmp_path / ".openclaw").keys({}) == {}
