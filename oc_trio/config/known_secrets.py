"""Collects every secret value of a configuration, so that the log can mask them."""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

import attrs

from oc_trio.config.load import Loaded
from oc_trio.config.secrets import Secret


def secrets_of(loaded: Loaded) -> tuple[str, ...]:
    """Every secret value, and the password within the journal's URL: a database driver may print it without the URL."""
    values = [secret.reveal() for secret in _walk((loaded.config, tuple(loaded.accounts.values())))]
    password = urlsplit(loaded.config.store.url.reveal()).password
    return (*values, *([password, unquote(password)] if password else []))


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
