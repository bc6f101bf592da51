"""Every secret value that a configuration holds, for the logs to leave out."""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

import attrs

from oc_trio.config.load import Loaded
from oc_trio.config.secrets import Secret


def secrets_of(loaded: Loaded) -> tuple[str, ...]:
    """Every secret value of the configuration, and the journal's password, which errors may name without its URL."""
    found = [secret.reveal() for secret in _walk((loaded.config, tuple(loaded.accounts.values())))]
    password = urlsplit(loaded.config.store.url.reveal()).password
    return (*found, *([password, unquote(password)] if password else []))


def _walk(value: Any) -> Iterator[Secret]:
    if isinstance(value, Secret):
        yield value
    elif attrs.has(type(value)):
        for field in attrs.fields(type(value)):
            yield from _walk(getattr(value, field.name))
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _walk(inner)
    elif isinstance(value, (tuple, list, frozenset)):
        for inner in value:
            yield from _walk(inner)
