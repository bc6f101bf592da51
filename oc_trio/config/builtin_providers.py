"""Model providers that need no `models.providers` entry: where they are, how they are spoken to, which key they take.

Also which of OpenClaw's providers can't be had here, and what to use instead.
"""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from attrs import evolve, frozen

from oc_trio.config.agents import ModelChoice, ModelEntry, Provider
from oc_trio.config.findings import Findings
from oc_trio.config.model import Config
from oc_trio.config.parse import join
from oc_trio.config.secrets import NO_SECRET, Secret, SecretForm, SecretRef, SecretSource, flaw
from oc_trio.core.model_apis import ModelApi
from oc_trio.errors import Problem

_COMPLETIONS, _MESSAGES = ModelApi.OPENAI.value, ModelApi.ANTHROPIC.value


@frozen
class BuiltIn:
    """`variables` may hold the key, the first that is set counts; `sees` matches the models that take images."""

    base_url: str
    variables: tuple[str, ...]
    api: str = _COMPLETIONS
    needs_key: bool = True
    sees: str = r"(?!)"


BUILT_IN: Mapping[str, BuiltIn] = MappingProxyType(
    {
        "anthropic": BuiltIn("https://api.anthropic.com", ("ANTHROPIC_API_KEY",), _MESSAGES, sees=r"claude-.*"),
        "cerebras": BuiltIn("https://api.cerebras.ai/v1", ("CEREBRAS_API_KEY",)),
        "deepseek": BuiltIn("https://api.deepseek.com/v1", ("DEEPSEEK_API_KEY",)),
        "fireworks": BuiltIn("https://api.fireworks.ai/inference/v1", ("FIREWORKS_API_KEY",)),
        "google": BuiltIn(
            "https://generativelanguage.googleapis.com/v1beta/openai",
            ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
            sees=r"gemini-.*",
        ),
        "groq": BuiltIn("https://api.groq.com/openai/v1", ("GROQ_API_KEY",), sees=r".*(llama-4|vision).*"),
        "huggingface": BuiltIn("https://router.huggingface.co/v1", ("HF_TOKEN", "HUGGINGFACE_HUB_TOKEN")),
        "lmstudio": BuiltIn("http://127.0.0.1:1234/v1", ("LM_API_TOKEN",), needs_key=False),
        "minimax": BuiltIn("https://api.minimax.io/anthropic", ("MINIMAX_API_KEY",), _MESSAGES),
        "mistral": BuiltIn(
            "https://api.mistral.ai/v1", ("MISTRAL_API_KEY",), sees=r"(pixtral|mistral-(small|medium|large)).*"
        ),
        "moonshot": BuiltIn("https://api.moonshot.ai/v1", ("MOONSHOT_API_KEY",)),
        "nvidia": BuiltIn("https://integrate.api.nvidia.com/v1", ("NVIDIA_API_KEY",)),
        "ollama": BuiltIn("http://127.0.0.1:11434/v1", ("OLLAMA_API_KEY",), needs_key=False),
        "openai": BuiltIn(
            "https://api.openai.com/v1", ("OPENAI_API_KEY",), sees=r"(gpt-(4o|4\.1|4\.5|[5-9])|chatgpt-|o[134]).*"
        ),
        "openrouter": BuiltIn(
            "https://openrouter.ai/api/v1",
            ("OPENROUTER_API_KEY",),
            sees=r"(anthropic/claude-|google/gemini-|openai/(gpt-(4o|4\.1|[5-9])|o[134])|x-ai/grok-[4-9]).*",
        ),
        "sglang": BuiltIn("http://127.0.0.1:30000/v1", ("SGLANG_API_KEY",), needs_key=False),
        "together": BuiltIn("https://api.together.xyz/v1", ("TOGETHER_API_KEY",)),
        "vllm": BuiltIn("http://127.0.0.1:8000/v1", ("VLLM_API_KEY",), needs_key=False),
        "xai": BuiltIn("https://api.x.ai/v1", ("XAI_API_KEY",), sees=r"grok-([4-9]|2-vision).*"),
        "zai": BuiltIn("https://api.z.ai/api/paas/v4", ("ZAI_API_KEY", "Z_AI_API_KEY"), sees=r"glm-[4-9](\.\d)?v.*"),
    }
)

_LOGIN = "signs in with a subscription, which oc-trio can't"
_PROGRAM = "is a program that OpenClaw runs as its agent"
_CLOUD = "signs requests with a cloud's credentials, which oc-trio can't"
_BEHIND = "or keep OpenClaw's agent behind its OpenAI-compatible endpoint and name that in models.providers"
# Provider: why it can't be had, and what to use instead.
REFUSED: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "openai-codex": (_LOGIN, f"write openai/<model> and set OPENAI_API_KEY, {_BEHIND}"),
        "codex": (_PROGRAM, f"write openai/<model> and set OPENAI_API_KEY, {_BEHIND}"),
        "codex-cli": (_PROGRAM, f"write openai/<model> and set OPENAI_API_KEY, {_BEHIND}"),
        "claude-cli": (_PROGRAM, f"write anthropic/<model> and set ANTHROPIC_API_KEY, {_BEHIND}"),
        "google-gemini-cli": (_PROGRAM, f"write google/<model> and set GEMINI_API_KEY, {_BEHIND}"),
        "google-antigravity": (_LOGIN, f"write google/<model> and set GEMINI_API_KEY, {_BEHIND}"),
        "github-copilot": (_LOGIN, f"use another provider's key, {_BEHIND}"),
        "copilot-proxy": (_LOGIN, f"use another provider's key, {_BEHIND}"),
        "minimax-portal": (_LOGIN, "name models.providers.minimax with its baseUrl and apiKey"),
        "qwen-portal": (_LOGIN, "name models.providers.qwen with its baseUrl and apiKey"),
        "amazon-bedrock": (_CLOUD, "put a LiteLLM proxy before it and name that in models.providers"),
        "bedrock": (_CLOUD, "put a LiteLLM proxy before it and name that in models.providers"),
        "google-vertex": (_CLOUD, "write google/<model> and set GEMINI_API_KEY, or put a LiteLLM proxy before it"),
        "anthropic-vertex": (_CLOUD, "write anthropic/<model> and set ANTHROPIC_API_KEY, or put a LiteLLM proxy there"),
    }
)
# API kinds of OpenClaw that are not spoken here, in the same way.
REFUSED_APIS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "openai-chatgpt-responses": REFUSED["openai-codex"],
        "openai-codex-responses": REFUSED["openai-codex"],
        "github-copilot": REFUSED["github-copilot"],
        "google-vertex": REFUSED["google-vertex"],
        "bedrock-converse-stream": REFUSED["amazon-bedrock"],
        "azure-openai-responses": (
            "is not spoken here",
            'write api = "openai-completions", the deployment\'s baseUrl with its ?api-version, and headers.api-key',
        ),
        "pi-messages": (_PROGRAM, f"write openai/<model> or anthropic/<model> and set its key, {_BEHIND}"),
    }
)


def choices(config: Config) -> Iterator[tuple[str, str]]:
    """Every model that an agent asks, with the path of the key that names it."""
    named: list[tuple[str, ModelChoice | None]] = [("agents.defaults.model", config.agents.defaults.model)]
    named += [(join("agents.entries", name) + ".model", entry.model) for name, entry in config.agents.entries.items()]
    for path, choice in named:
        if choice is not None and choice.primary:
            yield f"{path}.primary", choice.primary
        for index, model in enumerate(choice.fallbacks if choice is not None else ()):
            yield join(f"{path}.fallbacks", index), model


def used_providers(config: Config) -> set[str]:
    """The providers that agents ask; an agent for which no model is named asks the first provider that lists one."""
    used = {model.partition("/")[0] for _, model in choices(config)}
    shared = config.agents.defaults.model
    own = [entry.model or shared for entry in config.agents.entries.values()] or [shared]
    if not all(choice.primary for choice in own):
        used |= set([name for name, provider in config.models.providers.items() if provider.models][:1])
    return used


def lacks_model(config: Config) -> Problem | None:
    """Says which agent has no model to ask; such a configuration can't answer anybody."""
    if any(provider.models for provider in config.models.providers.values()) or config.agents.defaults.model.primary:
        return None
    hint = 'such as model = "anthropic/<model>"; oc-trio models list has the providers'
    for name, entry in config.agents.entries.items():
        if entry.model is None or not entry.model.primary:
            return Problem(join("agents.entries", name) + ".model", "no model is configured", hint)
    return None if config.agents.entries else Problem("agents.defaults.model", "no model is configured", hint)


def inactive(config: Config) -> dict[str, str]:
    """Parts of the configuration that nobody uses, each with the reason: what is missing there stops nothing."""
    used = used_providers(config)
    made = {
        join("models.providers", name): "no agent uses this provider"
        for name in config.models.providers
        if name not in used
    }
    made |= {
        join("mcp.servers", name): "it is off" for name, server in config.mcp.servers.items() if not server.enabled
    }
    if not config.hooks.enabled:
        made["hooks"] = "hooks are off"
    for name, account in config.channels.mattermost.accounts.items():
        if not account.enabled:
            made[join("channels.mattermost.accounts", name)] = "the account is off"
    return made


def complete_providers(
    config: Config, raw: Mapping[str, Any], env: Mapping[str, str], found: Findings, *, connect: bool
) -> Config:
    """The configuration with the built-in providers that are used, and with what their entries leave out.

    `raw` is `models.providers` as it was written. A key that is missing is a problem where an agent needs it, a warning
    where only people could choose the model. Without `connect` no key is asked for.
    """
    named: dict[str, dict[str, str]] = {}
    for path, model in choices(config):
        provider, _, rest = model.partition("/")
        if provider in BUILT_IN and rest:
            named.setdefault(provider, {}).setdefault(rest, path)
    made = dict(config.models.providers)
    for name in (*made, *(name for name in named if name not in made)):
        if name in BUILT_IN:
            written = raw.get(name)
            entry: Mapping[str, Any] = written if isinstance(written, Mapping) else {}
            completed = _completed(name, made.get(name), entry, env, found)
            made[name] = _with_models(name, completed, entry, named.get(name, {}))
            given = [one for one in BUILT_IN[name].variables if env.get(one, "").strip()]
            if connect and "apiKey" not in entry and not given:
                _check_key(name, made[name], next(iter(named.get(name, {}).values()), ""), found)
    return evolve(config, models=evolve(config.models, providers=MappingProxyType(made)))


def _completed(
    name: str, provider: Provider | None, raw: Mapping[str, Any], env: Mapping[str, str], found: Findings
) -> Provider:
    known = BUILT_IN[name]
    made = provider or Provider()
    if "api" not in raw:
        made = evolve(made, api=known.api)
    if not made.base_url and made.api == known.api:
        made = evolve(made, base_url=known.base_url)
    if not made.api_key and not made.api_key_file and "apiKey" not in raw:
        made = evolve(made, api_key=_from_variable(name, known, env, found))
    return made


def _from_variable(name: str, known: BuiltIn, env: Mapping[str, str], found: Findings) -> Secret:
    for variable in known.variables:
        value = env.get(variable, "").strip()
        if value:
            if wrong := flaw(value, SecretForm.TOKEN):
                found.wrong(f"models.providers.{name}.apiKey", f"the environment variable {variable} {wrong}")
                return NO_SECRET
            return Secret(value, SecretRef(SecretSource.ENV, variable))
    return NO_SECRET


def _with_models(name: str, provider: Provider, raw: Mapping[str, Any], wanted: Mapping[str, str]) -> Provider:
    """The provider with the models that agents ask for among its own. Which of them see images is known of the
    provider's own address, where the file doesn't say it.
    """
    known = BUILT_IN[name]
    models = {model.id: model for model in (*(ModelEntry(id=one) for one in wanted), *provider.models)}
    listed = raw.get("models")
    told = {
        str(entry["id"])
        for entry in (listed if isinstance(listed, list) else ())
        if isinstance(entry, Mapping) and "id" in entry and "images" in entry
    }
    if provider.base_url == known.base_url:
        sees = re.compile(known.sees)
        models = {
            one: it if one in told else evolve(it, images=bool(sees.fullmatch(one))) for one, it in models.items()
        }
    return evolve(provider, models=tuple(models.values()))


def _check_key(name: str, provider: Provider, used_at: str, found: Findings) -> None:
    known = BUILT_IN[name]
    if not known.needs_key or provider.api_key or provider.api_key_file or provider.headers:
        return
    if provider.base_url != known.base_url:
        return
    missing = f"needs a key, and {' and '.join(known.variables)} {'is' if len(known.variables) == 1 else 'are'} not set"
    hint = f"set {known.variables[0]}, or models.providers.{name}.apiKey; logins by subscription are not used"
    if used_at:
        found.wrong(used_at, f"{name} {missing}", hint)
    else:
        found.odd(join("models.providers", name), missing + "; no agent uses it", hint)
