"""Finds the client's IP address behind trusted proxies, and checks it against allowlists.

Rules for `gateway.trustedProxies`, `gateway.allowRealIpFallback` and allowlists of source addresses.
"""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from oc_trio.classes import frozen

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


@frozen
class ProxyTrust:
    """X-Forwarded-For is believed from `proxies`; with `allow_real_ip` also their X-Real-IP, if there is no
    X-Forwarded-For.
    """

    proxies: tuple[Network, ...] = ()
    allow_real_ip: bool = False


LOOPBACK_ONLY: tuple[Network, ...] = (IPv4Network("127.0.0.1/32"), IPv6Network("::1/128"))


def parse_networks(entries: Iterable[str]) -> tuple[Network, ...]:
    """Addresses and CIDRs as networks, IPv4-mapped ones as IPv4. Raises ValueError naming the first bad entry."""
    networks: list[Network] = []
    for entry in entries:
        try:
            network = ip_network(entry.strip(), strict=False)
        except ValueError:
            raise ValueError(f"{entry!r} is neither an IP address nor a CIDR such as 10.0.0.0/8") from None
        networks.append(_fold_network(network))
    return tuple(networks)


def parse_address(text: str) -> Address | None:
    """The address in a header field or peer name: also with a port, in brackets or with a zone; None if invalid."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    # One colon is an IPv4 address with a port; an IPv6 address has at least two.
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    # A socket that listens on both families gives IPv4 peers in this form, and rules are written in IPv4.
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def client_address(
    peer: str, forwarded_for: Sequence[str], real_ip: Sequence[str], trust: ProxyTrust
) -> Address | None:
    """The client's address, or None if no trusted source gives one.

    `peer` is the socket's address; `forwarded_for` and `real_ip` are the fields of those headers in order of arrival.
    Headers of an untrusted peer are ignored. Of a trusted peer's, the right-most entry counts that is neither loopback
    nor a trusted proxy: everything left of it may have been written by the client. An unreadable entry ends the search
    without an address.

    A proxy that does not know X-Real-IP passes on what the client sent. So it counts only if there is exactly one, no
    X-Forwarded-For, and it is neither loopback nor a proxy.
    """
    address = parse_address(peer)
    if address is None or not contains(trust.proxies, address):
        return address
    hops = [hop for header in forwarded_for for hop in header.split(",") if hop.strip()]
    # Each proxy adds on the right what it saw itself.
    for hop in reversed(hops):
        candidate = parse_address(hop)
        if candidate is None or _may_be_client(candidate, trust):
            return candidate
    if hops or not trust.allow_real_ip or len(real_ip) != 1:
        return None
    candidate = parse_address(real_ip[0])
    return candidate if candidate is not None and _may_be_client(candidate, trust) else None


def _may_be_client(address: Address, trust: ProxyTrust) -> bool:
    """Whether the address can be a client's: neither loopback nor a trusted proxy."""
    return not address.is_loopback and not contains(trust.proxies, address)


def contains(networks: Iterable[Network], address: Address) -> bool:
    """Whether any of the networks contains the address."""
    return any(address in network for network in networks)


def may_call(address: Address | None, allowed: Sequence[Network]) -> bool:
    """Whether a client may use an endpoint with this allowlist; an empty list allows only loopback, None is refused."""
    return address is not None and contains(allowed or LOOPBACK_ONLY, address)


def _fold_network(network: Network) -> Network:
    # Below 96 bits the network holds more than the IPv4-mapped addresses.
    if isinstance(network, IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((mapped, network.prefixlen - 96))
    return network
