"""One call turns a file and the environment into complete accounts."""

from pathlib import Path

import pytest

from oc_trio.config.document import Document
from oc_trio.config.load import build, load
from oc_trio.errors import ConfigError
from oc_trio.ids import AccountId
from tests.config.conftest import ENV, LoadText

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
        "configuration",
        "channels.mattermost.botToken",
        "channels.mattermost.baseUrl",
    ]
    assert "MATTERMOST_BOT_TOKEN" in str(caught.value)


def test_text_that_no_journal_takes_does_not_come_in(load_text: LoadText) -> None:
    """NUL is dropped, half a surrogate pair in JSON5 is refused; a variable may hold anything."""
    toml = '[agents.defaults]\nsystemPrompt = "a\\u0000b"\n'
    json5 = '{agents: {defaults: {systemPrompt: "a\\u0000b"}}}'
    assert load_text(toml, env={**ENV, "OTHER": "\udcff"}).config.agents.defaults.system_prompt == "ab"
    assert load_text(json5, "openclaw.json").values["agents"]["defaults"]["systemPrompt"] == "ab"
    with pytest.raises(ConfigError, match="not valid JSON5"):
        load_text(json5.replace("0000", "d83d"), "openclaw.json")


def test_commands_that_need_no_secret_leave_references_unread() -> None:
    """`oc-trio status` works where the environment of the service is not at hand."""
    account = {"baseUrl": "https://chat.example.com", "botToken": {"source": "env", "id": "BOT"}}
    hooks = {"enabled": True, "token": {"source": "env", "id": "HOOK"}}
    values = {"channels": {"mattermost": account}, "hooks": hooks}
    assert build(Document(values), {}, connect=False).config.hooks.enabled
    with pytest.raises(ConfigError):
        build(Document({**values, "hooks": {"enabled": True}}), {}, connect=False)
