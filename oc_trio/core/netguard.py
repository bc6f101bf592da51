"""SSRF guard: decides which hosts and addresses an outgoing request may connect to; unknown ones are refused.

Decides about a host name and the addresses that it resolved to. `mattermost.guarded` resolves, and connects to exactly
the allowed addresses, without a second lookup (DNS rebinding).
"""

import re
from collections.abc import Sequence
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from oc_trio.classes import frozen

OPT_IN = "channels.mattermost.network.dangerouslyAllowPrivateNetwork"
# Operators search their logs for this text.
BLOCKED = "Blocked hostname or private/internal/special-use IP address"

Address = IPv4Address | IPv6Address


class Zone(Enum):
    """The kind of network that an address belongs to."""

    PUBLIC = "public"
    LOOPBACK = "loopback"
    PRIVATE = "private"
    CARRIER_NAT = "carrier-grade NAT"
    LINK_LOCAL = "link-local"
    METADATA = "cloud metadata"
    UNSPECIFIED = "unspecified"
    MULTICAST = "multicast"
    SPECIAL = "special-use"


# Zones that the opt-in permits. No chat server is in the others (link-local, metadata ...), so they stay refused.
_PERMITTED = frozenset({Zone.LOOPBACK, Zone.PRIVATE, Zone.CARRIER_NAT})


@frozen
class NetPolicy:
    """`allow_private` is the operator's opt-in; `setting` is the configuration key that a refusal names."""

    allow_private: bool = False
    setting: str = OPT_IN


@frozen
class Allowed:
    """Connect to these addresses and no others, in this order (IPv4 first)."""

    addresses: tuple[Address, ...]


@frozen
class Refused:
    """Don't connect; `reason` is fit for the operator's log and names the setting where it would help."""

    reason: str


def _networks(zone: Zone, *ranges: str) -> list[tuple[IPv4Network | IPv6Network, Zone]]:
    return [(IPv6Network(text) if ":" in text else IPv4Network(text), zone) for text in ranges]


# First match wins. Ranges: IANA's special-purpose registries for IPv4 and IPv6.
_RANGES = [
    # Metadata services first: two of their addresses are in ranges that the opt-in permits.
    *_networks(Zone.METADATA, "169.254.169.254/32", "169.254.170.2/32", "100.100.100.200/32", "fd00:ec2::254/128"),
    *_networks(Zone.UNSPECIFIED, "0.0.0.0/8", "::/128"),
    *_networks(Zone.LOOPBACK, "127.0.0.0/8", "::1/128"),
    *_networks(Zone.PRIVATE, "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10"),
    *_networks(Zone.CARRIER_NAT, "100.64.0.0/10"),
    *_networks(Zone.LINK_LOCAL, "169.254.0.0/16", "fe80::/10"),
    *_networks(Zone.MULTICAST, "224.0.0.0/4", "ff00::/8"),
    *_networks(Zone.SPECIAL, "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24"),
    *_networks(Zone.SPECIAL, "203.0.113.0/24", "240.0.0.0/4", "64:ff9b:1::/48", "100::/64", "2001:2::/48"),
    *_networks(Zone.SPECIAL, "2001:db8::/32", "2001:10::/28", "2001:20::/28", "3fff::/20", "5f00::/16"),
]
_NAT64 = IPv6Network("64:ff9b::/96")
_COMPATIBLE = IPv6Network("::/96")
# The third of an ISATAP address's four words (RFC 5214); the fourth is the IPv4 address.
_ISATAP = (0x00005EFE, 0x02005EFE)

_NAMES = {
    "localhost": Zone.LOOPBACK,
    "localhost.localdomain": Zone.LOOPBACK,
    "metadata.google.internal": Zone.METADATA,
    "metadata": Zone.METADATA,
}
_SUFFIXES = {".localhost": Zone.LOOPBACK, ".local": Zone.PRIVATE, ".internal": Zone.PRIVATE}
# 127.1, 0x7f.1, 2130706433: what inet_aton accepts and ipaddress does not.
_LEGACY_IPV4 = re.compile(r"(0x[0-9a-f]*|[0-9]+)(\.(0x[0-9a-f]*|[0-9]+)){0,3}")


def _embedded(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 address stands for, if it does."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    # `::` and `::1` are in the range of the compatible addresses, too, and stand for no IPv4 address.
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 0xFFFF):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    if (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def classify(address: Address) -> Zone:
    """The zone of an address; an IPv6 address that embeds an IPv4 address has the zone of that."""
    if isinstance(address, IPv6Address):
        for network, zone in _RANGES:
            if address in network:
                return zone
        embedded = _embedded(address)
        if embedded is not None:
            return classify(embedded)
        return Zone.PUBLIC if address.is_global else Zone.SPECIAL
    for network, zone in _RANGES:
        if address in network:
            return zone
    return Zone.PUBLIC


def classify_name(host: str) -> Zone | None:
    """The zone that a host name alone implies (such as localhost), or None: then its addresses decide."""
    name = host.strip().rstrip(".").lower()
    if name in _NAMES:
        return _NAMES[name]
    for suffix, zone in _SUFFIXES.items():
        if name.endswith(suffix):
            return zone
    return None


def literal(host: str) -> Address | None:
    """The IP address in `host`, if it is one; brackets are allowed. Raises ValueError for forms such as `127.1`."""
    text = host.strip().removeprefix("[").removesuffix("]").rstrip(".").lower()
    try:
        return ip_address(text)
    except ValueError:
        if _LEGACY_IPV4.fullmatch(text):
            raise ValueError(f"{host} is an IPv4 address in a form that programs read differently") from None
        return None


def check_host(host: str, addresses: Sequence[str | Address], policy: NetPolicy) -> Allowed | Refused:
    """Whether we may connect to `host`, which resolved to `addresses`: all of them must pass, and there must be one."""
    try:
        literal(host)
        # Resolvers add the interface to link-local addresses: fe80::1%eth0.
        resolved = [ip_address(str(address).partition("%")[0]) for address in addresses]
    except ValueError as error:
        return Refused(f"{BLOCKED}: {error}.")
    named = classify_name(host)
    if named is not None and not _passes(named, policy):
        return Refused(_reason(host, named, policy))
    if not resolved:
        return Refused(f"{host} resolves to no address.")
    for address in resolved:
        zone = classify(address)
        if not _passes(zone, policy):
            return Refused(
                _reason(host if str(address) == host else f"{host} resolves to {address}, which", zone, policy)
            )
    unique = dict.fromkeys(resolved)
    return Allowed(tuple(sorted(unique, key=lambda address: address.version)))


def refused_at_sight(host: str, policy: NetPolicy) -> Refused | None:
    """What `check_host` says of `host` whatever it resolves to; None where its addresses decide."""
    try:
        address: str | Address | None = literal(host)
    except ValueError:
        address = host  # check_host names the odd spelling
    named = classify_name(host)
    if named is not None and not _passes(named, policy):
        return Refused(_reason(host, named, policy))
    verdict = check_host(host, (address,), policy) if address is not None else None
    return verdict if isinstance(verdict, Refused) else None


def _passes(zone: Zone, policy: NetPolicy) -> bool:
    return zone is Zone.PUBLIC or (policy.allow_private and zone in _PERMITTED)


def _reason(what: str, zone: Zone, policy: NetPolicy) -> str:
    help_ = f" If this server is yours, set {policy.setting} to true." if zone in _PERMITTED else ""
    return f"{BLOCKED}: {what} is {zone.value}.{help_}"
