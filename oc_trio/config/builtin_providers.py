"""The model providers that need no `models.providers` entry: address, API, and the variables that hold their key.

Also the providers of OpenClaw that are not supported here, with what to use instead.
"""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from attrs import evolve

from oc_trio.classes import frozen
from oc_trio.config.agents import ModelChoice, ModelEntry, Provider
from oc_trio.config.findings import Findings
from oc_trio.config.model import Config
from oc_trio.config.parse import join
from oc_trio.config.secrets import NO_SECRET, Secret, SecretForm, SecretRef, SecretSource, character_error
from oc_trio.core.model_apis import ModelApi
from oc_trio.errors import Problem

_COMPLETIONS, _MESSAGES = ModelApi.OPENAI.value, ModelApi.ANTHROPIC.value


@frozen
class BuiltIn:
    """`variables` may hold the key, the first that is set counts; `vision` matches the models that take images."""

    base_url: str
    variables: tuple[str, ...]
    api: str = _COMPLETIONS
    needs_key: bool = True
    # Matches no model.
    vision: str = r"(?!)"


BUILT_IN: Mapping[str, BuiltIn] = MappingProxyType(
    {
        "anthropic": BuiltIn("https://api.anthropic.com", ("ANTHROPIC_API_KEY",), _MESSAGES, vision=r"claude-.*"),
        "cerebras": BuiltIn("https://api.cerebras.ai/v1", ("CEREBRAS_API_KEY",)),
        "deepseek": BuiltIn("https://api.deepseek.com/v1", ("DEEPSEEK_API_KEY",)),
        "fireworks": BuiltIn("https://api.fireworks.ai/inference/v1", ("FIREWORKS_API_KEY",)),
        # Gemini's own API is not spoken here, but Google serves this compatible one.
        "google": BuiltIn(
            "https://generativelanguage.googleapis.com/v1beta/openai",
            ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
            vision=r"gemini-.*",
        ),
        "groq": BuiltIn("https://api.groq.com/openai/v1", ("GROQ_API_KEY",), vision=r".*(llama-4|vision).*"),
        "huggingface": BuiltIn("https://router.huggingface.co/v1", ("HF_TOKEN", "HUGGINGFACE_HUB_TOKEN")),
        "lmstudio": BuiltIn("http://127.0.0.1:1234/v1", ("LM_API_TOKEN",), needs_key=False),
        # Its Anthropic-compatible address is the one that OpenClaw uses.
        "minimax": BuiltIn("https://api.minimax.io/anthropic", ("MINIMAX_API_KEY",), _MESSAGES),
        "mistral": BuiltIn(
            "https://api.mistral.ai/v1", ("MISTRAL_API_KEY",), vision=r"(pixtral|mistral-(small|medium|large)).*"
        ),
        "moonshot": BuiltIn("https://api.moonshot.ai/v1", ("MOONSHOT_API_KEY",)),
        "nvidia": BuiltIn("https://integrate.api.nvidia.com/v1", ("NVIDIA_API_KEY",)),
        "ollama": BuiltIn("http://127.0.0.1:11434/v1", ("OLLAMA_API_KEY",), needs_key=False),
        "openai": BuiltIn(
            "https://api.openai.com/v1",
            ("OPENAI_API_KEY",),
            vision=r"(gpt-(4o|4\.1|4\.5|[5-9])|chatgpt-|o[134]).*",
        ),
        "openrouter": BuiltIn(
            "https://openrouter.ai/api/v1",
            ("OPENROUTER_API_KEY",),
            vision=r"(anthropic/claude-|google/gemini-|openai/(gpt-(4o|4\.1|[5-9])|o[134])|x-ai/grok-[4-9]).*",
        ),
        "sglang": BuiltIn("http://127.0.0.1:30000/v1", ("SGLANG_API_KEY",), needs_key=False),
        "together": BuiltIn("https://api.together.xyz/v1", ("TOGETHER_API_KEY",)),
        "vllm": BuiltIn("http://127.0.0.1:8000/v1", ("VLLM_API_KEY",), needs_key=False),
        "xai": BuiltIn("https://api.x.ai/v1", ("XAI_API_KEY",), vision=r"grok-([4-9]|2-vision).*"),
        "zai": BuiltIn("https://api.z.ai/api/paas/v4", ("ZAI_API_KEY", "Z_AI_API_KEY"), vision=r"glm-[4-9](\.\d)?v.*"),
    }
)

_LOGIN = "signs in with a subscription, which oc-trio can't"
_PROGRAM = "is a program that OpenClaw runs as its agent"
_CLOUD = "signs requests with a cloud's credentials, which oc-trio can't"
_OPENCLAW_ENDPOINT = "or keep OpenClaw's agent behind its OpenAI-compatible endpoint and name that in models.providers"
# Provider: why it can't be had, and what to use instead.
REFUSED: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "openai-codex": (_LOGIN, f"write openai/<model> and set OPENAI_API_KEY, {_OPENCLAW_ENDPOINT}"),
        "codex": (_PROGRAM, f"write openai/<model> and set OPENAI_API_KEY, {_OPENCLAW_ENDPOINT}"),
        "codex-cli": (_PROGRAM, f"write openai/<model> and set OPENAI_API_KEY, {_OPENCLAW_ENDPOINT}"),
        "claude-cli": (_PROGRAM, f"write anthropic/<model> and set ANTHROPIC_API_KEY, {_OPENCLAW_ENDPOINT}"),
        "google-gemini-cli": (_PROGRAM, f"write google/<model> and set GEMINI_API_KEY, {_OPENCLAW_ENDPOINT}"),
        "google-antigravity": (_LOGIN, f"write google/<model> and set GEMINI_API_KEY, {_OPENCLAW_ENDPOINT}"),
        "github-copilot": (_LOGIN, f"use another provider's key, {_OPENCLAW_ENDPOINT}"),
        "copilot-proxy": (_LOGIN, f"use another provider's key, {_OPENCLAW_ENDPOINT}"),
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
        "pi-messages": (_PROGRAM, f"write openai/<model> or anthropic/<model> and set its key, {_OPENCLAW_ENDPOINT}"),
    }
)


def named_models(config: Config) -> Iterator[tuple[str, str]]:
    """Every model that an agent is configured to ask, after the path of the key that names it."""
    choices: list[tuple[str, ModelChoice | None]] = [("agents.defaults.model", config.agents.defaults.model)]
    choices += [(join("agents.entries", name) + ".model", entry.model) for name, entry in config.agents.entries.items()]
    for path, choice in choices:
        if choice is not None and choice.primary:
            yield f"{path}.primary", choice.primary
        for index, model in enumerate(choice.fallbacks if choice is not None else ()):
            yield join(f"{path}.fallbacks", index), model


def used_providers(config: Config) -> set[str]:
    """The providers that agents ask. An agent without a model of its own asks the first provider that lists one."""
    used = {model.partition("/")[0] for _, model in named_models(config)}
    shared = config.agents.defaults.model
    own = [entry.model or shared for entry in config.agents.entries.values()] or [shared]
    # The rule of `runtime/agents.py` for an agent without a model.
    if not all(choice.primary for choice in own):
        used |= set([name for name, provider in config.models.providers.items() if provider.models][:1])
    return used


def missing_model(config: Config) -> Problem | None:
    """The problem of a configuration in which an agent has no model to ask; None if there is none."""
    if any(provider.models for provider in config.models.providers.values()) or config.agents.defaults.model.primary:
        return None
    hint = 'such as model = "anthropic/<model>"; oc-trio models list has the providers'
    for name, entry in config.agents.entries.items():
        if entry.model is None or not entry.model.primary:
            return Problem(join("agents.entries", name) + ".model", "no model is configured", hint)
    return None if config.agents.entries else Problem("agents.defaults.model", "no model is configured", hint)


def unused_sections(config: Config) -> dict[str, str]:
    """The path of each part of the configuration that is not used, with the reason. A secret that is missing there is
    a warning, not an error.
    """
    used = used_providers(config)
    reasons = {
        join("models.providers", name): "no agent uses this provider"
        for name in config.models.providers
        if name not in used
    }
    reasons |= {
        join("mcp.servers", name): "it is off" for name, server in config.mcp.servers.items() if not server.enabled
    }
    if not config.hooks.enabled:
        reasons["hooks"] = "hooks are off"
    for name, account in config.channels.mattermost.accounts.items():
        if not account.enabled:
            reasons[join("channels.mattermost.accounts", name)] = "the account is off"
    return reasons


def complete_providers(
    config: Config, raw: Mapping[str, Any], env: Mapping[str, str], findings: Findings, *, connect: bool
) -> Config:
    """The configuration with the built-in providers that are used, and their entries completed.

    `raw` is `models.providers` as it is in the file. A missing key is an error where an agent needs it, and a warning
    where only people could choose the model. Without `connect` no key is needed.
    """
    models_by_provider: dict[str, dict[str, str]] = {}
    for path, model in named_models(config):
        provider, _, rest = model.partition("/")
        if provider in BUILT_IN and rest:
            models_by_provider.setdefault(provider, {}).setdefault(rest, path)
    providers = dict(config.models.providers)
    for name in (*providers, *(name for name in models_by_provider if name not in providers)):
        if name in BUILT_IN:
            raw_entry = raw.get(name)
            entry: Mapping[str, Any] = raw_entry if isinstance(raw_entry, Mapping) else {}
            completed = _completed(name, providers.get(name), entry, env, findings)
            providers[name] = _with_models(name, completed, entry, models_by_provider.get(name, {}))
            set_variables = [variable for variable in BUILT_IN[name].variables if env.get(variable, "").strip()]
            if connect and "apiKey" not in entry and not set_variables:
                _check_key(name, providers[name], next(iter(models_by_provider.get(name, {}).values()), ""), findings)
    return evolve(config, models=evolve(config.models, providers=MappingProxyType(providers)))


def _completed(
    name: str, provider: Provider | None, raw: Mapping[str, Any], env: Mapping[str, str], findings: Findings
) -> Provider:
    built_in = BUILT_IN[name]
    completed = provider or Provider()
    # An entry that only adds a key or a model keeps the rest of what is built in.
    if "api" not in raw:
        completed = evolve(completed, api=built_in.api)
    # With another API the built-in address would be wrong.
    if not completed.base_url and completed.api == built_in.api:
        completed = evolve(completed, base_url=built_in.base_url)
    if not completed.api_key and not completed.api_key_file and "apiKey" not in raw:
        completed = evolve(completed, api_key=_from_variable(name, built_in, env, findings))
    return completed


def _from_variable(name: str, built_in: BuiltIn, env: Mapping[str, str], findings: Findings) -> Secret:
    for variable in built_in.variables:
        value = env.get(variable, "").strip()
        if value:
            if error := character_error(value, SecretForm.TOKEN):
                findings.error(f"models.providers.{name}.apiKey", f"the environment variable {variable} {error}")
                return NO_SECRET
            return Secret(value, SecretRef(SecretSource.ENV, variable))
    return NO_SECRET


def _with_models(name: str, provider: Provider, raw: Mapping[str, Any], agent_models: Mapping[str, str]) -> Provider:
    """The provider with the models that agents ask for added to its list. Where the file doesn't say whether a model
    takes images, `BuiltIn.vision` does, as long as the provider is at its own address.
    """
    built_in = BUILT_IN[name]
    models = {model.id: model for model in (*(ModelEntry(id=model_id) for model_id in agent_models), *provider.models)}
    listed = raw.get("models")
    explicit = {
        str(entry["id"])
        for entry in (listed if isinstance(listed, list) else ())
        if isinstance(entry, Mapping) and "id" in entry and "images" in entry
    }
    if provider.base_url == built_in.base_url:
        pattern = re.compile(built_in.vision)
        models = {
            model_id: model if model_id in explicit else evolve(model, images=bool(pattern.fullmatch(model_id)))
            for model_id, model in models.items()
        }
    return evolve(provider, models=tuple(models.values()))


def _check_key(name: str, provider: Provider, used_at: str, findings: Findings) -> None:
    built_in = BUILT_IN[name]
    # Headers may carry the key, as Azure's `api-key` does.
    if not built_in.needs_key or provider.api_key or provider.api_key_file or provider.headers:
        return
    # At another address there may be a server of the operator's own that takes no key.
    if provider.base_url != built_in.base_url:
        return
    message = (
        f"needs a key, and {' and '.join(built_in.variables)} {'is' if len(built_in.variables) == 1 else 'are'} not set"
    )
    hint = f"set {built_in.variables[0]}, or models.providers.{name}.apiKey; logins by subscription are not used"
    if used_at:
        findings.error(used_at, f"{name} {message}", hint)
    else:
        findings.warning(join("models.providers", name), message + "; no agent uses it", hint)
