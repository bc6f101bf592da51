"""Who really called us: the peer's address, seen through the proxies that the operator trusts, and nobody else's word.

Owned here: the rules for `gateway.trustedProxies`, `gateway.allowRealIpFallback` and source allowlists.
"""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from attrs import frozen

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


@frozen
class ProxyTrust:
    """`proxies` may speak for others in X-Forwarded-For; `allow_real_ip` also believes their X-Real-IP, where they set
    no X-Forwarded-For.
    """

    proxies: tuple[Network, ...] = ()
    allow_real_ip: bool = False


LOOPBACK_ONLY: tuple[Network, ...] = (IPv4Network("127.0.0.1/32"), IPv6Network("::1/128"))


def parse_networks(entries: Iterable[str]) -> tuple[Network, ...]:
    """Addresses and CIDRs as networks, IPv4-mapped ones folded. Raises ValueError naming the first bad entry."""
    networks: list[Network] = []
    for entry in entries:
        try:
            network = ip_network(entry.strip(), strict=False)
        except ValueError:
            raise ValueError(f"{entry!r} is neither an IP address nor a CIDR such as 10.0.0.0/8") from None
        networks.append(_fold_network(network))
    return tuple(networks)


def parse_address(text: str) -> Address | None:
    """The address in a header field or a peer name: with a port, in brackets or with a zone; None if it is none."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def client_address(
    peer: str, forwarded_for: Sequence[str], real_ip: Sequence[str], trust: ProxyTrust
) -> Address | None:
    """The caller's address, or None when nobody trustworthy names one.

    `peer` is the socket's; `forwarded_for` the X-Forwarded-For fields in order of arrival; `real_ip` likewise.
    Headers of an untrusted peer mean nothing. Of a trusted one the right-most entry counts that is neither loopback
    nor a trusted proxy: whatever stands left of it was written by the caller. An entry that can't be read ends the
    search, because what it hides is unknown.

    X-Real-IP holds one address, and a proxy that does not know the header passes on what the caller wrote: it counts
    where it is the only one, no X-Forwarded-For says otherwise, and it claims neither this machine nor a proxy.
    """
    address = parse_address(peer)
    if address is None or not contains(trust.proxies, address):
        return address
    hops = [hop for header in forwarded_for for hop in header.split(",") if hop.strip()]
    for hop in reversed(hops):
        candidate = parse_address(hop)
        if candidate is None or _is_somebody(candidate, trust):
            return candidate
    if hops or not trust.allow_real_ip or len(real_ip) != 1:
        return None
    candidate = parse_address(real_ip[0])
    return candidate if candidate is not None and _is_somebody(candidate, trust) else None


def _is_somebody(address: Address, trust: ProxyTrust) -> bool:
    """Whether a proxy can have had a caller of this address: neither itself nor another proxy."""
    return not address.is_loopback and not contains(trust.proxies, address)


def contains(networks: Iterable[Network], address: Address) -> bool:
    """Whether any of the networks holds the address."""
    return any(address in network for network in networks)


def may_call(address: Address | None, allowed: Sequence[Network]) -> bool:
    """Whether a caller may use an endpoint with this allowlist; an empty one means this machine, unknown means no."""
    return address is not None and contains(allowed or LOOPBACK_ONLY, address)


def _fold_network(network: Network) -> Network:
    if isinstance(network, IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((mapped, network.prefixlen - 96))
    return network
