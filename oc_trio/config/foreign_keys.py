"""The keys of an openclaw.json that oc-trio does not read: those it has no use for, and those that people may miss.

All of the first kind are reported on one line, each of the second kind on its own, with what to write instead.
"""

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from oc_trio.classes import frozen
from oc_trio.errors import Problem

_AGENT = r"agents\.(defaults|entries\.[^.]+)"
# Pattern of a path: what is different, and what to write instead. The first that matches counts.
_DIFFERENT: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        rf"{_AGENT}\.heartbeat": ("nobody is woken by the clock", "write the prompt as cron.jobs.<name>"),
        rf"{_AGENT}\.(sandbox|cwd|repoRoot|elevatedDefault)": (
            "oc-trio runs no commands of its own",
            "give the agent tools by mcp.servers, each with its own limits",
        ),
        rf"{_AGENT}\.(compaction|contextPruning|contextTokens|contextLimits)": (
            "the conversation is cut, not summed up",
            "agents.defaults.historyTokens says how much of it is sent",
        ),
        rf"{_AGENT}\.(reasoningDefault|verboseDefault|fastModeDefault)": (
            "is chosen in the conversation",
            "/reasoning and /verbose",
        ),
        rf"{_AGENT}\.(imageModel|pdfModel|utilityModel|mediaModels|voiceModel|decisionModel)": (
            "one model answers everything",
            "images = true in the model's entry of models.providers",
        ),
        rf"{_AGENT}\.(humanDelay|typingMode|blockStreaming\w+)": (
            "how an answer grows is the account's",
            "channels.mattermost.streaming",
        ),
        rf"{_AGENT}\.(subagents|runtime|embeddedAgent|agentRuntime)": (
            "one agent answers a message, and no other program",
            'an agent of another kind: api = "command" in models.providers',
        ),
        rf"{_AGENT}\.(params|models)": (
            "further fields of a request are the provider's",
            "models.providers.<name>.options",
        ),
        rf"{_AGENT}\.(contextInjection|bootstrap\w+|skipBootstrap|startupContext|skipOptional\w+|memory|silentReply)": (
            "AGENTS.md, SOUL.md and IDENTITY.md of the workspace begin each prompt, and no other file is read",
            "agents.defaults.workspace; unset leaves them out",
        ),
        r"memory": ("there is no memory beside the conversation", "a memory server in mcp.servers"),
        r"session\.resetByType": (
            "one rule serves direct messages, channels and threads",
            "session.resetAtHour and session.resetAfterMinutes",
        ),
        r"session\.(resetTriggers|scope|sendPolicy|threadBindings)": (
            "is fixed here",
            "/new and /reset begin afresh; see session.groupScope and session.dmScope",
        ),
        r"session\.(maintenance|store)": (
            "conversations are in the journal",
            "store.retentionDays and store.transcriptRetentionDays",
        ),
        r"messages\.(visibleReplies|groupChat\.(visibleReplies|unmentionedInbound))": (
            "an answer is always posted, and what does not address the bot is context",
            "channels.mattermost.chatmode",
        ),
        r"messages\.statusReactions": ("is the account's", "channels.mattermost.ackReactions"),
        r"messages\.(responseUsage|usageTemplate)": ("answers have no line about their cost", "oc-trio status"),
        r"hooks\.(?!internal).*": ("hooks have no mappings here", "call /hooks/agent with the text to say"),
        r"cron\.(skipMissedJobs|failureAlert|webhook\w*|sessionRetention|triggers)": (
            "is said of each job",
            "cron.jobs.<name>.missed",
        ),
        r"channels\.modelByChannel": ("a channel's model is chosen there", "/model in that channel"),
        # What is left of it: allow and deny lists have been taken out by `openclaw_agents`.
        r"tools(\..*)?|agents\.entries\.[^.]+\.tools\..*": (
            "oc-trio has no tools for files, programs or the web",
            "an MCP server in mcp.servers brings them",
        ),
        r"models\.providers\.[^.]+\.timeoutSeconds": (
            "two limits take its place",
            "firstTokenSeconds and idleSeconds",
        ),
        r"models\.providers\.[^.]+(\.models\[\])?\.(params|headers|request|maxTokens|thinkingLevelMap)": (
            "further fields of a request are the provider's",
            "options and headers of the provider",
        ),
        r"models\.providers\.[^.]+\.localService": ("oc-trio starts no model servers", "a unit of systemd"),
        r"mcp\.servers\.[^.]+\.(auth|oauth|clientCert|clientKey|sslVerify)": (
            "a tool server is reached with headers, over certificates that the system trusts",
            "mcp.servers.<name>.headers",
        ),
        r"env": (
            "the login shell's variables are not read",
            "~/.openclaw/.env, or EnvironmentFile= in the unit",
        ),
        r"auth": (
            "OpenClaw's logins by subscription are not used, its API keys are",
            "the variable of each provider (oc-trio models list), or models.providers.<name>.apiKey",
        ),
        r"logging\.(file|maxFileBytes|redactPatterns)": (
            "lines go to standard error, secrets cut out",
            "journald, or a redirection",
        ),
        r"skills\.(entries|allowBundled|limits)": ("skills are folders", "skills.dirs and agents.defaults.skills"),
        r"diagnostics": (
            "traces and metrics are set up elsewhere",
            "telemetry.otel in a TOML, or OTEL_EXPORTER_OTLP_ENDPOINT",
        ),
        r"broadcast": ("one agent answers a message", "bindings"),
        r"gateway\.tailscale": ("Tailscale is not driven from here", "tailscale serve"),
    }
)


@frozen
class ForeignKeys:
    """`unused` are paths that oc-trio has no use for. Each of `different` has paths, what is different, and what to
    write instead.
    """

    unused: tuple[str, ...]
    different: tuple[tuple[tuple[str, ...], str, str], ...]

    def differing(self) -> tuple[Problem, ...]:
        """A problem for each difference, at the first of its paths."""
        return tuple(
            Problem(
                paths[0],
                f"works differently here: {difference}" + (f" (likewise {', '.join(paths[1:])})" if paths[1:] else ""),
                f"instead: {instead}",
            )
            for paths, difference, instead in self.different
        )


def split_ignored(ignored: Iterable[str]) -> ForeignKeys:
    """Splits ignored paths into the two kinds; entries of a list count as one path."""
    unused: dict[str, None] = {}
    different: dict[tuple[str, str], list[str]] = {}
    for path in ignored:
        plain = re.sub(r"\[\d+\]", "[]", path)
        note = next((note for pattern, note in _DIFFERENT.items() if re.fullmatch(pattern, plain)), None)
        if note is None:
            unused[plain] = None
        # Of a list's entries the first stands for all.
        elif plain not in map(_plain, different.setdefault(note, [])):
            different[note].append(path)
    return ForeignKeys(tuple(unused), tuple((tuple(paths), *note) for note, paths in different.items()))


def _plain(path: str) -> str:
    return re.sub(r"\[\d+\]", "[]", path)
