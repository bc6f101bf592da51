"""Which agent answers, with what prompt, model and tools: built once from the configuration, shared by all accounts."""

import json
from collections.abc import Callable, Mapping
from typing import TypeVar

import httpx
import trio
from attrs import evolve, field, frozen

from oc_trio.agent.build import AgentSpec, build_agent
from oc_trio.agent.exchange import Deadlines
from oc_trio.agent.port import Agent, NoTools, Toolbox
from oc_trio.config.agents import AgentDefaults, AgentEntry, ModelChoice, ToolRules
from oc_trio.config.model import Config
from oc_trio.errors import ConfigError, Problem
from oc_trio.ids import AgentId
from oc_trio.runtime.policies import default_agent

T = TypeVar("T")

DEFAULT_PROMPT = (
    "You are a helpful assistant in a Mattermost chat. Answer in the language of the question, in Mattermost Markdown, "
    "and as briefly as the question allows. Messages carry their sender, time and ids; never repeat those."
)


@frozen
class SessionSettings:
    """What people set for a conversation by chat commands; empty means the agent's own."""

    model: str = ""
    thinking: str = ""
    reasoning: bool = False
    verbose: bool = False
    queue: Mapping[str, object] = field(factory=dict, hash=False)

    def to_json(self) -> str:
        fields = {"model": self.model, "thinking": self.thinking, "reasoning": self.reasoning}
        return json.dumps({**fields, "verbose": self.verbose, "queue": dict(self.queue)})

    @classmethod
    def from_json(cls, text: str) -> "SessionSettings":
        return cls(**json.loads(text or "{}"))


@frozen(eq=False)
class AgentSetup:
    """One agent, ready for a turn."""

    agent: Agent
    system_prompt: str
    history_tokens: int
    model: str = ""
    thinking: str = ""
    tools: Toolbox = field(factory=NoTools)
    rules: ToolRules = ToolRules()
    takes_images: bool = False


@frozen(eq=False)
class AgentTable:
    """All agents of the configuration; `models` lists every `provider/model` that can be chosen."""

    setups: Mapping[AgentId, AgentSetup]
    by_model: Mapping[str, Agent]
    primary: Mapping[AgentId, str]
    default: AgentId
    # Turns that may run at the same time, over all conversations and accounts.
    limiter: trio.CapacityLimiter = field(factory=lambda: trio.CapacityLimiter(64))
    # Those of `models` that take images.
    seeing: frozenset[str] = frozenset()

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(sorted(self.by_model))

    def setup(self, agent_id: AgentId, settings: SessionSettings) -> AgentSetup:
        """The agent as the conversation's settings want it; an unknown id is answered by the default agent."""
        setup = self.setups.get(agent_id) or self.setups[self.default]
        chosen = self.by_model.get(settings.model)
        if chosen is not None:
            setup = evolve(setup, agent=chosen, takes_images=settings.model in self.seeing)
        return evolve(setup, thinking=settings.thinking or setup.thinking)


def build_agents(
    config: Config, http: httpx.AsyncClient, *, make: Callable[[AgentSpec, httpx.AsyncClient], Agent] = build_agent
) -> AgentTable:
    """Every agent and every model of the configuration. Raises ConfigError where one can't be built."""
    specs = {
        f"{name}/{model.id}": _spec(config, name, model.id)
        for name, provider in config.models.providers.items()
        for model in provider.models
    }
    main = default_agent(config)
    entries = {AgentId(name): entry for name, entry in config.agents.entries.items()} or {main: AgentEntry()}
    seeing = frozenset(
        f"{name}/{model.id}"
        for name, provider in config.models.providers.items()
        for model in provider.models
        if model.images
    )
    setups, primary = {}, {}
    for agent_id, entry in entries.items():
        choice = entry.model or config.agents.defaults.model
        wanted = choice.primary or next(iter(specs), "")
        spec = _with_fallbacks(config, wanted, choice, str(agent_id))
        primary[agent_id] = wanted
        setup = _setup(make(spec, http), config.agents.defaults, entry)
        setups[agent_id] = evolve(setup, takes_images="/".join(_split(config, wanted)) in seeing)
    by_model = {name: make(spec, http) for name, spec in specs.items()}
    limiter = trio.CapacityLimiter(config.agents.defaults.max_concurrent)
    return AgentTable(setups, by_model, primary, main, limiter, seeing)


def _with_fallbacks(config: Config, primary: str, choice: ModelChoice, agent_id: str) -> AgentSpec:
    if not primary:
        path = f"agents.entries.{agent_id}.model.primary"
        raise ConfigError(Problem(path, "no model is configured", "add models.providers and name one of its models"))
    specs = [_spec(config, *_split(config, name)) for name in (primary, *choice.fallbacks)]
    return evolve(specs[0], fallbacks=tuple(specs[1:]))


def _split(config: Config, name: str) -> tuple[str, str]:
    """`provider/model`; a provider alone means its first or only model."""
    provider, _, model = name.partition("/")
    if not model and provider in config.models.providers:
        models = config.models.providers[provider].models
        return provider, models[0].id if models else ""
    return provider, model


def _spec(config: Config, provider_name: str, model: str) -> AgentSpec:
    provider = config.models.providers.get(provider_name)
    if provider is None:
        known = ", ".join(config.models.providers) or "none"
        raise ConfigError(Problem("agents.defaults.model", f"no provider {provider_name!r}", f"configured: {known}"))
    return AgentSpec(
        api=provider.api,
        base_url=provider.base_url,
        api_key=provider.api_key.reveal(),
        model=model,
        headers={name: value.reveal() for name, value in provider.headers.items()},
        options=provider.options,
        command=provider.command,
        env={name: value.reveal() for name, value in provider.env.items()},
        deadlines=Deadlines(first_token=provider.first_token_limit, idle=provider.idle_limit),
    )


def _own(own: T | None, shared: T) -> T:
    return shared if own is None else own


def _setup(agent: Agent, defaults: AgentDefaults, entry: AgentEntry) -> AgentSetup:
    return AgentSetup(
        agent,
        system_prompt=_own(entry.system_prompt, defaults.system_prompt) or DEFAULT_PROMPT,
        history_tokens=_own(entry.history_tokens, defaults.history_tokens),
        thinking=_own(entry.thinking_default, defaults.thinking_default),
        rules=_own(entry.tools, defaults.tools),
    )
