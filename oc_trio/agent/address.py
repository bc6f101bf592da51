"""Builds URLs below a model server's base URL, and the header with the key. Pure."""

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit, urlunsplit

_CONFIDENTIAL = re.compile(r"key|token|secret|sig|code|pass", re.IGNORECASE)


def below(base_url: str, path: str) -> str:
    """`path` (with its slash) below `base_url`; a query such as `?api-version=...` stays behind the whole path.

    A base URL that already ends in the path is left as it is.
    """
    parts = urlsplit(base_url.strip())
    base = parts.path.rstrip("/")
    return urlunsplit(parts._replace(path=base if base.endswith(path) else base + path, fragment=""))


def printable_url(base_url: str) -> str:
    """The URL for logs: without password and query (some providers take keys there)."""
    parts = urlsplit(base_url.strip())
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="")).rstrip("/")


def secrets_in(base_url: str) -> tuple[str, ...]:
    """The secrets in a URL, for redaction."""
    parts = urlsplit(base_url.strip())
    password = parts.netloc.rpartition("@")[0].partition(":")[2]
    values = [value for name, value in parse_qsl(parts.query) if _CONFIDENTIAL.search(name)]
    return tuple(value for value in (password, *values) if value)


def with_key(headers: Mapping[str, str], name: str, value: str) -> dict[str, str]:
    """`headers` with the key, unless the operator has configured that header, in any case."""
    configured = {header.lower() for header in headers}
    return dict(headers) if name.lower() in configured else {**headers, name: value}
