"""Every key that decides who may talk, where it goes and who answers has its effect somewhere, and this says where."""

import ast
import importlib.util
from functools import cache
from pathlib import Path

import pytest

from oc_trio.config.fields import Key, all_keys
from oc_trio.config.model import Config
from oc_trio.config.reference import all_tables, inner_table

SECTIONS = ("channels", "agents", "models", "bindings", "session", "messages", "commands", "accessGroups")

# Table, the module where its keys take effect, the keys.
CONSUMED = [
    ("channels.defaults", "config.accounts", "groupPolicy contextVisibility"),
    ("channels.defaults.implicitMentions", "runtime.policies", "threadParticipation"),
    ("channels.mattermost", "config.load", "enabled defaultAccount"),
    ("channels.mattermost", "config.credentials", "botTokenFile"),
    ("channels.mattermost", "runtime.process.gateway", "botToken baseUrl"),
    ("channels.mattermost", "runtime.account.parts", "name"),
    ("channels.mattermost", "runtime.handlers.endpoints", "capabilities"),
    ("channels.mattermost", "runtime.account.outbound_client", "mediaMaxMb"),
    ("channels.mattermost", "runtime.policies", "maxAnswerChars maxAnswerPosts"),
    (
        "channels.mattermost",
        "runtime.policies",
        "chatmode oncharPrefixes dmPolicy allowFrom groupPolicy groupAllowFrom",
    ),
    ("channels.mattermost", "runtime.policies", "dangerouslyAllowNameMatching contextVisibility historyLimit"),
    ("channels.mattermost", "runtime.policies", "allowBots botAllowFrom onlyTeams onlyChannels replyToMode"),
    ("channels.mattermost", "runtime.policies", "textChunkLimit responsePrefix notify allowChannelMentions"),
    ("channels.mattermost.groups.<name>", "runtime.policies", "requireMention"),
    ("channels.mattermost.implicitMentions", "runtime.policies", "threadParticipation"),
    ("channels.mattermost.replyToModeByChatType", "runtime.policies", "direct group channel"),
    ("channels.mattermost.markdown", "runtime.policies", "tables"),
    ("channels.mattermost.streaming", "runtime.policies", "mode chunkMode throttleMs maxEdits"),
    ("channels.mattermost.streaming.preview", "runtime.policies", "toolProgress commandText minChars"),
    ("channels.mattermost.streaming.progress", "runtime.policies", "label labels maxLines maxLineChars toolProgress"),
    ("channels.mattermost.streaming.progress", "runtime.policies", "commandText"),
    ("channels.mattermost.streaming.block", "runtime.policies", "enabled"),
    ("channels.mattermost.streaming.block.coalesce", "runtime.policies", "minChars maxChars idleMs"),
    ("channels.mattermost.network", "runtime.policies", "dangerouslyAllowPrivateNetwork"),
    ("channels.mattermost.commands", "runtime.handlers.endpoints", "native"),
    ("channels.mattermost.commands", "runtime.handlers.callback_urls", "nativeSkills prefix callbackPath callbackUrl"),
    ("channels.mattermost.interactions", "runtime.handlers.endpoints", "callbackBaseUrl allowedSourceIps"),
    ("channels.mattermost.actions", "runtime.tools.message_tool", "reactions messages membersOnly"),
    (
        "channels.mattermost.dmChannelRetry",
        "runtime.account.outbound_client",
        "maxRetries initialDelayMs maxDelayMs timeoutMs",
    ),
    ("channels.mattermost.ackReactions", "runtime.policies", "seen done failed"),
    (
        "channels.mattermost.catchup",
        "runtime.account.catchup",
        "enabled maxAgeHours maxPosts overlapSeconds concurrency",
    ),
    ("channels.mattermost.catchup", "runtime.account.catchup", "secondPassSeconds"),
    ("channels.mattermost.connection", "runtime.account.connection", "mode reconnectIntervalMs auditSeconds"),
    ("agents.defaults", "runtime.agents", "systemPrompt historyTokens maxTokens temperature thinkingDefault"),
    ("agents.defaults", "runtime.agents", "maxConcurrent timezone"),
    ("agents.defaults", "config.persona", "workspace"),
    ("agents.defaults", "runtime.tools.skills", "skills"),
    ("agents.defaults", "config.accounts", "mediaMaxMb"),
    ("agents.defaults", "runtime.policies", "typingIntervalSeconds timeoutSeconds"),
    ("agents.defaults.model", "runtime.agents", "primary fallbacks"),
    ("agents.defaults.tools", "runtime.tools.turn_tools", "allow deny approve approvers"),
    (
        "agents.entries.<name>",
        "runtime.agents",
        "name systemPrompt historyTokens maxTokens temperature thinkingDefault",
    ),
    ("agents.entries.<name>", "config.persona", "workspace"),
    ("agents.entries.<name>", "runtime.policies", "default"),
    ("agents.entries.<name>", "runtime.tools.skills", "skills"),
    ("agents.entries.<name>.model", "runtime.agents", "primary fallbacks"),
    ("agents.entries.<name>.identity", "runtime.policies", "name emoji"),
    ("agents.entries.<name>.groupChat", "runtime.policies", "mentionPatterns"),
    ("agents.entries.<name>.tools", "runtime.tools.turn_tools", "allow deny approve approvers"),
    ("models.providers.<name>", "config.load", "apiKeyFile"),
    ("models.providers.<name>", "runtime.agents", "api baseUrl apiKey command env headers options maxConcurrent"),
    ("models.providers.<name>", "runtime.agents", "firstTokenSeconds idleSeconds"),
    (
        "models.providers.<name>.models[]",
        "runtime.agents",
        "id name images tools contextWindow maxTokens maxTokensField",
    ),
    ("bindings[]", "runtime.policies", "agentId"),
    ("bindings[].match", "runtime.policies", "channel accountId teamId"),
    ("bindings[].match.peer", "runtime.policies", "kind id"),
    ("bindings[].session", "runtime.policies", "dmScope groupScope"),
    ("session", "runtime.policies", "dmScope groupScope mainKey identityLinks resetAfterMinutes"),
    ("session", "runtime.policies", "resetAtHour"),
    ("session", "runtime.process.reload", "idleSeconds"),
    ("messages", "config.accounts", "responsePrefix"),
    ("messages.groupChat", "config.accounts", "historyLimit"),
    ("messages.groupChat", "runtime.policies", "mentionPatterns"),
    ("messages.inbound", "runtime.policies", "debounceMs"),
    ("messages.queue", "runtime.policies", "mode cap drop debounceMs"),
    ("commands", "runtime.policies", "text allowFrom ownerAllowFrom"),
    ("accessGroups.<name>", "runtime.policies", "members"),
]
# Their line in the reference says that they mean nothing here, or that there is one value only.
WITHOUT_EFFECT = {
    "channels.defaults.implicitMentions.replyToBot",
    "channels.defaults.implicitMentions.quotedBot",
    "channels.mattermost.implicitMentions.replyToBot",
    "channels.mattermost.implicitMentions.quotedBot",
    "channels.mattermost.configWrites",
    "accessGroups.<name>.type",
}


def declared() -> dict[str, Key]:
    """Every key of the sections, by its path."""
    found: dict[str, Key] = {}
    for path, cls, _ in all_tables(Config, "", ""):
        if path.partition(".")[0].removesuffix("[]") in SECTIONS:
            found |= {f"{path}.{key.name}": key for key in all_keys(cls) if not inner_table(key)}
    return found


@cache
def words_of(module: str) -> frozenset[str]:
    """The attributes that a module reads, and its string constants."""
    spec = importlib.util.find_spec(f"oc_trio.{module}")
    assert spec is not None, module
    assert spec.origin is not None, module
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    strings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return frozenset(attributes | strings)


ROWS = {f"{table}.{name}": module for table, module, names in CONSUMED for name in names.split()}


def test_every_key_is_in_the_table() -> None:
    """A new key needs a place where it takes effect, or a line that says that it has none."""
    assert sorted(declared()) == sorted({*ROWS, *WITHOUT_EFFECT})


@pytest.mark.parametrize("path", sorted(ROWS))
def test_the_key_is_read_there(path: str) -> None:
    """The module reads the attribute, or names the key where plain tables are merged."""
    key = declared()[path]
    assert words_of(ROWS[path]) & {key.attribute, key.name, path}


@pytest.mark.parametrize("path", sorted(WITHOUT_EFFECT))
def test_what_has_no_effect_says_so(path: str) -> None:
    """The operator reads that in the reference."""
    assert declared()[path].spec.doc.startswith(("Accepted for compatibility", "Always "))
