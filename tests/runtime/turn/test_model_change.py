"""A conversation goes on with the model of another provider: what one gave is nothing that the other refuses."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx
import pytest
import trio
from attrs import define, field

from oc_trio.agent.build import AgentSpec, build_agent
from oc_trio.agent.port import Agent
from tests.runtime.harness import Harness
from tests.runtime.model_harness import ANTHROPIC, OPENAI, Answer, Body, insist_anthropic, insist_openai
from tests.runtime.turn import test_model_cases as openai
from tests.runtime.turn import test_model_cases_anthropic as anthropic

Say = Callable[[dict[str, Any]], Answer]


@define
class Servers(httpx.AsyncBaseTransport):
    """Several servers by host; `wrong` says what one of them would not have taken."""

    answers: Mapping[str, Say]
    requests: list[tuple[str, dict[str, Any]]] = field(factory=list)
    wrong: list[str] = field(factory=list)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await trio.lowlevel.checkpoint()
        body = json.loads(await request.aread())
        self.requests.append((request.url.host, body))
        is_openai = request.url.path.endswith("/chat/completions")
        self.wrong += list((insist_openai if is_openai else insist_anthropic)(body))
        answer = self.answers[request.url.host](body)
        return httpx.Response(answer.status, headers={"content-type": answer.content_type}, stream=Body(answer))

    def agent(self, spec: AgentSpec, _http: httpx.AsyncClient) -> Agent:
        return build_agent(spec, httpx.AsyncClient(transport=self, trust_env=False, verify=False))


def kimi(body: dict[str, Any]) -> Answer:
    """Calls a tool in each turn; its ids have dots and colons, and it gives reasoning and a signature."""
    if body["messages"][-1]["role"] == "tool":
        return openai.ok("kimi is done")
    entry = openai.entry(openai.A, "functions.message:0", 0, extra_content=openai.SIGNED)
    return Answer(openai.chunk({"reasoning_content": "hm"}) + openai.calls(openai.chunk({"tool_calls": [entry]})))


def claude(body: dict[str, Any]) -> Answer:
    """Calls a tool in each turn, after a signed thought; refuses foreign ids and fields."""
    for block in (block for message in body["messages"] for block in message["content"]):
        for key in ("id", "tool_use_id"):
            if not re.fullmatch("[a-zA-Z0-9_-]+", block.get(key, "x")):
                return anthropic.refusal(
                    f"messages.1.content.0.{block['type']}.{key}: String should match pattern '^x'"
                )
    if "SIG" in json.dumps(body) and "thought_signature" in json.dumps(body):
        return anthropic.refusal("Extra inputs are not permitted")
    if body["messages"][-1]["content"][0]["type"] == "tool_result":
        return anthropic.ok("claude is done")
    return Answer(anthropic.START + anthropic.thought("hm") + anthropic.call(anthropic.CALL) + anthropic.CALLED)


def mistral(body: dict[str, Any]) -> Answer:
    """Takes nine letters and digits for an id, and no fields of others."""
    for message in body["messages"]:
        ids = [call["id"] for call in message.get("tool_calls", ())]
        wrong = next((each for each in ids if not re.fullmatch("[a-zA-Z0-9]{9}", each)), None)
        if wrong is not None:
            return openai.refusal(f"Tool call id was {wrong} but must be a-z, A-Z, 0-9, with a length of 9.")
        if {"reasoning_content", "extra_content"} & message.keys():
            return openai.refusal("Extra inputs are not permitted", 422)
    return openai.ok("mistral is done")


def deepseek(body: dict[str, Any]) -> Answer:
    """Wants reasoning with every call."""
    if any(message.get("tool_calls") and not message.get("reasoning_content") for message in body["messages"]):
        return openai.refusal("Missing `reasoning_content` field in the assistant message at message index 2.")
    return openai.ok("deepseek is done")


def gemma(body: dict[str, Any]) -> Answer:
    """Knows neither tools nor a system role, and says so one after the other."""
    if "tools" in body or openai.results(body):
        return openai.refusal("Function calling is not enabled for models/gemma-3-27b-it")
    if body["messages"][0]["role"] == "system":
        return openai.refusal("Developer instruction is not enabled for models/gemma-3-27b-it")
    return openai.ok("gemma is done")


SERVERS: dict[str, Say] = {"kimi": kimi, "claude": claude, "mistral": mistral, "deepseek": deepseek, "gemma": gemma}


def rounds() -> Iterator[Any]:
    for first in ("kimi", "claude"):
        for others in (("mistral", "deepseek", "gemma"), ("claude", "kimi", "mistral"), ("gemma", "kimi", "claude")):
            yield pytest.param((first, *others, first), id="-".join((first, *others)))


@pytest.mark.parametrize("names", list(rounds()))
async def test_one_thread_and_several_providers(harness: Harness, names: tuple[str, ...]) -> None:
    """Each answers, whatever those before it left in the conversation."""
    servers = Servers(SERVERS)
    harness.make_agent = servers.agent
    providers = {
        name: {
            "api": ANTHROPIC if name == "claude" else OPENAI,
            "baseUrl": f"http://{name}/v1",
            "models": [{"id": f"{name}-1"}],
        }
        for name in SERVERS
    }
    await harness.start(
        models={"providers": providers}, agents={"defaults": {"model": {"primary": f"{names[0]}/{names[0]}-1"}}}
    )
    root = harness.say("@helper hello")
    await harness.settled()
    for name in names[1:]:
        harness.say(f"@helper /model {name}/{name}-1", root=root)
        await harness.settled()
        harness.say("@helper and now?", root=root)
        await harness.settled()
    answers = [answer for answer in harness.answers() if not answer.startswith("Model:")]
    assert answers == [f"{name} is done" for name in names]
    assert servers.wrong == []
