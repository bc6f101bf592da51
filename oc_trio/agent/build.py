"""Builds an agent from its specification: the API's own agent, wrapped by retries and fallbacks. Contacts nobody."""

from collections.abc import Callable, Mapping
from random import Random
from typing import Any, assert_never

import httpx
import trio
from attrs import field

from oc_trio.agent.concurrency_limit import LimitedAgent
from oc_trio.agent.fallback import FallbackAgent
from oc_trio.agent.http_stream import Deadlines
from oc_trio.agent.observed import ObservedAgent
from oc_trio.agent.port import Agent
from oc_trio.agent.retrying import RetryingAgent, RetrySettings
from oc_trio.agent.tool_loop import MAX_ROUNDS
from oc_trio.agent.unsupported import Unsupported
from oc_trio.classes import frozen
from oc_trio.core.model_apis import ModelApi, built_in_api
from oc_trio.errors import ConfigError, Problem


@frozen
class AgentSpec:
    """One model or program, with its fallbacks.

    `api` is the value of a `ModelApi`, or the name of an installed entry point.
    `options` are fields of each request, or the settings of an installed agent; for `scripted`, `token_delay` (s).
    `limiter` bounds the turns at the same time of all specs that share it. `tools` says whether the model takes any;
    `unsupported` is shared by the specs of one provider, and remembers what its models refused. `on_pause` is called
    with the seconds before an unavailable model is asked again, of which `random` draws a part, `on_end` with the error
    of each request, empty for an answer.
    """

    api: str
    base_url: str = ""
    api_key: str = field(default="", repr=False)
    model: str = ""
    headers: Mapping[str, str] = field(factory=dict, repr=False, hash=False)
    options: Mapping[str, Any] = field(factory=dict, hash=False)
    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(factory=dict, repr=False, hash=False)
    fallbacks: tuple["AgentSpec", ...] = ()
    deadlines: Deadlines = Deadlines()
    retry: RetrySettings = RetrySettings()
    limiter: trio.CapacityLimiter | None = field(default=None, repr=False)
    max_rounds: int = MAX_ROUNDS
    tools: bool = True
    unsupported: Unsupported = field(factory=Unsupported, eq=False, repr=False)
    on_pause: Callable[[float], object] | None = field(default=None, eq=False, repr=False)
    on_end: Callable[[str], object] | None = field(default=None, eq=False, repr=False)
    random: Random = field(factory=Random, eq=False, repr=False)


def build_agent(spec: AgentSpec, http: httpx.AsyncClient) -> Agent:
    """The agent of `spec`. Raises `ConfigError` where the specification lacks something."""
    # Retries are within the fallbacks: each model is asked several times before the next one is.
    first, *others = [_with_retries(one, http) for one in _flat(spec)]
    return FallbackAgent((first, *others)) if others else first


def _flat(spec: AgentSpec) -> tuple[AgentSpec, ...]:
    return (spec, *(each for fallback in spec.fallbacks for each in _flat(fallback)))


def _with_retries(spec: AgentSpec, http: httpx.AsyncClient) -> Agent:
    agent = _single(spec, http)
    if spec.on_end is not None:
        agent = ObservedAgent(agent, spec.on_end)
    if spec.limiter is not None:
        # Within the retries: a turn that waits for its next attempt holds no place at the endpoint.
        agent = LimitedAgent(agent, spec.limiter)
    if spec.retry.attempts == 1:
        return agent
    return RetryingAgent(agent, spec.retry, spec.random, spec.on_pause)


def _single(spec: AgentSpec, http: httpx.AsyncClient) -> Agent:
    match built_in_api(spec.api):
        # Each imported where it is configured: most gateways have one of them, and a start waits for the others.
        case ModelApi.OPENAI:
            from oc_trio.agent.openai import OpenAIAgent, OpenAISettings

            _require(spec, "baseUrl", spec.base_url)
            _require(spec, "model", spec.model)
            return OpenAIAgent(
                OpenAISettings(
                    spec.base_url,
                    spec.model,
                    spec.api_key,
                    spec.headers,
                    spec.options,
                    spec.deadlines,
                    spec.max_rounds,
                    spec.tools,
                    spec.unsupported,
                ),
                http,
            )
        case ModelApi.ANTHROPIC:
            from oc_trio.agent.anthropic import DEFAULT_URL, AnthropicAgent, AnthropicSettings

            _require(spec, "model", spec.model)
            return AnthropicAgent(
                AnthropicSettings(
                    spec.model,
                    spec.api_key,
                    spec.base_url or DEFAULT_URL,
                    spec.headers,
                    spec.options,
                    spec.deadlines,
                    spec.max_rounds,
                    spec.tools,
                    spec.unsupported,
                ),
                http,
            )
        case ModelApi.COMMAND:
            from oc_trio.agent.command import CommandAgent, CommandSettings

            _require(spec, "command", "".join(spec.command))
            return CommandAgent(CommandSettings(spec.command, spec.env, spec.model, spec.options, spec.deadlines))
        case ModelApi.SCRIPTED:
            from oc_trio.agent.scripted_directives import demo_agent

            return demo_agent(token_delay=float(spec.options.get("token_delay", 0.03)))
        case None:
            from oc_trio.agent.entrypoints import load_agent

            return load_agent(spec.api, {**spec.options, "model": spec.model} if spec.model else spec.options)
        case never:
            assert_never(never)


def _require(spec: AgentSpec, key: str, value: str) -> None:
    if not value:
        raise ConfigError(Problem(key, f"{spec.api} needs it"))
