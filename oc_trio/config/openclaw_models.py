"""Converts models and providers of an openclaw.json: aliases, the catalogue, APIs and agent runtimes."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from oc_trio.config.builtin_providers import BUILT_IN, REFUSED, REFUSED_APIS
from oc_trio.config.openclaw_draft import OpenClawDraft
from oc_trio.config.parse import join
from oc_trio.core.model_apis import ModelApi

_COMPLETIONS = ModelApi.OPENAI.value
# OpenClaw's own agent, under the names of several releases.
_OWN_RUNTIMES = ("", "auto", "openclaw", "pi", "embedded")
# With an underscore: a key may consist of capitals, too.
_KEY_NAME = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+")
_OPENCLAW_ENDPOINT = "or keep OpenClaw's agent behind its OpenAI-compatible endpoint and name that in models.providers"


def adapt_models(draft: OpenClawDraft, env: Mapping[str, str], keys: Mapping[str, Any]) -> None:
    """Rewrites `models.providers`, `agents.defaults.models` and the models that agents name.

    `keys` are the API keys that OpenClaw stores beside the file; a key in the file or in the provider's variable wins.
    """
    _aliases(draft)
    shared = draft.table("agents", "defaults").get("model")
    primary = shared.get("primary") if isinstance(shared, dict) else shared
    for path, table in draft.agents():
        choice = table.get("model")
        if isinstance(choice, dict) and "primary" not in choice and primary is not None:
            # An agent that names fallbacks only keeps the shared primary model.
            choice["primary"] = primary
            draft.original_paths[f"{path}.model.primary"] = "agents.defaults.model"
    used = {reference.partition("/")[0] for _, reference in _named(draft)}
    providers = draft.table("models", "providers")
    for name, provider in list(providers.items()):
        if isinstance(provider, dict):
            _provider(draft, join("models.providers", name), name, provider, env)
            _refused(draft, name, provider, used)
    _catalogue(draft)
    _runtimes(draft)
    provider_names = {*used, *draft.table("models", "providers")}
    for name, key in keys.items():
        built_in = BUILT_IN.get(name)
        is_set = built_in is not None and any(env.get(variable, "").strip() for variable in built_in.variables)
        if (
            name in provider_names
            and not is_set
            and (built_in is not None or name in draft.table("models", "providers"))
        ):
            draft.ensure_table("models", "providers", name).setdefault("apiKey", key)


def _named(draft: OpenClawDraft) -> Iterator[tuple[str, str]]:
    """Every model that an agent names, after its path."""
    for path, table in draft.agents():
        choice = table.get("model")
        if isinstance(choice, str):
            yield f"{path}.model", choice
        elif isinstance(choice, dict):
            if isinstance(choice.get("primary"), str):
                yield f"{path}.model.primary", choice["primary"]
            fallbacks = choice.get("fallbacks")
            for index, model in enumerate(fallbacks if isinstance(fallbacks, list) else ()):
                if isinstance(model, str):
                    yield join(f"{path}.model.fallbacks", index), model


def _aliases(draft: OpenClawDraft) -> None:
    """Replaces aliases of `agents.defaults.models`, and writes `openrouter/auto` as OpenRouter's API names it."""
    aliases: dict[str, str] = {"openrouter/auto": "openrouter/openrouter/auto"}
    for _, table in draft.agents():
        catalogue = table.get("models")
        for model, entry in catalogue.items() if isinstance(catalogue, dict) else ():
            if isinstance(entry, dict) and isinstance(entry.get("alias"), str):
                aliases[entry["alias"].strip().lower()] = aliases.get(str(model), str(model))
    for _, table in draft.agents():
        choice = table.get("model")
        if isinstance(choice, str):
            table["model"] = aliases.get(choice.strip().lower(), choice)
        elif isinstance(choice, dict):
            for name in ("primary", "fallbacks"):
                value = choice.get(name)
                if isinstance(value, str):
                    choice[name] = aliases.get(value.strip().lower(), value)
                elif isinstance(value, list):
                    choice[name] = [
                        aliases.get(model.lower(), model) if isinstance(model, str) else model for model in value
                    ]


def _provider(draft: OpenClawDraft, path: str, name: str, provider: dict[str, Any], env: Mapping[str, str]) -> None:
    draft.rename(provider, path, "baseURL", "baseUrl")
    api, url = provider.get("api"), provider.get("baseUrl")
    if api == "ollama" or (name == "ollama" and api in (None, _COMPLETIONS)):
        provider["api"] = _COMPLETIONS
        # OpenClaw's file has the address of Ollama's own API, which is without it.
        if isinstance(url, str) and not url.rstrip("/").endswith("/v1"):
            provider["baseUrl"] = url.rstrip("/") + "/v1"
        if api == "ollama":
            draft.warning(f"{path}.api", "Ollama is asked through its OpenAI-compatible API", f'api = "{_COMPLETIONS}"')
    elif api == "google-generative-ai" or (name == "google" and api is None):
        provider["api"] = _COMPLETIONS
        # Gemini's OpenAI-compatible API is below its own.
        if isinstance(url, str) and not url.rstrip("/").endswith("/openai"):
            provider["baseUrl"] = url.rstrip("/") + "/openai"
        if api is not None:
            draft.warning(f"{path}.api", "Gemini is asked through its OpenAI-compatible API", f'api = "{_COMPLETIONS}"')
    elif api == "openai-responses":
        provider["api"] = _COMPLETIONS
        draft.warning(f"{path}.api", "is asked through chat completions instead", f'api = "{_COMPLETIONS}"')
    key = provider.get("apiKey")
    if isinstance(key, str) and _KEY_NAME.fullmatch(key) and (key in env or _is_key_variable(key)):
        provider["apiKey"] = {"source": "env", "id": key}  # OpenClaw takes the name of a variable for its value
        # A local provider needs no key, and the variable that would be missing is no mistake.
        if key not in env and name in BUILT_IN and not BUILT_IN[name].needs_key:
            del provider["apiKey"]
    if provider.pop("authHeader", None) is True and provider.get("api") == ModelApi.ANTHROPIC.value:
        draft.warning(
            f"{path}.authHeader", "the key is sent as x-api-key", "write headers.Authorization for a bearer token"
        )
    # What is meant here anyway.
    if provider.get("auth") == "api-key":
        del provider["auth"]
    _model_settings(draft, path, provider)


def _is_key_variable(variable: str) -> bool:
    return any(variable in built_in.variables for built_in in BUILT_IN.values())


def _model_settings(draft: OpenClawDraft, path: str, provider: dict[str, Any]) -> None:
    """Removes settings of single models that only a provider has here, and fixes the types of numbers."""
    models = provider.get("models")
    for index, model in enumerate(models if isinstance(models, list) else ()):
        if not isinstance(model, dict):
            continue
        for name in ("api", "baseUrl"):
            own = model.pop(name, None)
            if own is not None and name == "baseUrl" and own != provider.get("baseUrl"):
                draft.warning(
                    join(f"{path}.models", index) + f".{name}",
                    "one provider has one address here",
                    "put the model under a provider of its own",
                )
        if isinstance(model.get("contextTokens"), int) and not isinstance(model.get("contextWindow"), int):
            draft.rename(model, join(f"{path}.models", index), "contextTokens", "contextWindow")
        for name in ("contextWindow", "maxTokens"):
            # JSON5 has one kind of number: 128e3 and 128000.0 are whole ones.
            if isinstance(model.get(name), float) and model[name] == int(model[name]):
                model[name] = int(model[name])


def _refused(draft: OpenClawDraft, name: str, provider: dict[str, Any], used: set[str]) -> None:
    """Leaves out a provider that is not supported, if no agent asks it; else `checks` reports it."""
    reason = REFUSED_APIS.get(str(provider.get("api"))) or REFUSED.get(name)
    if str(provider.get("auth")) in ("oauth", "aws-sdk"):
        kind = "openai-codex" if provider["auth"] == "oauth" else "amazon-bedrock"
        reason = reason or (REFUSED[kind][0], "set apiKey")
        if name in used:
            draft.error(join("models.providers", name) + ".auth", f"{provider['auth']} {reason[0]}", reason[1])
    if reason is not None and name not in used:
        del draft.table("models", "providers")[name]
        draft.warning(join("models.providers", name), f"{reason[0]}; no agent uses it, so it is left out", reason[1])


def _catalogue(draft: OpenClawDraft) -> None:
    """Adds the models of `agents.defaults.models`, for people to choose, to their providers. Aliases become names."""
    defaults = draft.table("agents", "defaults")
    catalogue = defaults.get("models")
    if not isinstance(catalogue, dict):
        return
    remaining: dict[str, Any] = {}
    unknown: dict[str, str] = {}
    for reference, entry in catalogue.items():
        settings = dict(entry) if isinstance(entry, dict) else {}
        alias = settings.pop("alias", None)
        runtime = settings.get("agentRuntime")
        if isinstance(runtime, dict) and runtime.get("id", "") in _OWN_RUNTIMES:
            del settings["agentRuntime"]
        if settings:
            remaining[reference] = settings
        provider, _, model = reference.partition("/")
        if provider not in BUILT_IN and provider not in draft.table("models", "providers"):
            unknown.setdefault(provider, join("agents.defaults.models", reference))
        # A pattern allows models, and names none that could be offered.
        elif model and "*" not in model:
            _offer(draft, provider, reference if reference == "openrouter/auto" else model, alias)
    for name, path in unknown.items():
        not_known = ("is not known here", f"name its baseUrl and apiKey in models.providers.{name}")
        reason, hint = REFUSED.get(name, not_known)
        draft.warning(path, f"{name} {reason}, so its models can't be chosen", hint)
    if remaining:
        defaults["models"] = remaining
    else:
        del defaults["models"]


def _offer(draft: OpenClawDraft, provider: str, model: str, alias: Any) -> None:
    """Adds a model to the list of its provider, named by its alias."""
    entry = draft.ensure_table("models", "providers").setdefault(provider, {})
    models = entry.setdefault("models", []) if isinstance(entry, dict) else None
    if not isinstance(models, list):
        return
    listed = next(
        (model_entry for model_entry in models if isinstance(model_entry, dict) and model_entry.get("id") == model),
        None,
    )
    if listed is None:
        models.append(listed := {"id": model})
    if isinstance(alias, str):
        listed.setdefault("name", alias)


def _runtimes(draft: OpenClawDraft) -> None:
    """Adds an error for each agent whose model OpenClaw gives to another program."""
    runtimes: dict[str, Any] = {}
    for name, provider in draft.table("models", "providers").items():
        if isinstance(provider, dict) and "agentRuntime" in provider:
            runtimes[name] = provider.pop("agentRuntime")
    for _, table in draft.agents():
        for reference, entry in (table.get("models") or {}).items() if isinstance(table.get("models"), dict) else ():
            if isinstance(entry, dict) and "agentRuntime" in entry:
                runtimes[reference] = entry["agentRuntime"]
    for path, reference in _named(draft):
        provider = reference.partition("/")[0]
        runtime = runtimes.get(reference, runtimes.get(provider))
        name = str(runtime.get("id", "")) if isinstance(runtime, dict) else ""
        if name not in _OWN_RUNTIMES:
            hint = f"remove its agentRuntime and set the key of {provider}, {_OPENCLAW_ENDPOINT}"
            draft.error(path, f'{reference} is answered by "{name}", a program that OpenClaw runs', hint)
