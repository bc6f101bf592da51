"""One call turns a file and the environment into complete accounts."""

from pathlib import Path

import pytest

from oc_trio.config.load import load
from oc_trio.errors import ConfigError
from oc_trio.ids import AccountId

DEFAULT = AccountId("default")


def test_two_environment_variables_are_enough(tmp_path: Path) -> None:
    """Without any file the default account comes from the environment."""
    loaded = load(None, {"MATTERMOST_BOT_TOKEN": "tok", "MATTERMOST_URL": "https://chat.example.com/"}, cwd=tmp_path)
    account = loaded.accounts[DEFAULT]
    assert (account.bot_token.reveal(), account.base_url) == ("tok", "https://chat.example.com")
    assert loaded.path is None


def test_nothing_at_all_says_what_to_set(tmp_path: Path) -> None:
    """Without file and environment both missing values are named, with both places to set them."""
    with pytest.raises(ConfigError) as caught:
        load(None, {"HOME": str(tmp_path)}, cwd=tmp_path)
    assert [problem.path for problem in caught.value.problems] == [
        "channels.mattermost.botToken",
        "channels.mattermost.baseUrl",
    ]
    assert "MATTERMOST_BOT_TOKEN" in str(caught.value)
