"""The model providers there are: built in or configured, with their key and their models, for `oc-trio models list`."""

from attrs import frozen

from oc_trio.config.agents import Provider
from oc_trio.config.builtin_providers import BUILT_IN, choices, used_providers
from oc_trio.config.load import Loaded
from oc_trio.config.parse import join


@frozen
class ProviderRow:
    """One provider. `key` says where its key is from, empty where it has none; `used_by` are the keys that name it."""

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
    """Every provider, those that agents ask first, then by name."""
    providers, used = loaded.config.models.providers, used_providers(loaded.config)
    named = list(choices(loaded.config))
    rows = []
    for name in {**BUILT_IN, **providers}:
        known, provider = BUILT_IN.get(name), providers.get(name)
        shown = provider or (Provider(api=known.api, base_url=known.base_url) if known else Provider())
        variables = known.variables if known else ()
        in_environment = next((one for one in variables if loaded.environ.get(one, "").strip()), "")
        rows.append(
            ProviderRow(
                name=name,
                api=shown.api,
                base_url=shown.base_url,
                built_in=known is not None,
                configured=provider is not None,
                variables=variables,
                needs_key=known is not None and known.needs_key,
                key=_key(loaded, name, provider) if provider else in_environment and f"env {in_environment}",
                models=tuple(model.id for model in shown.models),
                used=name in used,
                used_by=tuple(path for path, model in named if model.partition("/")[0] == name),
            )
        )
    return sorted(rows, key=lambda row: (not row.used, not row.configured, row.name))


def _key(loaded: Loaded, name: str, provider: Provider) -> str:
    if provider.api_key.ref is not None:
        return str(provider.api_key.ref)
    if provider.api_key:
        written = join("models.providers", name) + ".apiKey" in loaded.document.lines
        return "kept by OpenClaw" if loaded.document.imported and not written else "in the file"
    return "in headers" if provider.headers else ""
