"""Which agent answers, and with which models, prompt and limits."""

from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import pytest
from attrs import field, frozen

from oc_trio.agent.build import AgentSpec
from oc_trio.agent.port import Agent
from oc_trio.agent.scripted import Say
from oc_trio.config.document import Document
from oc_trio.config.load import build
from oc_trio.errors import ConfigError
from oc_trio.ids import AgentId
from oc_trio.runtime.agents import DEFAULT_PROMPT, AgentSetup, AgentTable, SessionSettings, build_agents
from tests.runtime.harness import Harness

MAIN, OPS, NOBODY = AgentId("main"), AgentId("ops"), AgentId("nobody")
PROVIDERS: dict[str, dict[str, Any]] = {
    "local": {
        "api": "openai-completions",
        "baseUrl": "http://127.0.0.1:1/v1",
        "models": ["small", {"id": "big", "contextWindow": 10_000, "maxTokens": 2000}],
        "options": {"top_p": 0.9},
        "maxConcurrent": 3,
    },
    "cloud": {"api": "anthropic-messages", "apiKey": "secret-key", "models": ["best"]},
}
BASE = {"baseUrl": "https://chat.example.com", "botToken": "t0ken-of-the-bot", "dmPolicy": "pairing"}


@frozen
class Built:
    """Stands for an agent and shows what it was built from."""

    spec: AgentSpec = field()

    def run(self, request: object) -> AbstractAsyncContextManager[Any]:
        raise AssertionError("nobody asks it")


def table(**agents: Any) -> AgentTable:
    values = {"channels": {"mattermost": BASE}, "models": {"providers": PROVIDERS}, "agents": agents}

    def make(spec: AgentSpec, _http: httpx.AsyncClient) -> Agent:
        return Built(spec)

    return build_agents(build(Document(values), {}).config, httpx.AsyncClient(verify=False), make=make)


def spec(setup: AgentSetup) -> AgentSpec:
    assert isinstance(setup.agent, Built)
    return setup.agent.spec


def models(setup: AgentSetup) -> list[str]:
    first = spec(setup)
    return [first.model, *(other.model for other in first.fallbacks)]


CHAIN = {"defaults": {"model": {"primary": "local/big", "fallbacks": ["cloud/best"]}}}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        pytest.param(SessionSettings(), ["big", "best"], id="the-agents-own"),
        pytest.param(SessionSettings(model="local/small"), ["small", "big", "best"], id="chosen-falls-back-too"),
        pytest.param(SessionSettings(model="cloud/best"), ["best", "big"], id="a-fallback-chosen"),
        pytest.param(SessionSettings(model="local/gone"), ["big", "best"], id="not-configured-any-more"),
    ],
)
def test_models(settings: SessionSettings, expected: list[str]) -> None:
    """A conversation's choice comes first, and what the agent would ask otherwise stands behind it."""
    assert models(table(**CHAIN).setup(MAIN, settings)) == expected


def test_an_agent_overrides_the_defaults_one_by_one() -> None:
    """An entry says what differs; the rest is the defaults'."""
    made = table(
        defaults={
            "model": "local/small",
            "systemPrompt": "Be kind.",
            "historyTokens": 900,
            "maxTokens": 300,
            "temperature": 0.2,
            "thinkingDefault": "low",
        },
        entries={
            "main": {},
            "ops": {"model": "cloud/best", "systemPrompt": "", "historyTokens": 50, "temperature": 1, "maxTokens": 7},
        },
    )
    main, ops = made.setup(MAIN, SessionSettings()), made.setup(OPS, SessionSettings(thinking="high"))
    assert (main.system_prompt, main.history_tokens, main.thinking) == ("Be kind.", 900, "low")
    assert spec(main).options == {"max_tokens": 300, "temperature": 0.2, "top_p": 0.9}
    assert (ops.system_prompt, ops.history_tokens, ops.thinking) == (DEFAULT_PROMPT, 50, "high")
    assert spec(ops).options == {"max_tokens": 7, "temperature": 1}
    assert (models(main), models(ops)) == (["small"], ["best"])


def test_what_the_operator_writes_into_the_request_wins() -> None:
    """A provider's options beat the general limits."""
    providers = {**PROVIDERS, "local": {**PROVIDERS["local"], "options": {"max_tokens": 11}}}
    values = {
        "channels": {"mattermost": BASE},
        "models": {"providers": providers},
        "agents": {"defaults": {"model": "local/small", "maxTokens": 300}},
    }
    made = build_agents(
        build(Document(values), {}).config, httpx.AsyncClient(verify=False), make=lambda spec, _http: Built(spec)
    )
    assert spec(made.setup(MAIN, SessionSettings())).options == {"max_tokens": 11}


def test_the_history_stays_within_the_models_window() -> None:
    """Conversation and answer fit into the window of the model that is asked."""
    made = table(defaults={"model": "local/small", "historyTokens": 50_000})
    assert made.setup(MAIN, SessionSettings()).history_tokens == 50_000
    assert made.setup(MAIN, SessionSettings(model="local/big")).history_tokens == 8000


def test_models_of_one_provider_share_its_limit() -> None:
    """maxConcurrent counts a provider's requests, whichever agent and model they are for."""
    made = table(**CHAIN)
    first = spec(made.setup(MAIN, SessionSettings()))
    other = spec(made.setup(MAIN, SessionSettings(model="local/small")))
    assert first.limiter is other.limiter
    assert first.limiter is not None
    assert first.limiter.total_tokens == 3


def test_an_unknown_agent_is_answered_by_the_default_one() -> None:
    """A conversation outlives its agent."""
    made = table(defaults={"model": "local/small"}, entries={"ops": {"systemPrompt": "Ops.", "default": True}, "x": {}})
    assert made.setup(NOBODY, SessionSettings()).system_prompt == "Ops."


def test_without_a_model_there_is_no_agent() -> None:
    """The message says where one is to be named."""
    config = build(Document({"channels": {"mattermost": BASE}}), {}).config
    with pytest.raises(ConfigError, match=r"agents\.entries\.main\.model\.primary: no model is configured"):
        build_agents(config, httpx.AsyncClient(verify=False))


def test_replacing_changes_what_the_next_turn_gets() -> None:
    """A reload swaps every agent in place; what was handed out before stays what it was."""
    old, new = table(defaults={"model": "local/small"}), table(defaults={"model": "cloud/best", "maxConcurrent": 2})
    before = old.setup(MAIN, SessionSettings())
    old.replace_with(new)
    assert models(before) == ["small"]
    assert models(old.setup(MAIN, SessionSettings())) == ["best"]
    assert old.limit.turns == 2


async def test_names_for_people(harness: Harness) -> None:
    """/status tells the account's and the agent's name, /models those of the models."""
    models = [{"id": "script", "name": "The script"}]
    await harness.start(
        {"name": "Front desk"},
        models={"providers": {"double": {"api": "scripted", "models": models}}},
        agents={"entries": {"main": {"name": "Ada L."}}},
    )
    for command in ("/status", "/models"):
        harness.say(command, channel=harness.direct())
        await harness.settled()
    status, models_text = harness.answers(harness.direct())
    assert "as @helper (Front desk)" in status
    assert "agent: `main` (Ada L.)" in status
    assert models_text == "- `double/script` The script"


async def test_each_agent_speaks_with_its_own_prompt(harness: Harness) -> None:
    """The bound agent's prompt is what the model gets, and its name in brackets is the prefix of the answer."""
    harness.script = [Say("done")]
    await harness.start(
        {"responsePrefix": "auto", "replyToMode": "off"},
        agents={
            "entries": {
                "main": {"identity": {"name": "Ada"}},
                "ops": {"systemPrompt": "You run things.", "identity": {"name": "Opsy"}},
            }
        },
        bindings=[{"agentId": "ops", "match": {"peer": {"kind": "channel", "id": harness.square.id}}}],
    )
    harness.say("@helper hi")
    harness.say("hi", channel=harness.direct())
    await harness.settled()
    assert harness.answers() == ["[Opsy] done"]
    assert harness.answers(harness.direct()) == ["[Ada] done"]
    prompts = {str(request.agent): request.system_prompt for request in harness.agent.requests}
    assert prompts["ops"] == "You run things."


OPENCLAW_MODELS: list[dict[str, Any]] = [
    {"id": "eyes", "input": ["text", "image"], "contextWindow": 4000, "maxTokens": 1000},
    {"id": "plain", "input": ["text"], "compat": {"supportsTools": False, "maxTokensField": "max_completion_tokens"}},
    {"id": "today", "images": True, "tools": False, "maxTokensField": "max_tokens", "maxTokens": 7},
]


@pytest.mark.parametrize("imported", [False, True], ids=["toml", "openclaw.json"])
def test_what_openclaw_says_of_a_model_takes_effect(imported: bool) -> None:
    """Images, tools, the field and size of the longest answer, and the window; both files mean the same."""
    local = {**PROVIDERS["local"], "models": OPENCLAW_MODELS, "options": {}}
    values = {
        "channels": {"mattermost": BASE},
        "models": {"providers": {"local": local, "cloud": {**PROVIDERS["cloud"], "models": OPENCLAW_MODELS}}},
        "agents": {"defaults": {"model": "local/eyes", "maxTokens": 500, "historyTokens": 9000}},
    }
    loaded = build(Document(values, imported=imported), {})
    made = build_agents(loaded.config, httpx.AsyncClient(verify=False), make=lambda spec, _http: Built(spec))
    eyes, plain, today = (
        made.setup(MAIN, SessionSettings(model=f"local/{name}")) for name in ("eyes", "plain", "today")
    )
    assert [one.image_bounds is not None for one in (eyes, plain, today)] == [True, False, True]
    assert [spec(one).tools for one in (eyes, plain, today)] == [True, False, False]
    assert (eyes.history_tokens, plain.history_tokens) == (3500, 9000)
    assert spec(eyes).options == {"max_tokens": 500}
    assert spec(plain).options == {"max_completion_tokens": 500}
    claude = made.setup(MAIN, SessionSettings(model="cloud/plain"))
    assert (spec(claude).options, spec(claude).tools) == ({"max_tokens": 500}, False)
    hints = {warning.path: warning.hint for warning in loaded.warnings}
    # In an openclaw.json it is the spelling of today.
    older = ("models[1].compat.supportsTools", "models[0].input")
    meant = [hints.get(f"models.providers.local.{key}") for key in older]
    assert meant == ([None, None] if imported else ["write tools", "write images"])


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"compat": {"supportsTools": "no"}}, r"models\[0\]\.compat\.supportsTools: must be true or false"),
        ({"compat": {"maxTokensField": "tokens"}}, r"models\[0\]\.compat\.maxTokensField: must be one of max_tokens"),
        ({"input": "text"}, r"models\[0\]\.input: must be a list"),
        ({"compat": {"supportsTool": True}}, r"models\[0\]\.compat: is not a known key"),
    ],
)
def test_openclaws_words_for_a_model_are_checked(model: dict[str, Any], words: str) -> None:
    """A wrong value is named where it stands in the file."""
    providers = {"local": {**PROVIDERS["local"], "models": [{"id": "m", **model}]}}
    with pytest.raises(ConfigError, match=words):
        build(Document({"channels": {"mattermost": BASE}, "models": {"providers": providers}}), {})
