"""Lists the built-in and the configured model providers, with their keys and models, for `oc-trio models list`."""

from oc_trio.classes import frozen
from oc_trio.config.agents import Provider
from oc_trio.config.builtin_providers import BUILT_IN, named_models, used_providers
from oc_trio.config.load import Loaded
from oc_trio.config.parse import join


@frozen
class ProviderRow:
    """One provider. `key` says where its API key comes from ("": it has none), `used_by` has the paths that name it."""

    name: str
    api: str
    base_url: str
    built_in: bool
    configured: bool
    variables: tuple[str, ...]
    needs_key: bool
    key: str
    models: tuple[str, ...]
    used: bool
    used_by: tuple[str, ...]


def provider_rows(loaded: Loaded) -> list[ProviderRow]:
    """Every provider: those that agents ask come first, then configured ones, then the rest, each by name."""
    providers, used = loaded.config.models.providers, used_providers(loaded.config)
    references = list(named_models(loaded.config))
    rows = []
    for name in {**BUILT_IN, **providers}:
        built_in, provider = BUILT_IN.get(name), providers.get(name)
        effective = provider or (Provider(api=built_in.api, base_url=built_in.base_url) if built_in else Provider())
        variables = built_in.variables if built_in else ()
        in_environment = next((variable for variable in variables if loaded.environ.get(variable, "").strip()), "")
        rows.append(
            ProviderRow(
                name=name,
                api=effective.api,
                base_url=effective.base_url,
                built_in=built_in is not None,
                configured=provider is not None,
                variables=variables,
                needs_key=built_in is not None and built_in.needs_key,
                # Of a provider without an entry the key can only be in the environment.
                key=_key(loaded, name, provider) if provider else in_environment and f"env {in_environment}",
                models=tuple(model.id for model in effective.models),
                used=name in used,
                used_by=tuple(path for path, model in references if model.partition("/")[0] == name),
            )
        )
    return sorted(rows, key=lambda row: (not row.used, not row.configured, row.name))


def _key(loaded: Loaded, name: str, provider: Provider) -> str:
    if provider.api_key.ref is not None:
        return str(provider.api_key.ref)
    if provider.api_key:
        is_in_file = join("models.providers", name) + ".apiKey" in loaded.document.lines
        # An imported document has the values of OpenClaw's database in it, which have no line in the file.
        return "kept by OpenClaw" if loaded.document.imported and not is_in_file else "in the file"
    return "in headers" if provider.headers else ""
