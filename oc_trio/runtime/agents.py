"""The table of agents, with prompt, model and tools of each: built from the configuration, shared by all accounts."""

import json
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from random import Random
from types import MappingProxyType
from typing import TypeVar, assert_never

import httpx
import trio
from attrs import evolve, field

from oc_trio.agent.build import AgentSpec, build_agent
from oc_trio.agent.http_stream import Deadlines
from oc_trio.agent.image_bounds import ImageBounds, image_bounds, narrowest
from oc_trio.agent.port import Agent, NoTools, Toolbox
from oc_trio.agent.unsupported import Unsupported
from oc_trio.classes import define, frozen
from oc_trio.config.agents import AgentEntry, ModelEntry, Provider, ToolRules
from oc_trio.config.model import Config
from oc_trio.config.persona import with_persona
from oc_trio.core.model_apis import ModelApi, built_in_api
from oc_trio.errors import ConfigError, Problem
from oc_trio.ids import AgentId
from oc_trio.runtime.policies import default_agent, entries
from oc_trio.runtime.turn_limit import TurnLimit
from oc_trio.telemetry.model_calls import ModelCalls
from oc_trio.telemetry.pauses import Pauses

T = TypeVar("T")

DEFAULT_PROMPT = (
    "You are a helpful assistant in a Mattermost chat. Answer in the language of the question, in Mattermost Markdown, "
    "and as briefly as the question allows. Messages carry their sender, time and ids; never repeat those."
)


# No name of a model: those are `provider/model`.
DEFAULT_MODEL = "default"


@frozen
class SessionSettings:
    """What people set for a conversation by chat commands; empty and None mean that nothing was set.

    A thread that has nothing set goes by its channel; with `DEFAULT_MODEL` it has the agent's own model all the same.
    """

    model: str = ""
    thinking: str = ""
    reasoning: bool | None = None
    verbose: bool | None = None
    queue: Mapping[str, object] = field(factory=dict, hash=False)

    def to_json(self) -> str:
        """What is set, as a JSON object."""
        fields: dict[str, object] = {"model": self.model, "thinking": self.thinking, "reasoning": self.reasoning}
        fields |= {"verbose": self.verbose, "queue": dict(self.queue)}
        return json.dumps({name: value for name, value in fields.items() if value not in ("", None, {})})

    def over(self, channel: "SessionSettings") -> "SessionSettings":
        """What holds in a thread with these settings, in a channel with those. `DEFAULT_MODEL` becomes empty."""
        model = self.model or channel.model
        return SessionSettings(
            model="" if model == DEFAULT_MODEL else model,
            thinking=self.thinking or channel.thinking,
            reasoning=channel.reasoning if self.reasoning is None else self.reasoning,
            verbose=channel.verbose if self.verbose is None else self.verbose,
            queue={**channel.queue, **self.queue},
        )

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
    name: str = ""
    skills: tuple[str, ...] | None = None
    # None where the model takes no images.
    image_bounds: ImageBounds | None = None
    takes_tools: bool = True
    timezone: str = ""


@define(eq=False)
class AgentTable:
    """All agents of the configuration; `models` lists every `provider/model` that can be chosen.

    One table serves all accounts. `replace_with` is the only change: turns that run keep the agent they began with.
    """

    setups: Mapping[AgentId, AgentSetup]
    by_model: Mapping[str, Mapping[AgentId, AgentSetup]]
    primary: Mapping[AgentId, str]
    default: AgentId
    # Turns that may run at the same time, over all conversations and accounts.
    limit: TurnLimit = field(factory=lambda: TurnLimit.of(1000))
    # Names for people, of those models that have one.
    titles: Mapping[str, str] = field(factory=dict)

    def replace_with(self, other: "AgentTable") -> None:
        """Hold what `other` holds, from the next turn on."""
        self.setups, self.by_model = other.setups, other.by_model
        self.primary, self.default, self.titles = other.primary, other.default, other.titles
        # The limit itself stays: running turns hold its places.
        self.limit.change(other.limit.turns)

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(sorted(self.by_model))

    def setup(self, agent_id: AgentId, settings: SessionSettings) -> AgentSetup:
        """The agent as the conversation's settings want it; an unknown id is answered by the default agent.

        A model that is not configured any more gives way to the agent's own.
        """
        # A conversation may remember an agent or a model that the configuration has no longer.
        known = agent_id if agent_id in self.setups else self.default
        setup = self.by_model.get(settings.model, {}).get(known) or self.setups[known]
        return evolve(setup, thinking=settings.thinking or setup.thinking)


def build_agents(
    config: Config,
    http: httpx.AsyncClient,
    *,
    make: Callable[[AgentSpec, httpx.AsyncClient], Agent] = build_agent,
    pauses: Pauses | None = None,
    calls: ModelCalls | None = None,
    random: Random | None = None,
    personas: Mapping[str, str] = MappingProxyType({}),
) -> AgentTable:
    """Every agent with every model of the configuration. Raises ConfigError where one can't be built.

    `pauses` notes the models that are waited for, `calls` how their requests end; `random` draws the jitter of those
    waits; `personas` has what each agent's own files say of it.
    """
    factory = _AgentFactory(config, http, make, pauses, calls, random)
    setups, primary = {}, {}
    by_model: dict[str, dict[AgentId, AgentSetup]] = {model: {} for model in factory.models}
    for agent_id, entry in entries(config).items():
        choice = entry.model or config.agents.defaults.model
        wanted = choice.primary or next(iter(factory.models), "")
        if not wanted:
            path = f"agents.entries.{agent_id}.model.primary"
            hint = 'such as model = "anthropic/<model>"; oc-trio models list has the providers'
            raise ConfigError(Problem(path, "no model is configured", hint))
        primary[agent_id] = wanted
        persona = personas.get(agent_id, "")
        setups[agent_id] = factory.setup(entry, (wanted, *choice.fallbacks), persona)
        # Built in advance, for every model that people may choose: a model that can't be built is an error of the
        # start.
        for model, built in by_model.items():
            built[agent_id] = factory.setup(entry, (model, wanted, *choice.fallbacks), persona)
    limit = TurnLimit.of(config.agents.defaults.max_concurrent)
    titles = {name: model.name for name, model in factory.models.items() if model.name}
    return AgentTable(setups, by_model, primary, default_agent(config), limit, titles)


def model_spec(config: Config, http: httpx.AsyncClient, model: str) -> AgentSpec:
    """One `provider/model` alone, as an agent without settings of its own would ask it."""
    return _AgentFactory(config, http, build_agent).spec(model, AgentEntry())


class _AgentFactory:
    """Builds setups; the models of one provider share its limit of requests at the same time."""

    def __init__(
        self,
        config: Config,
        http: httpx.AsyncClient,
        make: Callable[[AgentSpec, httpx.AsyncClient], Agent],
        pauses: Pauses | None = None,
        calls: ModelCalls | None = None,
        random: Random | None = None,
    ) -> None:
        self.config, self.http, self.make, self.pauses, self.calls = config, http, make, pauses, calls
        self.random = random or Random()  # noqa: S311 - jitter is no secret
        providers = config.models.providers
        self.models = {f"{name}/{model.id}": model for name, it in providers.items() for model in it.models}
        self.limiters = {name: trio.CapacityLimiter(provider.max_concurrent) for name, provider in providers.items()}
        # One per provider: what its server refused of a request is remembered for all of its models.
        self.unsupported = {name: Unsupported(name) for name in providers}

    def setup(self, entry: AgentEntry, models: Iterable[str], persona: str = "") -> AgentSetup:
        """An agent that asks the first of `models`, and the next ones while those before are unavailable."""
        defaults = self.config.agents.defaults
        first, *others = dict.fromkeys(models)
        spec = self.spec(first, entry)
        spec = evolve(spec, fallbacks=tuple(self.spec(name, entry) for name in others))
        history = _own(entry.history_tokens, defaults.history_tokens)
        return AgentSetup(
            self.make(spec, self.http),
            system_prompt=with_persona(_own(entry.system_prompt, defaults.system_prompt) or DEFAULT_PROMPT, persona),
            history_tokens=_within_window(history, self.models.get(first), self._max_tokens(first, entry)),
            thinking=_own(entry.thinking_default, defaults.thinking_default),
            rules=_own(entry.tools, defaults.tools),
            skills=_own(entry.skills, defaults.skills),
            name=entry.name,
            image_bounds=self._image_bounds(first, others),
            takes_tools=spec.tools,
            timezone=defaults.timezone,
        )

    def _image_bounds(self, first: str, others: Iterable[str]) -> ImageBounds | None:
        """What the first model and all after it take; None where the first takes none."""
        model = self.models.get("/".join(_split(self.config, first)))
        if model is None or not model.images:
            return None
        apis = [self.config.models.providers[_split(self.config, name)[0]].api for name in (first, *others)]
        return narrowest(image_bounds(api) for api in apis)

    def _max_tokens(self, name: str, entry: AgentEntry) -> int | None:
        """The agent's limit, else everybody's, else the model's."""
        model = self.models.get(name)
        own = _own(entry.max_tokens, self.config.agents.defaults.max_tokens)
        return _own(own, model.max_tokens if model is not None else None)

    def spec(self, name: str, entry: AgentEntry) -> AgentSpec:
        provider_name, model = _split(self.config, name)
        provider = self.config.models.providers.get(provider_name)
        if provider is None:
            known = ", ".join(self.config.models.providers) or "none"
            problem = Problem("agents.defaults.model", f"no provider {provider_name!r}", f"configured: {known}")
            raise ConfigError(problem)
        listed = self.models.get(f"{provider_name}/{model}", ModelEntry())
        limits = {
            self._limit_field(provider, listed): self._max_tokens(name, entry),
            "temperature": _own(entry.temperature, self.config.agents.defaults.temperature),
        }
        return AgentSpec(
            api=provider.api,
            base_url=provider.base_url,
            api_key=provider.api_key.reveal(),
            model=model,
            headers={key: value.reveal() for key, value in provider.headers.items()},
            # What an operator writes as a field of the request wins.
            options={**{key: value for key, value in limits.items() if value is not None}, **provider.options},
            command=provider.command,
            env={key: value.reveal() for key, value in provider.env.items()},
            deadlines=Deadlines(first_token=provider.first_token_limit, idle=provider.idle_limit),
            limiter=self.limiters[provider_name],
            tools=listed.tools,
            unsupported=self.unsupported[provider_name],
            on_pause=partial(self.pauses.note, f"model {provider_name}/{model}") if self.pauses is not None else None,
            on_end=partial(self.calls.ended, f"{provider_name}/{model}") if self.calls is not None else None,
            random=self.random,
        )

    def _limit_field(self, provider: Provider, model: ModelEntry) -> str:
        """The request's field for the longest answer.

        Programs and installed agents get OpenAI's names in their `options`, too.
        """
        match built_in_api(provider.api):
            case ModelApi.ANTHROPIC:
                return "max_tokens"  # it has no other
            case ModelApi.OPENAI | ModelApi.COMMAND | ModelApi.SCRIPTED | None:
                return model.max_tokens_field
            case never:
                assert_never(never)


def _within_window(history: int, model: ModelEntry | None, max_tokens: int | None) -> int:
    """The budget of conversation, with room for the answer in the model's window."""
    if model is None or model.context_window is None:
        return history
    # Without a limit of the answer a quarter of the window is kept free for it.
    return max(0, min(history, model.context_window - (max_tokens or model.context_window // 4)))


def _split(config: Config, name: str) -> tuple[str, str]:
    """`provider/model`; a provider alone means its first or only model."""
    provider, _, model = name.partition("/")
    if not model and provider in config.models.providers:
        models = config.models.providers[provider].models
        return provider, models[0].id if models else ""
    return provider, model


def _own(own: T | None, shared: T) -> T:
    return shared if own is None else own
