"""The demo's configuration: what anyone would have written into a file."""

from pathlib import Path

import pytest

from oc_trio.config.load import Loaded
from oc_trio.errors import ConfigError
from oc_trio.runtime.process.demo import DemoModel, demo_config, demo_gateway

URL = "http://127.0.0.1:8065"


def config(state: Path, model: DemoModel | None = None) -> Loaded:
    return demo_config(URL, "bot-token", state, model or DemoModel())


def test_everybody_may_talk_and_answers_go_in_threads(tmp_path: Path) -> None:
    """There is nothing to warn of, and the journal stays in the folder given."""
    loaded = config(tmp_path)
    account = loaded.accounts[loaded.default_account]
    assert loaded.warnings == ()
    assert (account.base_url, account.bot_token.reveal()) == (URL, "bot-token")
    assert account.access.allow_from == ("*",)
    assert loaded.state_dir == tmp_path
    assert demo_gateway(URL, "bot-token", tmp_path).store_location == str(tmp_path / "journal.sqlite3")


def test_a_script_answers_without_a_model(tmp_path: Path) -> None:
    """No network is needed."""
    providers = config(tmp_path).config.models.providers
    assert [(provider.api, provider.base_url) for provider in providers.values()] == [("scripted", "")]


def test_a_model_of_ones_own(tmp_path: Path) -> None:
    """Its key is nowhere in a repr."""
    model = DemoModel("http://127.0.0.1:11434/v1", "qwen3", "secret-key-123")
    loaded = config(tmp_path, model)
    assert loaded.config.agents.defaults.model.primary == "demo/qwen3"
    assert loaded.config.models.providers["demo"].api_key.reveal() == "secret-key-123"
    assert "secret-key-123" not in repr(model) + repr(loaded)


def test_a_bad_url_is_said(tmp_path: Path) -> None:
    """What a file could get wrong, an option can too."""
    with pytest.raises(ConfigError, match="baseUrl"):
        config(tmp_path, DemoModel("not a url", "m"))
