"""Older spellings mean what they always meant, and each says how it is written today."""

from collections.abc import Callable
from typing import Any

import pytest

from oc_trio.config.legacy import modernize
from oc_trio.config.load import Loaded
from oc_trio.errors import ConfigError

# name, written, modern section, hint of the warning
CASES: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("word", {"streaming": "block"}, {"streaming": {"mode": "block"}}, 'write streaming.mode = "block"'),
    ("on", {"streaming": True}, {"streaming": {"mode": "partial"}}, 'write streaming.mode = "partial"'),
    ("off", {"streaming": False}, {"streaming": {"mode": "off"}}, 'write streaming.mode = "off"'),
    ("streamMode", {"streamMode": "progress"}, {"streaming": {"mode": "progress"}}, "write streaming.mode"),
    (
        "streamMode beats the switch",
        {"streaming": True, "streamMode": "block"},
        {"streaming": {"mode": "block"}},
        'write streaming.mode = "block"',
    ),
    (
        "the mode beats streamMode",
        {"streaming": {"mode": "off"}, "streamMode": "block"},
        {"streaming": {"mode": "off"}},
        "remove it",
    ),
    ("chunkMode", {"chunkMode": "newline"}, {"streaming": {"chunkMode": "newline"}}, "write streaming.chunkMode"),
    (
        "blockStreaming",
        {"blockStreaming": True},
        {"streaming": {"block": {"enabled": True}}},
        "write streaming.block.enabled",
    ),
    (
        "blockStreamingCoalesce",
        {"blockStreamingCoalesce": {"idleMs": 5}},
        {"streaming": {"block": {"coalesce": {"idleMs": 5}}}},
        "write streaming.block.coalesce",
    ),
    (
        "allowPrivateNetwork",
        {"allowPrivateNetwork": True},
        {"network": {"dangerouslyAllowPrivateNetwork": True}},
        "write network.dangerouslyAllowPrivateNetwork",
    ),
    (
        "the new key beats allowPrivateNetwork",
        {"allowPrivateNetwork": True, "network": {"dangerouslyAllowPrivateNetwork": False}},
        {"network": {"dangerouslyAllowPrivateNetwork": False}},
        "remove it",
    ),
    ("requireMention", {"requireMention": True}, {"chatmode": "oncall"}, 'write chatmode = "oncall"'),
    (
        "chatmode beats requireMention",
        {"requireMention": False, "chatmode": "onchar"},
        {"chatmode": "onchar"},
        "remove it",
    ),
    ("serverUrl", {"serverUrl": "https://x"}, {"baseUrl": "https://x"}, "write baseUrl"),
    ("teamId", {"teamId": "t"}, {"onlyTeams": ["t"]}, "write onlyTeams"),
    ("allowChannels", {"allowChannels": ["c"]}, {"onlyChannels": ["c"]}, "write onlyChannels"),
    ("respondToMentions", {"respondToMentions": False}, {"groupPolicy": "disabled"}, 'write groupPolicy = "disabled"'),
    (
        "respondToDMs beats a policy",
        {"respondToDMs": False, "dmPolicy": "open"},
        {"dmPolicy": "disabled"},
        'write dmPolicy = "disabled"',
    ),
    ("respondToDMs by default", {"respondToDMs": True}, {}, "remove it"),
    ("useWebSocket", {"useWebSocket": False}, {"connection": {"mode": "poll"}}, 'write connection.mode = "poll"'),
    (
        "reconnectInterval",
        {"reconnectInterval": 5000},
        {"connection": {"reconnectIntervalMs": 5000}},
        "write connection.reconnectIntervalMs",
    ),
]


@pytest.mark.parametrize(("written", "modern", "hint"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_older_spelling(written: dict[str, Any], modern: dict[str, Any], hint: str) -> None:
    """The section is rewritten, with one warning that names the new key."""
    made = modernize({"channels": {"mattermost": written}})
    assert made.values["channels"]["mattermost"] == modern
    assert [warning.hint for warning in made.warnings] == [hint]
    assert not made.problems


def test_the_input_is_left_alone() -> None:
    """Rewriting works on copies."""
    document = {"channels": {"mattermost": {"streaming": {"preview": {}}, "streamMode": "block"}}}
    modernize(document)
    assert document == {"channels": {"mattermost": {"streaming": {"preview": {}}, "streamMode": "block"}}}


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("reconnectInterval = 0", "reconnectInterval: must be between 100 and 3600000"),
        ('streamMode = "fast"', "streamMode: must be"),
        ('streaming = "fast"', "streaming: must be"),
        ("blockStreamingCoalesce = {minChar = 1}", "blockStreamingCoalesce.minChar: is not a known key"),
    ],
)
def test_a_mistake_is_named_as_it_is_written(load_text: Callable[..., Loaded], written: str, problem: str) -> None:
    """The author finds the name and the line in the file, not those that it was rewritten to."""
    with pytest.raises(ConfigError) as caught:
        load_text(f"[channels.mattermost.accounts.ops]\n\n{written}")
    (line,) = [str(found) for found in caught.value.problems if "Url" not in found.path and "Token" not in found.path]
    assert f":3: channels.mattermost.accounts.ops.{problem}" in line


def test_accounts_are_rewritten_too(load_text: Callable[..., Loaded]) -> None:
    """An account's old spelling wins over the root's new one, except requireMention, which chatmode always beat."""
    loaded = load_text(
        '[channels.mattermost]\nchatmode = "onchar"\nstreaming.mode = "block"\n'
        '[channels.mattermost.accounts.default]\nstreaming = "off"\nrequireMention = false'
    )
    (account,) = loaded.accounts.values()
    assert (account.streaming.mode.value, account.gating.chatmode.value) == ("off", "onchar")
