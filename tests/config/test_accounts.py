"""Inheritance between the root section and accounts, ids, and base URLs."""

from collections.abc import Callable

import pytest

from oc_trio.config.accounts import BadUrl, merge, normalize_account_id, normalize_base_url
from oc_trio.config.load import Loaded
from oc_trio.errors import ConfigError

TWO = """
[channels.mattermost]
baseUrl = "https://chat.example.com"
groupPolicy = "open"
dmPolicy = "open"
allowFrom = ["*"]
streaming = { mode = "block", preview = { minChars = 30 } }
[channels.mattermost.accounts.alerts]
botToken = "b"
streaming.preview.toolProgress = false
"""


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("default", "default"),
        (" Alerts ", "alerts"),
        ("My Team's Bot", "my-team-s-bot"),
        ("", "default"),
        ("__proto__", "default"),
        ("-x-", "x"),
        ("a" * 70, "a" * 64),
    ],
)
def test_account_ids_are_normalised(written: str, expected: str) -> None:
    """Ids are lower case, without odd characters, and never blank."""
    assert normalize_account_id(written) == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (" https://chat.example.com/ ", "https://chat.example.com"),
        ("https://chat.example.com/API/v4/", "https://chat.example.com"),
        ("http://host:8065/sub//", "http://host:8065/sub"),
        ("http://[::1]:8065", "http://[::1]:8065"),
    ],
)
def test_base_urls_are_normalised(written: str, expected: str) -> None:
    """Slashes and the API path at the end are taken off, a sub-path stays."""
    assert normalize_base_url(written) == expected


@pytest.mark.parametrize(
    "written", ["chat.example.com", "ftp://x", "https://", "http://x:99999", "http://a b", "http://x?y", "http://[x"]
)
def test_useless_base_urls_are_refused(written: str) -> None:
    """An address that no request could use is named as such."""
    with pytest.raises(BadUrl):
        normalize_base_url(written)


def test_accounts_inherit_what_they_do_not_say(load_text: Callable[..., Loaded]) -> None:
    """Policies reach accounts, and a nested table replaces only the keys that it names."""
    account = load_text(TWO, env={}).accounts[normalize_account_id("alerts")]
    assert (account.access.group_policy.value, account.access.dm_policy.value) == ("open", "open")
    assert (account.streaming.mode.value, account.streaming.preview.min_chars) == ("block", 30)
    assert account.streaming.preview.tool_progress is False


def test_an_account_without_token_of_its_own_leaves_the_default_out(load_text: Callable[..., Loaded]) -> None:
    """Named accounts alone make no default account; with a token for it there is one."""
    assert list(load_text(TWO, env={}).accounts) == ["alerts"]
    loaded = load_text(TWO, env={"MATTERMOST_BOT_TOKEN": "a"})
    assert list(loaded.accounts) == ["alerts", "default"]
    assert loaded.default_account == "default"


def test_environment_serves_the_default_account_only(load_text: Callable[..., Loaded]) -> None:
    """Another account with neither token nor server is a problem even when the variables are set."""
    with pytest.raises(ConfigError) as caught:
        load_text("[channels.mattermost.accounts.b]\nname = 'B'")
    assert {problem.path for problem in caught.value.problems} == {
        "channels.mattermost.accounts.b.botToken",
        "channels.mattermost.accounts.b.baseUrl",
    }
    assert "MATTERMOST_BOT_TOKEN is for the default account only" in str(caught.value)
    assert "MATTERMOST_URL is for the default account only" in str(caught.value)


def test_file_wins_over_environment(load_text: Callable[..., Loaded]) -> None:
    """The variables only fill in what the file leaves out."""
    (account,) = load_text("[channels.mattermost]\nbotToken = 'file'").accounts.values()
    assert (account.bot_token.reveal(), account.base_url) == ("file", "https://chat.example.com")


def test_dotenv_files_are_not_read(load_text: Callable[..., Loaded], tmp_path: object) -> None:
    """A .env file beside the configuration can't send the token elsewhere."""
    from pathlib import Path

    Path(str(tmp_path), ".env").write_text("MATTERMOST_URL=https://evil.example.com\n")
    with pytest.raises(ConfigError, match="baseUrl: is missing"):
        load_text("[channels.mattermost]\nbotToken = 't'", env={})


def test_disabled_accounts_need_nothing(load_text: Callable[..., Loaded]) -> None:
    """An account that does not run is not asked for a token, and a disabled root disables all."""
    assert list(load_text("[channels.mattermost.accounts.b]\nenabled = false").accounts) == ["default"]
    assert not load_text("[channels.mattermost]\nenabled = false\n[channels.mattermost.accounts.b]\nname='b'").accounts


def test_a_broken_account_can_be_put_aside(load_text: Callable[..., Loaded]) -> None:
    """With isolate, the other account is loaded and the broken one is listed with its problem."""
    text = TWO + "[channels.mattermost.accounts.sick]\nbotTokenFile = 'nowhere'\n"
    with pytest.raises(ConfigError):
        load_text(text, env={})
    loaded = load_text(text, env={}, isolate=True)
    assert list(loaded.accounts) == ["alerts"]
    assert [problem.path for problem in loaded.broken[normalize_account_id("sick")]] == [
        "channels.mattermost.accounts.sick.botTokenFile"
    ]


def test_isolation_never_leaves_nothing(load_text: Callable[..., Loaded]) -> None:
    """When no account is fine, or a shared key is wrong, the whole file is refused."""
    with pytest.raises(ConfigError):
        load_text("[channels.mattermost.accounts.sick]\nbotTokenFile = 'nowhere'\n", env={}, isolate=True)
    with pytest.raises(ConfigError):
        load_text(TWO + "[gateway]\nport = -1", env={}, isolate=True)


def test_merge_is_field_by_field() -> None:
    """Tables are merged, everything else is replaced."""
    assert merge({"a": {"x": 1, "y": 2}, "b": [1]}, {"a": {"y": 3}, "b": [2]}) == {"a": {"x": 1, "y": 3}, "b": [2]}


def test_fallbacks_from_other_sections(load_text: Callable[..., Loaded]) -> None:
    """messages, agents.defaults and channels.defaults fill in what account and root leave out."""
    text = (
        "messages = { responsePrefix = 'Bot:', groupChat = { historyLimit = 7 } }\nagents.defaults.mediaMaxMb = 2\n"
        "[channels.defaults]\ncontextVisibility = 'allowlist'\nimplicitMentions.threadParticipation = false\n"
        "[channels.mattermost]\n"
    )
    (account,) = load_text(text).accounts.values()
    assert (account.history_limit, account.delivery.response_prefix, account.media_max_mb) == (7, "Bot:", 2)
    assert account.access.context_visibility.value == "allowlist"
    assert account.gating.implicit_mentions.thread_participation is False
