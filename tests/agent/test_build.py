"""A specification becomes the right agent with its wrappers, and never prints its secrets."""

import pytest

from oc_trio.agent.anthropic import AnthropicAgent
from oc_trio.agent.build import AgentSpec, build_agent
from oc_trio.agent.command import CommandAgent
from oc_trio.agent.fallback import FallbackAgent
from oc_trio.agent.openai import OpenAIAgent
from oc_trio.agent.port import Message, Role, TurnRequest
from oc_trio.agent.retrying import RetryingAgent, RetrySettings
from oc_trio.agent.scripted import ScriptedAgent
from oc_trio.core.model_apis import BUILT_IN_APIS
from oc_trio.core.turn_events import Final, Usage
from oc_trio.errors import ConfigError
from oc_trio.ids import AgentId, SessionKey
from tests.agent.model_server import Reply, client, collect, serve_model, sse

ONCE = RetrySettings(attempts=1)
OPENAI = AgentSpec("openai-completions", base_url="http://x/v1", model="m", api_key="sk-secret", retry=ONCE)
KINDS = [
    pytest.param(OPENAI, OpenAIAgent, id="openai"),
    pytest.param(AgentSpec("anthropic-messages", model="m", retry=ONCE), AnthropicAgent, id="anthropic"),
    pytest.param(AgentSpec("command", command=("x",), retry=ONCE), CommandAgent, id="command"),
    pytest.param(AgentSpec("scripted", retry=ONCE), ScriptedAgent, id="scripted"),
    pytest.param(AgentSpec("scripted"), RetryingAgent, id="with retry"),
    pytest.param(AgentSpec("scripted", fallbacks=(OPENAI,)), FallbackAgent, id="with a fallback"),
]


def test_every_built_in_api_is_among_them() -> None:
    """A new API gets a row above."""
    assert {spec.api for spec in (param.values[0] for param in KINDS) if isinstance(spec, AgentSpec)} == {
        *BUILT_IN_APIS
    }


@pytest.mark.parametrize(("spec", "kind"), KINDS)
async def test_each_api_has_its_agent(spec: AgentSpec, kind: type) -> None:
    """Each API builds its agent, without contacting anything."""
    async with client() as http:
        assert type(build_agent(spec, http)) is kind


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (AgentSpec("openai-completions", model="m"), "baseUrl"),
        (AgentSpec("openai-completions", base_url="http://x"), "model"),
        (AgentSpec("anthropic-messages"), "model"),
        (AgentSpec("command"), "command"),
        (AgentSpec("openai-completion"), "no agent named"),
    ],
    ids=["no address", "no model", "no model for anthropic", "no program", "no such api"],
)
async def test_a_description_that_lacks_something_is_refused(spec: AgentSpec, words: str) -> None:
    """The error names the key."""
    async with client() as http:
        with pytest.raises(ConfigError, match=words):
            build_agent(spec, http)


async def test_the_chain_works_end_to_end() -> None:
    """An overloaded model is asked again, then the fallback answers."""
    chunk = {"model": "b", "choices": [{"delta": {"content": "Hi"}, "finish_reason": "stop"}]}
    busy = Reply(503, b"{}", content_type="application/json")
    async with serve_model(busy, busy, Reply(body=sse(chunk))) as server, client() as http:
        second = AgentSpec("openai-completions", base_url=server.base_url, model="b", retry=ONCE)
        first = AgentSpec(
            "openai-completions",
            base_url=server.base_url,
            model="a",
            retry=RetrySettings(attempts=2, first_wait=0.01),
            fallbacks=(second,),
        )
        request = TurnRequest(AgentId("a"), SessionKey("s"), "", (Message(Role.USER, "x"),))
        events = await collect(build_agent(first, http), request)
    assert events[-1] == Final("Hi", usage=Usage(model="b"))
    assert [recorded.body["model"] for recorded in server.requests] == ["a", "a", "b"]


def test_secrets_are_not_printed() -> None:
    """Keys, header values and environment stay out of the repr."""
    spec = AgentSpec("command", api_key="sk-secret", headers={"X": "hush-hush"}, env={"TOKEN": "top-secret"})
    assert not any(secret in repr(spec) for secret in ("sk-secret", "hush-hush", "top-secret"))
