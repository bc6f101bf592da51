"""The keys of agents, their models, tools and skills."""

from collections.abc import Mapping
from typing import Any

from oc_trio.classes import frozen
from oc_trio.config.fields import key, section, table_of
from oc_trio.config.secrets import NO_SECRET, Secret, SecretForm
from oc_trio.core.model_apis import BUILT_IN_APIS, ModelApi


@frozen
class ModelChoice:
    """A model, and what to try when it is unavailable; each is `provider/model`."""

    primary: str = key("", "`provider/model`, such as `local/qwen3`.")
    fallbacks: tuple[str, ...] = key((), "Tried in this order while the primary is unavailable or refuses the key.")


@frozen
class Identity:
    """`identity` of an agent."""

    name: str = key("", "Name used in prefixes, and understood as a mention.")
    emoji: str = key("", "Emoji understood as a mention, as the name is.")


@frozen
class AgentGroupChat:
    """`groupChat` of an agent."""

    mention_patterns: tuple[str, ...] | None = key(
        None, "Regular expressions that count as a mention of this agent; default `messages.groupChat.mentionPatterns`."
    )


@frozen
class ToolRules:
    """`tools` of an agent."""

    allow: tuple[str, ...] = key(("*",), "Tools offered: names with `*`, such as `files.*` for an MCP server's.")
    deny: tuple[str, ...] = key((), "Tools never offered; wins over `allow`.")
    approve: tuple[str, ...] = key((), "Tools that a person approves by button before each call.")
    approvers: tuple[str, ...] = key(
        ("allowed",),
        "Who approves, of those who may talk to the bot there: everybody (`allowed`), only who wrote what the turn "
        "answers (`asker`), or a list of user ids, access groups and these words. Names count as in `allowFrom`.",
        also={"allowed": ("allowed",), "asker": ("asker",)},
        numbers=True,
    )


@frozen
class AgentDefaults:
    """`agents.defaults`; `typing_interval` and `turn_limit` in seconds."""

    model: ModelChoice = section(ModelChoice, "Model and fallbacks; a bare name is the primary.", scalar="primary")
    system_prompt: str = key("", "Said to the model before every conversation.")
    workspace: str = key(
        "",
        "A folder whose `AGENTS.md`, `SOUL.md` and `IDENTITY.md` follow the system prompt; with several agents, its "
        "subfolder that is named like the agent. Relative ones start at the configuration file.",
    )
    timezone: str = key(
        "", "Time zone, such as `Europe/Berlin`: models are told the local date and time. Unset tells them neither."
    )
    skills: tuple[str, ...] | None = key(None, "Names of the skills offered; unset means all.")
    history_tokens: int = key(24_000, "Budget of conversation sent along with each turn.", minimum=0)
    max_tokens: int | None = key(None, "Longest answer, in tokens; unset leaves it to the provider.", minimum=1)
    temperature: float | None = key(
        None, "Sampling temperature; unset leaves it to the provider.", minimum=0, maximum=2
    )
    thinking_default: str = key(
        "",
        "`off`, `low`, `medium` or `high`; empty leaves it to the model.",
        pattern=r"|off|low|medium|high",
        expects="one of off, low, medium, high",
    )
    # OpenClaw's default.
    media_max_mb: float = key(8, "Largest attachment that is read, in MiB.", above=0)
    # OpenClaw's default.
    typing_interval: float = key(
        6.0, "How often the typing indicator is renewed.", name="typingIntervalSeconds", minimum=1, maximum=60
    )
    # A model that never stops would hold its conversation for ever.
    turn_limit: float = key(
        1800.0, "Longest turn; then it is ended with a notice.", name="timeoutSeconds", minimum=1, maximum=86_400
    )
    # Bounds memory and open requests; further turns wait in their sessions.
    max_concurrent: int = key(
        1000, "Turns that may run at the same time, over all conversations; who waits is told.", minimum=1
    )
    tools: ToolRules = section(ToolRules, "Which tools agents get.")


@frozen
class AgentEntry:
    """`agents.entries.<id>`: what differs from `agents.defaults`. None means: as in the defaults."""

    name: str = key("", "A name for people, shown by `/status`.")
    default: bool = key(False, "Answers where no binding applies; without one marked so, `main`, else the first.")
    model: ModelChoice | None = key(None, "Model and fallbacks; a bare name is the primary.", scalar="primary")
    system_prompt: str | None = key(None, "Said to the model before every conversation.")
    workspace: str = key("", "The folder with this agent's own `AGENTS.md`, `SOUL.md` and `IDENTITY.md`.")
    skills: tuple[str, ...] | None = key(None, "Names of the skills offered.")
    history_tokens: int | None = key(None, "Budget of conversation sent along with each turn.", minimum=0)
    max_tokens: int | None = key(None, "Longest answer, in tokens.", minimum=1)
    temperature: float | None = key(None, "Sampling temperature.", minimum=0, maximum=2)
    thinking_default: str | None = key(
        None,
        "`off`, `low`, `medium` or `high`.",
        pattern=r"|off|low|medium|high",
        expects="one of off, low, medium, high",
    )
    identity: Identity = section(Identity, "How the agent is called.")
    group_chat: AgentGroupChat = section(AgentGroupChat, "Behaviour in channels.")
    tools: ToolRules | None = key(None, "Which tools this agent gets.")


@frozen
class Agents:
    """`agents`."""

    defaults: AgentDefaults = section(AgentDefaults, "What holds for every agent.")
    entries: Mapping[str, AgentEntry] = table_of("Agents by id; without any there is one, `main`.")


@frozen
class ModelEntry:
    """One model of a provider."""

    id: str = key("", "The name that the provider knows.")
    name: str = key("", "A name for people, shown by `/models`.")
    images: bool = key(False, "Whether it takes images.")
    tools: bool = key(True, "Whether it takes tools; where it refuses them it is asked without them anyway.")
    context_window: int | None = key(None, "Its window in tokens; the history budget stays below it.", minimum=1)
    max_tokens: int | None = key(None, "Longest answer, in tokens.", minimum=1)
    max_tokens_field: str = key(
        "max_tokens",
        "The field of the request that carries the longest answer; a server that refuses one is sent the other.",
        pattern=r"max_tokens|max_completion_tokens",
        expects="one of max_tokens, max_completion_tokens",
    )


@frozen
class Provider:
    """`models.providers.<name>`; `first_token_limit` and `idle_limit` in seconds."""

    api: str = key(
        ModelApi.OPENAI.value,
        f"{', '.join(f'`{name}`' for name in BUILT_IN_APIS)}, or the name of an installed agent.",
    )
    base_url: str = key(
        "", "Base URL of the endpoint, such as `http://127.0.0.1:11434/v1`; a built-in provider has its own."
    )
    api_key: Secret = key(NO_SECRET, "Key: text, or `{ source = ... }`.")
    api_key_file: str = key("", "A file that holds the key, readable by its owner only.")
    models: tuple[ModelEntry, ...] = key((), "Its models; a bare name is enough.", scalar="id")
    command: tuple[str, ...] = key((), "For `command`: program and arguments.")
    env: Mapping[str, Secret] = table_of(
        "For `command`: environment variables added to its own.", secret=SecretForm.TEXT
    )
    headers: Mapping[str, Secret] = table_of(
        "Further HTTP headers, such as Azure's `api-key`; each value is text or `{ source = ... }`.",
        secret=SecretForm.HEADER,
    )
    options: Mapping[str, Any] = table_of("Further fields of each request, or settings of an installed agent.")
    # Local servers load the model on the first request, which takes minutes for a large one.
    first_token_limit: float = key(
        120.0, "Longest wait for the first word.", name="firstTokenSeconds", minimum=1, maximum=3600
    )
    # Separate from the limit above: once an answer has begun, a pause of this length means that the server hangs.
    idle_limit: float = key(120.0, "Longest silence within an answer.", name="idleSeconds", minimum=1, maximum=3600)
    # No limit of its own unless it is lowered: as many as there may be turns.
    max_concurrent: int = key(1000, "Requests at the same time; lower it to what the server takes.", minimum=1)


@frozen
class Models:
    """`models`."""

    providers: Mapping[str, Provider] = table_of(
        "Model endpoints by name. Built-in ones (`oc-trio models list`) need no entry."
    )


@frozen
class McpServer:
    """`mcp.servers.<name>`: `command` or `url`; times in seconds."""

    enabled: bool = key(True, "Whether it is started.")
    command: str = key("", "Program that speaks MCP on its standard streams.")
    args: tuple[str, ...] = key((), "Its arguments.")
    env: Mapping[str, Secret] = table_of("Environment variables added to its own.", secret=SecretForm.TEXT)
    cwd: str = key("", "Its working directory.")
    url: str = key("", "Address of a server that speaks streamable HTTP.")
    headers: Mapping[str, Secret] = table_of("HTTP headers for `url`.", secret=SecretForm.HEADER)
    # At its first start `npx` or `uvx` downloads the server.
    start_limit: float = key(30.0, "Longest start.", name="startSeconds", minimum=1, maximum=600)
    call_limit: float = key(120.0, "Longest call of a tool.", name="callSeconds", minimum=1, maximum=86_400)
    allow: tuple[str, ...] = key(("*",), "Tools offered: names with `*`.")
    approve: tuple[str, ...] = key((), "Tools that a person approves by button before each call: names with `*`.")


@frozen
class Mcp:
    """`mcp`."""

    servers: Mapping[str, McpServer] = table_of("Tool servers by name.")


@frozen
class Skills:
    """`skills`."""

    dirs: tuple[str, ...] = key(("skills",), "Folders of skills; relative ones start at the configuration file.")
