from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.core.netguard import OPT_IN, Allowed, NetPolicy, Refused, Zone, check_host, classify, classify_name

CLOSED = NetPolicy()
OPEN = NetPolicy(allow_private=True)


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ("1.1.1.1", Zone.PUBLIC),
        ("2606:4700::1111", Zone.PUBLIC),
        ("127.0.0.1", Zone.LOOPBACK),
        ("127.9.9.9", Zone.LOOPBACK),
        ("::1", Zone.LOOPBACK),
        ("10.1.2.3", Zone.PRIVATE),
        ("172.16.0.1", Zone.PRIVATE),
        ("172.32.0.1", Zone.PUBLIC),
        ("192.168.1.1", Zone.PRIVATE),
        ("fd12::1", Zone.PRIVATE),
        ("fec0::1", Zone.PRIVATE),
        ("100.111.228.114", Zone.CARRIER_NAT),
        ("100.128.0.1", Zone.PUBLIC),
        ("169.254.1.1", Zone.LINK_LOCAL),
        ("fe80::1", Zone.LINK_LOCAL),
        ("169.254.169.254", Zone.METADATA),
        ("fd00:ec2::254", Zone.METADATA),
        ("0.0.0.0", Zone.UNSPECIFIED),
        ("::", Zone.UNSPECIFIED),
        ("224.0.0.1", Zone.MULTICAST),
        ("ff02::1", Zone.MULTICAST),
        ("255.255.255.255", Zone.SPECIAL),
        ("198.18.0.1", Zone.SPECIAL),
        ("203.0.113.9", Zone.SPECIAL),
        ("240.0.0.1", Zone.SPECIAL),
        ("2001:db8::1", Zone.SPECIAL),
        ("100::1", Zone.SPECIAL),
        ("::ffff:10.0.0.1", Zone.PRIVATE),
        ("::ffff:1.1.1.1", Zone.PUBLIC),
        ("::127.0.0.1", Zone.LOOPBACK),
        ("64:ff9b::7f00:1", Zone.LOOPBACK),
        ("64:ff9b::101:101", Zone.PUBLIC),
        ("64:ff9b:1::a00:1", Zone.SPECIAL),
        ("2002:7f00:1::", Zone.LOOPBACK),
        ("2001:0:1:1::80ff:fffe", Zone.LOOPBACK),
        ("2606:4700::5efe:a00:1", Zone.PRIVATE),
    ],
)
def test_zones(text: str, zone: Zone) -> None:
    assert classify(ip_address(text)) is zone


@pytest.mark.parametrize(
    ("host", "zone"),
    [
        ("localhost", Zone.LOOPBACK),
        ("LOCALHOST.", Zone.LOOPBACK),
        ("a.localhost", Zone.LOOPBACK),
        ("nas.local", Zone.PRIVATE),
        ("chat.corp.internal", Zone.PRIVATE),
        ("metadata.google.internal", Zone.METADATA),
        ("chat.example.com", None),
        ("local", None),
    ],
)
def test_names(host: str, zone: Zone | None) -> None:
    assert classify_name(host) is zone


def test_public_hosts_are_allowed_and_pinned_with_ipv4_first() -> None:
    judged = check_host("chat.example.com", ["2606:4700::1111", "1.1.1.1", "1.1.1.1"], CLOSED)
    assert judged == Allowed((IPv4Address("1.1.1.1"), IPv6Address("2606:4700::1111")))


@pytest.mark.parametrize(
    ("host", "addresses"),
    [
        ("127.0.0.1", ["127.0.0.1"]),
        ("localhost", ["127.0.0.1"]),
        ("chat.lan", ["192.168.1.4"]),
        ("100.111.228.114", ["100.111.228.114"]),
        ("chat.example.com", ["1.1.1.1", "10.0.0.1"]),
        ("nas.local", ["1.1.1.1"]),
    ],
    ids=["literal", "localhost", "lan", "tailscale", "one of two", "name alone"],
)
def test_private_hosts_need_the_opt_in(host: str, addresses: list[str]) -> None:
    """The refusal names the setting; with it the same host is allowed."""
    refused = check_host(host, addresses, CLOSED)
    assert isinstance(refused, Refused)
    assert OPT_IN in refused.reason
    assert host in refused.reason
    assert isinstance(check_host(host, addresses, OPEN), Allowed)


@pytest.mark.parametrize(
    ("host", "addresses"),
    [
        ("metadata.google.internal", ["169.254.169.254"]),
        ("rebind.example.com", ["169.254.169.254"]),
        ("chat.example.com", ["0.0.0.0"]),
        ("chat.example.com", ["224.0.0.1"]),
        ("127.1", ["127.0.0.1"]),
        ("0x7f.1", ["127.0.0.1"]),
        ("2130706433", ["127.0.0.1"]),
        ("0177.0.0.1", ["127.0.0.1"]),
        ("chat.example.com", []),
        ("chat.example.com", ["nonsense"]),
    ],
)
def test_what_no_setting_opens(host: str, addresses: list[str]) -> None:
    judged = check_host(host, addresses, OPEN)
    assert isinstance(judged, Refused)
    assert OPT_IN not in judged.reason


def test_a_scoped_link_local_address_is_refused_and_not_an_error() -> None:
    assert isinstance(check_host("chat.example.com", ["fe80::1%eth0"], OPEN), Refused)


@given(st.ip_addresses())
def test_an_address_that_python_calls_private_is_never_public(address: IPv4Address | IPv6Address) -> None:
    if address.is_private or address.is_loopback or address.is_link_local or address.is_multicast:
        # Those that hold an IPv4 address are where that one is, whatever some releases of Python say of them all.
        embedded = isinstance(address, IPv6Address) and (address.ipv4_mapped or address.sixtofour)
        assert embedded or classify(address) is not Zone.PUBLIC


@given(st.ip_addresses(v=4))
def test_a_mapped_address_is_judged_as_the_address_it_maps(address: IPv4Address) -> None:
    assert classify(IPv6Address(f"::ffff:{address}")) is classify(address)
