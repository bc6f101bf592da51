from ipaddress import ip_address

import pytest

from oc_trio.core.sourceip import ProxyTrust, client_address, may_call, parse_address, parse_networks

PROXIES = parse_networks(["10.0.0.2", "10.1.0.0/16"])
TRUST = ProxyTrust(PROXIES)
REAL_IP = ProxyTrust(PROXIES, allow_real_ip=True)


@pytest.mark.parametrize(
    ("peer", "forwarded", "real_ip", "trust", "client"),
    [
        pytest.param("203.0.113.7", [], "", TRUST, "203.0.113.7", id="direct"),
        pytest.param("203.0.113.7", ["127.0.0.1"], "127.0.0.1", REAL_IP, "203.0.113.7", id="forged by a stranger"),
        pytest.param("10.0.0.2", ["198.51.100.4"], "", TRUST, "198.51.100.4", id="one proxy"),
        pytest.param("10.0.0.2", ["1.2.3.4, 198.51.100.4, 10.1.9.9"], "", TRUST, "198.51.100.4", id="two proxies"),
        pytest.param("10.0.0.2", ["1.2.3.4", "198.51.100.4"], "", TRUST, "198.51.100.4", id="two fields"),
        pytest.param("10.0.0.2", ["198.51.100.4, 127.0.0.1"], "", TRUST, "198.51.100.4", id="loopback hop skipped"),
        pytest.param("10.0.0.2", ["127.0.0.1"], "", TRUST, None, id="only loopback claimed"),
        pytest.param("10.0.0.2", ["9.9.9.9, unknown"], "", TRUST, None, id="unreadable hop"),
        pytest.param("10.0.0.2", [], "", TRUST, None, id="silent proxy"),
        pytest.param("10.0.0.2", [], "198.51.100.4", TRUST, None, id="real ip not believed"),
        pytest.param("10.0.0.2", [], "198.51.100.4", REAL_IP, "198.51.100.4", id="real ip believed"),
        pytest.param("10.0.0.2", [], "127.0.0.1", REAL_IP, None, id="real ip claims this machine"),
        pytest.param("10.0.0.2", [], "10.1.2.3", REAL_IP, None, id="real ip claims a proxy"),
        pytest.param("10.0.0.2", [], "1.2.3.4 198.51.100.4", REAL_IP, None, id="two real ips"),
        pytest.param("10.0.0.2", ["127.0.0.1"], "1.2.3.4", REAL_IP, None, id="forwarded is there"),
        pytest.param("10.0.0.2", [], "unknown", REAL_IP, None, id="real ip unreadable"),
        pytest.param("10.0.0.2", ["5.6.7.8"], "198.51.100.4", REAL_IP, "5.6.7.8", id="forwarded beats real ip"),
        pytest.param("::ffff:10.0.0.2", ["198.51.100.4:443"], "", TRUST, "198.51.100.4", id="mapped peer and port"),
        pytest.param("10.0.0.2", ["[2001:db8::5]:80"], "", TRUST, "2001:db8::5", id="IPv6 in brackets"),
        pytest.param("", [], "", TRUST, None, id="no peer"),
    ],
)
def test_who_called(peer: str, forwarded: list[str], real_ip: str, trust: ProxyTrust, client: str | None) -> None:
    expected = None if client is None else ip_address(client)
    assert client_address(peer, forwarded, real_ip.split(), trust) == expected


@pytest.mark.parametrize(
    ("address", "allowed", "verdict"),
    [
        ("127.0.0.1", [], True),
        ("::1", [], True),
        ("::ffff:127.0.0.1", [], True),
        ("127.0.0.2", [], False),
        ("10.0.0.5", [], False),
        ("10.0.0.5", ["10.0.0.0/8"], True),
        ("10.0.0.5", ["::ffff:10.0.0.0/104"], True),
        ("127.0.0.1", ["10.0.0.0/8"], False),
        ("10.0.0.5", ["10.0.0.5/8"], True),
        ("2001:db8::9", ["2001:db8::/32", "10.0.0.1"], True),
        ("nobody", ["0.0.0.0/0"], False),
    ],
)
def test_who_may_call(address: str, allowed: list[str], verdict: bool) -> None:
    """An empty allowlist is this machine only; a caller without an address is nobody."""
    assert may_call(parse_address(address), parse_networks(allowed)) is verdict


def test_a_bad_entry_is_named() -> None:
    with pytest.raises(ValueError, match=r"'10\.0\.0\.300' is neither"):
        parse_networks(["10.0.0.1", "10.0.0.300"])
