"""Model providers without an entry, in both kinds of file, and the ones that can't be had."""

from collections.abc import Callable
from pathlib import Path

import pytest

from oc_trio.config.builtin_providers import BUILT_IN, REFUSED
from oc_trio.config.load import Loaded
from oc_trio.errors import ConfigError
from tests.config.conftest import ENV

LoadText = Callable[..., Loaded]
HEAD = "[channels.mattermost]\n"


def toml(model: str, rest: str = "") -> str:
    return f'{HEAD}[agents.defaults]\nmodel = "{model}"\n{rest}'


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_a_model_s_name_is_enough(load_text: LoadText, name: str) -> None:
    """Base URL, API and the variable of the key are known."""
    known = BUILT_IN[name]
    loaded = load_text(toml(f"{name}/m"), env={**ENV, known.variables[0]: "k"})
    provider = loaded.config.models.providers[name]
    assert (provider.base_url, provider.api, provider.api_key.reveal()) == (known.base_url, known.api, "k")
    assert [model.id for model in provider.models] == ["m"]
    assert str(provider.api_key.ref) == f"env {known.variables[0]}"


def test_a_key_that_is_missing_stops_the_start_where_it_is_needed(load_text: LoadText) -> None:
    """With the line that names the model; programs that run here need none."""
    with pytest.raises(ConfigError) as caught:
        load_text(toml("anthropic/claude"))
    assert "oc-trio.toml:3: agents.defaults.model.primary: anthropic needs a key, and ANTHROPIC_API_KEY is not" in str(
        caught.value
    )
    assert load_text(toml("ollama/qwen3")).config.models.providers["ollama"].api_key.reveal() == ""


def test_a_key_that_is_missing_is_a_warning_where_no_agent_needs_it(load_text: LoadText) -> None:
    """Built-in or not, in TOML as in an openclaw.json."""
    rest = (
        '[models.providers.openai]\nmodels = ["gpt-5.4"]\n'
        '[models.providers.x]\nbaseUrl = "http://x/v1"\napiKey = { source = "env", id = "X_KEY" }\n'
    )
    warnings = "\n".join(map(str, load_text(toml("ollama/q", rest)).warnings))
    assert "models.providers.openai: needs a key, and OPENAI_API_KEY is not set; no agent uses it" in warnings
    assert "models.providers.x.apiKey: the environment variable X_KEY is not set; no agent uses this provider" in (
        warnings
    )
    with pytest.raises(ConfigError, match="X_KEY is not set"):
        load_text(toml("x/m", rest))


def test_an_entry_may_say_a_part(load_text: LoadText) -> None:
    """What it leaves out is the built-in provider's; an address of its own asks no key."""
    rest = '[models.providers.anthropic]\napiKey = "k"\nmaxConcurrent = 2\n'
    provider = load_text(toml("anthropic/claude-x", rest)).config.models.providers["anthropic"]
    assert (provider.api, provider.base_url, provider.max_concurrent) == (
        "anthropic-messages",
        "https://api.anthropic.com",
        2,
    )
    rest = '[models.providers.openai]\nbaseUrl = "http://127.0.0.1:4000/v1"\n'
    own = load_text(toml("openai/gpt-5.4", rest)).config.models.providers["openai"]
    assert (own.base_url, own.models[0].images) == ("http://127.0.0.1:4000/v1", False)


def test_which_models_see_is_known_unless_the_file_says_it(load_text: LoadText) -> None:
    """At a provider's own address it is known which models take images; the file overrides it."""
    rest = '[models.providers.openai]\nmodels = [{ id = "gpt-4o", images = false }, { id = "gpt-3.5-turbo" }]\n'
    provider = load_text(toml("openai/gpt-5.4", rest), env={**ENV, "OPENAI_API_KEY": "k"}).config.models.providers
    takes_images = {model.id: model.images for model in provider["openai"].models}
    assert takes_images == {"gpt-5.4": True, "gpt-4o": False, "gpt-3.5-turbo": False}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_can_t_be_had_says_what_to_use_instead(load_text: LoadText, name: str) -> None:
    """Logins, programs and clouds are refused by name."""
    with pytest.raises(ConfigError) as caught:
        load_text(toml(f"{name}/m"))
    (problem,) = caught.value.problems
    assert problem.where.endswith(":3")
    assert str(problem).startswith(f"{problem.where}: agents.defaults.model.primary: {name} ")
    assert problem.hint


JSON = "{{ channels: {{ mattermost: {{}} }}, agents: {{ defaults: {{ {0} }} }}, models: {{ providers: {{ {1} }} }} }}"
RUNTIMES = [
    (
        'model: "anthropic/c", models: { "anthropic/c": { agentRuntime: { id: "claude-cli" } } }',
        "",
        'agents.defaults.model: anthropic/c is answered by "claude-cli", a program that OpenClaw runs',
    ),
    (
        'model: "openai/g"',
        'openai: { agentRuntime: { id: "codex" }, models: [] }',
        'agents.defaults.model: openai/g is answered by "codex"',
    ),
    (
        'model: { primary: "b/m" }',
        'b: { api: "bedrock-converse-stream", baseUrl: "https://b", models: [{ id: "m" }] }',
        "models.providers.b.api: bedrock-converse-stream signs requests with a cloud's credentials",
    ),
    (
        'model: "openai/g"',
        'openai: { auth: "oauth", baseUrl: "https://api.openai.com/v1", models: [] }',
        "models.providers.openai.auth: oauth signs in with a subscription",
    ),
]


@pytest.mark.parametrize(("agents", "providers", "words"), RUNTIMES)
def test_runtimes_and_logins_of_openclaw(load_text: LoadText, agents: str, providers: str, words: str) -> None:
    """Refused where an agent asks for them."""
    env = {**ENV, "ANTHROPIC_API_KEY": "k", "OPENAI_API_KEY": "k"}
    with pytest.raises(ConfigError) as caught:
        load_text(JSON.format(agents, providers), "openclaw.json", env=env)
    assert words in str(caught.value)


def test_a_provider_that_can_t_be_had_and_nobody_asks_is_left_out(load_text: LoadText) -> None:
    """With a warning; /model doesn't offer it."""
    bedrock = 'b: { api: "bedrock-converse-stream", baseUrl: "https://b", models: [{ id: "m" }] }'
    loaded = load_text(JSON.format('model: "ollama/q"', bedrock), "openclaw.json")
    assert list(loaded.config.models.providers) == ["ollama"]
    assert any("no agent uses it, so it is left out" in str(one) for one in loaded.warnings)


def test_models_to_choose_from_that_can_t_be_had_are_named(load_text: LoadText) -> None:
    """Once for each provider, whether it is refused or unknown."""
    catalogue = '"openai-codex/a": {}, "openai-codex/b": {}, "acme/c": { alias: "c" }, "ollama/d": {}'
    loaded = load_text(JSON.format(f'model: "ollama/q", models: {{ {catalogue} }}', ""), "openclaw.json")
    messages = [str(one) for one in loaded.warnings if "can't be chosen" in str(one)]
    assert ["openai-codex signs in" in one or "acme is not known here" in one for one in messages] == [True, True]
    assert [model.id for model in loaded.config.models.providers["ollama"].models] == ["q", "d"]


def test_an_unknown_provider_names_those_there_are(load_text: LoadText) -> None:
    """Built-in ones among them."""
    with pytest.raises(
        ConfigError, match=r'there is no model provider "antropic" \(did you mean "anthropic"\? else name its'
    ):
        load_text(toml("antropic/claude"))


def test_the_page_lists_them() -> None:
    """docs/agents.md has each with its address and the variables of its key."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "agents.md").read_text()
    rows = {
        name: f"| `{name}` | `{known.base_url}` | {' or '.join(f'`{one}`' for one in known.variables)}"
        for name, known in BUILT_IN.items()
    }
    assert [name for name, row in rows.items() if row not in page] == []
