"""Which proxy an address is reached through, by the environment: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY. Pure.

As curl, Go and httpx read them: a name in small letters wins over one in capitals; NO_PROXY is a list with commas of
host names (which cover what ends in them), addresses, networks as 10.0.0.0/8, any of them with `:port`, or `*`. As in
Go, this machine itself is never reached through a proxy.
"""

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import unquote, urlsplit

from attrs import field

from oc_trio.classes import frozen

_VARIABLES = {"http": "http_proxy", "ws": "http_proxy", "https": "https_proxy", "wss": "https_proxy"}
_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


class BadProxy(ValueError):
    """The address of a proxy can't be used; str() names the variable, and quotes no password."""


@frozen
class Proxy:
    """An HTTP proxy. `variable` is the name of the environment variable that gave it."""

    host: str
    port: int
    variable: str
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    is_tls: bool = False

    @property
    def url(self) -> str:
        """The address without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.is_tls else 'http'}://{host}:{self.port}"


def proxy_for(url: str, environ: Mapping[str, str]) -> Proxy | None:
    """The proxy for `url` (http, https, ws, wss); None for a direct connection. Raises BadProxy."""
    parts = urlsplit(url)
    host, port = (parts.hostname or "").rstrip("."), parts.port or _PORTS.get(parts.scheme, 0)
    variable = _VARIABLES.get(parts.scheme)
    if (
        variable is None
        or not host
        # A proxy would reach itself by such a name, and not this machine.
        or _is_this_machine(host)
        or _is_excepted(host, port, _value("no_proxy", environ)[1])
    ):
        return None
    for name in (variable, "all_proxy"):
        found_name, text = _value(name, environ)
        if text:
            return _proxy(text, found_name)
    return None


def _value(name: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """The name under which a variable is set, and its value; empty where it is not set."""
    for spelling in (name, name.upper()):
        if text := environ.get(spelling, "").strip():
            return spelling, text
    return name.upper(), ""


def _proxy(text: str, variable: str) -> Proxy:
    # `HOST:PORT` alone is a common spelling, which curl and Go take as well.
    if "://" not in text:
        text = f"http://{text}"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise BadProxy(f"{variable} is no address of a proxy: write http://HOST:PORT") from None
    if parts.scheme not in ("http", "https"):
        raise BadProxy(f"{variable}: a proxy of the kind {parts.scheme} is not supported: write http://HOST:PORT")
    if not host:
        raise BadProxy(f"{variable} names no host: write http://HOST:PORT")
    is_tls = parts.scheme == "https"
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return Proxy(host, port or (443 if is_tls else 80), variable, user, password, is_tls)


def _is_this_machine(host: str) -> bool:
    address = _address(host)
    return host.lower() == "localhost" if address is None else address.is_loopback


def _is_excepted(host: str, port: int, exceptions: str) -> bool:
    address = _address(host)
    return any(_matches(entry.strip().lower(), host.lower(), port, address) for entry in exceptions.split(","))


def _matches(entry: str, host: str, port: int, address: IPv4Address | IPv6Address | None) -> bool:
    if entry in ("", "*"):
        return entry == "*"
    # Some people write whole addresses into NO_PROXY.
    entry = entry.rpartition("://")[2]
    if address is not None and "/" in entry:
        try:
            return address in ip_network(entry, strict=False)
        except ValueError:
            return False
    name, entry_port = _split_port(entry)
    if entry_port is not None and entry_port != port:
        return False
    # An address is compared as one: ::1 has many spellings.
    if address is not None:
        return _address(name) == address
    # `*.example.com`, `.example.com` and `example.com` all mean the domain and what is below it.
    name = name.removeprefix("*").strip(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _split_port(entry: str) -> tuple[str, int | None]:
    """`host:port` in its parts; an IPv6 address has its port behind brackets only."""
    if entry.startswith("["):
        name, _, rest = entry[1:].partition("]")
        return name, int(rest[1:]) if rest[1:].isdecimal() else None
    if entry.count(":") == 1 and (tail := entry.rpartition(":")[2]).isdecimal():
        return entry.rpartition(":")[0], int(tail)
    return entry, None


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
