"""What only an openclaw.json has."""

from collections.abc import Callable

import pytest

from oc_trio.config.load import Loaded
from oc_trio.errors import ConfigError


def test_variables_in_texts(load_text: Callable[..., Loaded]) -> None:
    """`${NAME}` is put in; a whole secret stays a reference, to be read again."""
    text = '{ channels: { mattermost: { botToken: "${TOKEN}", baseUrl: "https://${HOST}/" } } }'
    (account,) = load_text(text, "openclaw.json", env={"TOKEN": "t", "HOST": "chat.example.com"}).accounts.values()
    assert (account.bot_token.reveal(), account.base_url) == ("t", "https://chat.example.com")
    assert str(account.bot_token.ref) == "env TOKEN"


def test_unset_variables_are_problems(load_text: Callable[..., Loaded]) -> None:
    """Each is named with the key that uses it."""
    with pytest.raises(ConfigError) as caught:
        load_text('{ channels: { mattermost: { name: "${WHO}" } } }', "openclaw.json")
    assert "channels.mattermost.name: the environment variable WHO is not set" in str(caught.value)


def test_agents_as_a_list(load_text: Callable[..., Loaded]) -> None:
    """agents.list of older versions is agents.entries."""
    config = load_text('{ agents: { list: [{ id: "ops", default: true }, { id: "x" }] } }', "openclaw.json").config
    assert {name: entry.default for name, entry in config.agents.entries.items()} == {"ops": True, "x": False}


def test_unknown_keys_of_the_channel_are_errors_even_there(load_text: Callable[..., Loaded]) -> None:
    """Foreign sections are left aside, a misspelt key of ours is not."""
    with pytest.raises(ConfigError, match=r"did you mean dmPolicy\?"):
        load_text('{ channels: { mattermost: { dmPolcy: "open" } }, ui: {} }', "openclaw.json")


def test_variables_mean_nothing_in_toml(load_text: Callable[..., Loaded]) -> None:
    """TOML has `{ source = "env" }`; a dollar sign there is a dollar sign."""
    (account,) = load_text('[channels.mattermost]\nname = "${WHO}"').accounts.values()
    assert account.name == "${WHO}"
