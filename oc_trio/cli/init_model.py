"""`oc-trio init` on models: finds the provider, its address and its key by the options, or asks for them."""

import os
from urllib.parse import urlsplit

import click

from oc_trio.classes import frozen
from oc_trio.cli.exits import EX_CONFIG, EX_UNAVAILABLE
from oc_trio.cli.init_options import InitOptions
from oc_trio.cli.init_trio import in_trio
from oc_trio.cli.prompts import Prompts, SetupFailed
from oc_trio.cli.secret_files import SecretFiles, checked_secret, read_secret_file
from oc_trio.config.builtin_providers import BUILT_IN, REFUSED, BuiltIn
from oc_trio.config.starter import StarterProvider
from oc_trio.core.model_apis import ModelApi
from oc_trio.runtime.operator.setup.model_servers import (
    LocalModelServer,
    ModelLookup,
    ask_for_models,
    find_local_servers,
    local_servers,
)

_OWN_NAME = "local"
# Names in one line, and choices below each other: what is longer scrolls out of sight.
_MOST_LISTED = 20
_MOST_OFFERED = 12


@frozen
class ModelAnswer:
    """`model` is `provider/model`; the others are what `Starter` needs of it."""

    model: str
    provider: StarterProvider | None = None
    key_variables: tuple[str, ...] = ()


@frozen
class _Choice:
    """A provider, perhaps with an address and a model of its own."""

    provider: str
    base_url: str = ""
    model: str = ""


def find_model(options: InitOptions, prompts: Prompts, files: SecretFiles) -> ModelAnswer:
    """The model that answers. Raises SetupFailed, UsageError, Abort."""
    choice = _by_options(options) if options.model or options.model_url or options.provider else _by_asking(prompts)
    if choice.provider in REFUSED:
        why, instead = REFUSED[choice.provider]
        raise SetupFailed(f"{choice.provider} {why}: {instead}", EX_CONFIG)
    built_in = BUILT_IN.get(choice.provider)
    if built_in is None and not choice.base_url:
        known = ", ".join(sorted(BUILT_IN))
        raise click.UsageError(f"There is no provider {choice.provider}: give --model-url, or one of {known}.")
    if choice.base_url and not _is_address(choice.base_url):
        raise click.UsageError(f"--model-url {choice.base_url} is no address: such as http://127.0.0.1:11434/v1.")
    key, key_file = _key(options, choice, prompts, files)
    base_url = choice.base_url or (built_in.base_url if built_in else "")
    api = built_in.api if built_in else ModelApi.OPENAI.value
    lookup = ModelLookup(base_url)
    # Of a built-in address only the name of the model may be wrong, which the doctor's checks find out.
    if choice.base_url or not choice.model:
        lookup = in_trio(ask_for_models, choice.provider, api, base_url, key)
        while lookup.is_key_refused and prompts.is_asking:
            prompts.say(lookup.problem)
            key, key_file = _asked_key(choice.provider, prompts, files)
            lookup = in_trio(ask_for_models, choice.provider, api, base_url, key)
    base_url = lookup.base_url
    model = choice.model or _choose(lookup, prompts)
    is_elsewhere = built_in is None or base_url != built_in.base_url
    entry = StarterProvider(
        choice.provider, base_url if is_elsewhere else "", (model,) if is_elsewhere else (), key_file
    )
    needs_entry = is_elsewhere or bool(key_file)
    variables = built_in.variables if built_in is not None and built_in.needs_key and not key_file else ()
    return ModelAnswer(f"{choice.provider}/{model}", entry if needs_entry else None, variables)


def _by_options(options: InitOptions) -> _Choice:
    """Raises UsageError where no provider is named."""
    first, slash, rest = options.model.partition("/")
    if options.provider:
        # A model of OpenRouter's may begin with the provider's own name.
        doubled = bool(slash) and first == options.provider and first != "openrouter"
        return _Choice(options.provider, options.model_url, rest if doubled else options.model)
    if slash and (first in BUILT_IN or first in REFUSED) and not options.model_url:
        return _Choice(first, "", rest)
    if options.model_url:
        return _Choice(_OWN_NAME, options.model_url, options.model)
    raise click.UsageError(
        f"Whose model is {options.model}? Write PROVIDER/{options.model}, or give --provider or --model-url."
    )


def _by_asking(prompts: Prompts) -> _Choice:
    prompts.say("Looking for model servers on this machine ...")
    servers = in_trio(find_local_servers, local_servers(os.environ))
    choices: list[tuple[str, _Choice | None]] = [
        (f"{model}, of {server.title} at {server.base_url}", _of_server(server, model))
        for server in servers
        for model in server.models[:_MOST_OFFERED]
    ]
    choices += [
        (f"a model of {name}, with the key in {variable}", _Choice(name))
        for name, built_in in BUILT_IN.items()
        if built_in.needs_key and (variable := _key_variable(built_in))
    ]
    choices += [("a model of another provider (OpenAI, Anthropic, ...), with a key", None)]
    choices += [("another model server, by its URL", _Choice(_OWN_NAME))]
    prompts.say("Which model answers?")
    _, choice = choices[prompts.choose("Number", [text for text, _ in choices])]
    if choice is None:
        return _Choice(_ask_provider(prompts))
    while choice.provider == _OWN_NAME and not _is_address(choice.base_url):
        typed = prompts.ask("URL of the model server, such as http://127.0.0.1:8080/v1")
        choice = _Choice(_OWN_NAME, typed if "://" in typed else f"http://{typed}")
    return choice


def _key_variable(built_in: BuiltIn) -> str:
    """The variable that has the provider's key; "" if none has it."""
    return next((variable for variable in built_in.variables if os.environ.get(variable, "").strip()), "")


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _of_server(server: LocalModelServer, model: str) -> _Choice:
    built_in = BUILT_IN.get(server.provider)
    is_usual = built_in is not None and built_in.base_url == server.base_url
    return _Choice(server.provider, "" if is_usual else server.base_url, model)


def _ask_provider(prompts: Prompts) -> str:
    names = sorted(name for name, built_in in BUILT_IN.items() if built_in.needs_key)
    prompts.say(f"Providers: {', '.join(names)}")
    while True:
        name = prompts.ask("Provider").lower()
        if name in names or name in REFUSED:
            return name
        prompts.say(f"There is no provider {name}")


def _key(options: InitOptions, choice: _Choice, prompts: Prompts, files: SecretFiles) -> tuple[str, str]:
    """The provider's key, and what the configuration writes for its file; "" for none. Raises SetupFailed."""
    name = f"{choice.provider}-api-key"
    if options.api_key_file is not None:
        key = read_secret_file(options.api_key_file)
        return key, files.place(name, key, options.api_key_file)
    built_in = BUILT_IN.get(choice.provider)
    if built_in is not None and (variable := _key_variable(built_in)):
        return checked_secret(os.environ[variable], variable), ""
    if built_in is not None and built_in.needs_key and not choice.base_url:
        if not prompts.is_asking:
            raise SetupFailed(
                f"{choice.provider} needs a key: set {built_in.variables[0]}, or give --api-key-file", EX_CONFIG
            )
        return _asked_key(choice.provider, prompts, files)
    return "", ""


def _asked_key(provider: str, prompts: Prompts, files: SecretFiles) -> tuple[str, str]:
    """As `_key`, of a key that is typed."""
    while True:
        try:
            key = checked_secret(prompts.ask_secret(f"The key of {provider} (it is not shown)"), "the key")
        except SetupFailed as problem:
            prompts.say(str(problem))
        else:
            return key, files.place(f"{provider}-api-key", key, None)


def _choose(lookup: ModelLookup, prompts: Prompts) -> str:
    """One of the models that a server lists. Raises SetupFailed where there is none to take without a question."""
    models, base_url = lookup.models, lookup.base_url
    if len(models) == 1:
        return models[0]
    if not prompts.is_asking:
        if not models:
            why = lookup.problem or f"{base_url} lists no models"
            raise SetupFailed(f"{why}: start it, or give --model", EX_UNAVAILABLE)
        listed = ", ".join(models[:_MOST_LISTED])
        raise SetupFailed(f"{base_url} has {len(models)} models, so give --model: {listed}")
    if models:
        more = f" and {len(models) - _MOST_LISTED} more" if len(models) > _MOST_LISTED else ""
        prompts.say(f"It has {', '.join(models[:_MOST_LISTED])}{more}")
    else:
        prompts.say(lookup.problem or f"{base_url} lists no models")
    return prompts.ask("Model", default=models[0] if models else None)
