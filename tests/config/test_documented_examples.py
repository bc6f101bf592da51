"""Every example of OpenClaw's Mattermost pages loads, as JSON5 and as TOML, and means what its text says."""

from collections.abc import Callable
from enum import Enum
from typing import Any

import pytest

from oc_trio.config.accounts import Account
from oc_trio.config.load import Loaded

MINIMAL = """{ channels: { mattermost: {
      enabled: true, botToken: "mm-token", baseUrl: "https://chat.example.com", dmPolicy: "pairing",
} } }"""
COMMANDS = """{ channels: { mattermost: { commands: {
        native: true,
        nativeSkills: true,
        callbackPath: "/api/channels/mattermost/command",
        // Use when Mattermost cannot reach the gateway directly (reverse proxy/public URL).
        callbackUrl: "https://gateway.example.com/api/channels/mattermost/command",
} } } }"""
SUPPORT = """{ channels: { mattermost: {
  enabled: true, botToken: "...", baseUrl: "http://100.111.228.114:8065", dmPolicy: "pairing",
  groupPolicy: "allowlist", groupAllowFrom: ["<your-mattermost-user-id>"],
  network: { dangerouslyAllowPrivateNetwork: true, },
  commands: { native: true, nativeSkills: true, callbackPath: "/api/channels/mattermost/command",
    callbackUrl: "http://100.76.32.93:18789/api/channels/mattermost/command", },
  interactions: { callbackBaseUrl: "http://100.76.32.93:18789", allowedSourceIps: ["100.111.228.114"], },
  replyToMode: "all",
} } }"""
BINDINGS = """{ agents: { entries: { main: {}, agent2: {} } }, bindings: [
  { agentId: "agent2", match: { channel: "mattermost", accountId: "default",
      peer: { kind: "channel", id: "<mattermost-channel-id>" }, }, },
  { agentId: "main", match: { channel: "mattermost", accountId: "default" }, },
] }"""
ADVANCED = """{ "channels": { "mattermost": {
      "enabled": true, "serverUrl": "https://your-mattermost-server.com", "botToken": "YOUR_BOT_ACCESS_TOKEN",
      "allowFrom": ["USER_ID_1", "USER_ID_2"], "teamId": "YOUR_TEAM_ID",
      "allowChannels": ["CHANNEL_ID_1", "CHANNEL_ID_2"],
      "respondToMentions": true, "respondToDMs": true, "useWebSocket": true, "reconnectInterval": 5000
} } }"""
ACCOUNTS = """{ channels: { mattermost: { accounts: {
        default: { name: "Primary", botToken: "mm-token", baseUrl: "https://chat.example.com" },
        alerts: { name: "Alerts", botToken: "mm-token-2", baseUrl: "https://alerts.example.com" },
} } } }"""

# name, JSON5, TOML, path on the default account, expected value
EXAMPLES: list[tuple[str, str, str, dict[str, Any]]] = [
    (
        "minimal",
        MINIMAL,
        (
            '[channels.mattermost]\nenabled = true\nbotToken = "mm-token"\nbaseUrl = "https://chat.example.com"\n'
            'dmPolicy = "pairing"'
        ),
        {"bot_token": "mm-token", "base_url": "https://chat.example.com", "access.dm_policy": "pairing"},
    ),
    (
        "native slash commands",
        COMMANDS,
        (
            "[channels.mattermost.commands]\nnative = true\nnativeSkills = true\n"
            'callbackPath = "/api/channels/mattermost/command"\n'
            'callbackUrl = "https://gateway.example.com/api/channels/mattermost/command"'
        ),
        {
            "commands.native": True,
            "commands.native_skills": True,
            "commands.callback_url": "https://gateway.example.com/api/channels/mattermost/command",
        },
    ),
    (
        "native auto is off",
        '{ channels: { mattermost: { commands: { native: "auto" } } } }',
        'channels.mattermost.commands.native = "auto"',
        {"commands.native": False},
    ),
    (
        "chat modes",
        '{ channels: { mattermost: { chatmode: "onchar", oncharPrefixes: [">", "!"], }, }, }',
        '[channels.mattermost]\nchatmode = "onchar"\noncharPrefixes = [">", "!"]',
        {"gating.chatmode": "onchar", "gating.onchar_prefixes": (">", "!")},
    ),
    (
        "legacy requireMention",
        "{ channels: { mattermost: { requireMention: false } } }",
        "channels.mattermost.requireMention = false",
        {"gating.chatmode": "onmessage"},
    ),
    (
        "threads",
        '{ channels: { mattermost: { replyToMode: "all", }, }, }',
        'channels.mattermost.replyToMode = "all"',
        {"delivery.reply_to_mode": "all", "delivery.reply_to_mode_by_chat_type.direct": "off"},
    ),
    (
        "public direct messages",
        '{ channels: { mattermost: { dmPolicy: "open", allowFrom: ["*"] } } }',
        'channels.mattermost = { dmPolicy = "open", allowFrom = ["*"] }',
        {"access.dm_policy": "open", "access.allow_from": ("*",)},
    ),
    (
        "open channels with mention rules",
        (
            '{ channels: { mattermost: { groupPolicy: "open", groups: { "*": { requireMention: true }, '
            '"team-channel-id": { requireMention: false }, }, }, }, }'
        ),
        (
            '[channels.mattermost]\ngroupPolicy = "open"\n'
            '[channels.mattermost.groups]\n"*" = { requireMention = true }\n'
            "team-channel-id = { requireMention = false }"
        ),
        {
            "access.group_policy": "open",
            "gating.groups.*.require_mention": True,
            "gating.groups.team-channel-id.require_mention": False,
        },
    ),
    (
        "direct channel retry",
        (
            "{ channels: { mattermost: { dmChannelRetry: { maxRetries: 3, initialDelayMs: 1000, maxDelayMs: 10000, "
            "timeoutMs: 30000, }, }, }, }"
        ),
        (
            "[channels.mattermost.dmChannelRetry]\nmaxRetries = 3\ninitialDelayMs = 1000\nmaxDelayMs = 10000\n"
            "timeoutMs = 30000"
        ),
        {
            "dm_channel_retry.max_retries": 3,
            "dm_channel_retry.initial_delay": 1.0,
            "dm_channel_retry.max_delay": 10.0,
            "dm_channel_retry.attempt": 30.0,
        },
    ),
    (
        "streaming as a word",
        '{ channels: { mattermost: { streaming: "partial", // off | partial | block | progress\n }, }, }',
        'channels.mattermost.streaming = "partial"',
        {"streaming.mode": "partial"},
    ),
    (
        "buttons",
        '{ channels: { mattermost: { capabilities: ["inlineButtons"], }, }, }',
        'channels.mattermost.capabilities = ["inlineButtons"]',
        {"capabilities": ("inlineButtons",)},
    ),
    (
        "no reactions",
        "{ channels: { mattermost: { actions: { reactions: false } } } }",
        "channels.mattermost.actions.reactions = false",
        {"actions.reactions": False, "actions.messages": False},
    ),
    (
        "support thread",
        SUPPORT,
        (
            '[channels.mattermost]\nbotToken = "..."\nbaseUrl = "http://100.111.228.114:8065"\n'
            'groupAllowFrom = ["<your-mattermost-user-id>"]\nreplyToMode = "all"\n'
            "network.dangerouslyAllowPrivateNetwork = true\n"
            'interactions = { callbackBaseUrl = "http://100.76.32.93:18789", allowedSourceIps = ["100.111.228.114"] }\n'
            'commands.callbackUrl = "http://100.76.32.93:18789/api/channels/mattermost/command"'
        ),
        {
            "network.dangerously_allow_private_network": True,
            "access.group_allow_from": ("<your-mattermost-user-id>",),
            "interactions.callback_base_url": "http://100.76.32.93:18789",
            "interactions.allowed_source_ips": ("100.111.228.114",),
            "commands.callback_url": "http://100.76.32.93:18789/api/channels/mattermost/command",
            "delivery.reply_to_mode": "all",
        },
    ),
    (
        "third-party page",
        ADVANCED,
        (
            '[channels.mattermost]\nserverUrl = "https://your-mattermost-server.com"\n'
            'botToken = "YOUR_BOT_ACCESS_TOKEN"\n'
            'allowFrom = ["USER_ID_1", "USER_ID_2"]\nteamId = "YOUR_TEAM_ID"\n'
            'allowChannels = ["CHANNEL_ID_1", "CHANNEL_ID_2"]\nrespondToMentions = true\nrespondToDMs = true\n'
            "useWebSocket = true\nreconnectInterval = 5000"
        ),
        {
            "base_url": "https://your-mattermost-server.com",
            "access.only_teams": ("YOUR_TEAM_ID",),
            "access.only_channels": ("CHANNEL_ID_1", "CHANNEL_ID_2"),
            "access.allow_from": ("USER_ID_1", "USER_ID_2"),
            "access.dm_policy": "pairing",
            "connection.mode": "websocket",
            "connection.reconnect_interval": 5.0,
        },
    ),
]


def look_up(account: Account, path: str) -> Any:
    """The value at a dotted attribute path, enums as their words, secrets revealed."""
    value: Any = account
    for name in path.split("."):
        value = value[name] if hasattr(value, "keys") else getattr(value, name)
    if isinstance(value, Enum):
        return value.value
    return value.reveal() if hasattr(value, "reveal") else value


@pytest.mark.parametrize("form", ["json5", "toml"])
@pytest.mark.parametrize(("name", "json5", "toml", "meaning"), EXAMPLES, ids=[entry[0] for entry in EXAMPLES])
def test_example_means_what_its_text_says(
    load_text: Callable[..., Loaded], form: str, name: str, json5: str, toml: str, meaning: dict[str, Any]
) -> None:
    """Both spellings of an example give the documented behaviour."""
    loaded = load_text(json5, "openclaw.json") if form == "json5" else load_text(toml)
    account = loaded.accounts[loaded.default_account]
    assert {path: look_up(account, path) for path in meaning} == meaning


def test_two_accounts(load_text: Callable[..., Loaded]) -> None:
    """The multi-account example gives two accounts, each with its own server and token."""
    loaded = load_text(ACCOUNTS, "openclaw.json")
    described = {name: (one.name, one.base_url, one.bot_token.reveal()) for name, one in loaded.accounts.items()}
    assert described == {
        "default": ("Primary", "https://chat.example.com", "mm-token"),
        "alerts": ("Alerts", "https://alerts.example.com", "mm-token-2"),
    }
    assert loaded.default_account == "default"


def test_bindings(load_text: Callable[..., Loaded]) -> None:
    """The bindings example sends one channel to agent2 and the rest of the account to main."""
    first, second = load_text(BINDINGS, "openclaw.json").config.bindings
    assert first.match.peer is not None
    assert (first.agent_id, first.match.peer.kind.value, first.match.peer.id) == (
        "agent2",
        "channel",
        "<mattermost-channel-id>",
    )
    assert (second.agent_id, second.match.account_id, second.match.peer) == ("main", "default", None)


def test_without_the_section_groups_fall_back_to_allowlist(load_text: Callable[..., Loaded]) -> None:
    """channels.defaults.groupPolicy does not open channels when channels.mattermost is missing altogether."""
    defaults = '[channels.defaults]\ngroupPolicy = "open"\n'
    policies = [load_text(defaults + rest).accounts for rest in ("", "[channels.mattermost]\n")]
    assert [next(iter(one.values())).access.group_policy.value for one in policies] == ["allowlist", "open"]
