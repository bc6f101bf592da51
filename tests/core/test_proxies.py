"""Which address goes through which proxy, as curl and Go read the environment."""

import pytest

from oc_trio.core.proxies import BadProxy, Proxy, proxy_for

BOTH = {"HTTPS_PROXY": "http://p.test:3128", "HTTP_PROXY": "http://q.test"}


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("https://mm.test/api", "p.test", 3128),
        ("wss://mm.test/api", "p.test", 3128),
        ("http://mm.test", "q.test", 80),
        ("ws://mm.test:8065", "q.test", 80),
    ],
)
def test_the_scheme_chooses_the_variable(url: str, host: str, port: int) -> None:
    """A websocket goes the way of its upgrade request."""
    proxy = proxy_for(url, BOTH)
    assert proxy is not None
    assert (proxy.host, proxy.port) == (host, port)


@pytest.mark.parametrize(
    "url",
    ["http://localhost:8065", "https://127.0.0.1", "http://127.8.9.1:1", "https://[::1]:8443", "ftp://x.test", ""],
)
def test_this_machine_is_reached_directly(url: str) -> None:
    """So a proxy in the environment doesn't part a gateway from the server beside it."""
    assert proxy_for(url, {"ALL_PROXY": "http://p.test", **BOTH}) is None


@pytest.mark.parametrize(
    ("no_proxy", "url", "is_direct"),
    [
        ("mm.test", "https://mm.test", True),
        ("MM.test", "https://mm.TEST", True),
        ("test", "https://mm.test", True),
        (".test", "https://mm.test", True),
        ("*.test", "https://mm.test", True),
        ("m.test", "https://mm.test", False),
        ("a.test, mm.test", "https://mm.test", True),
        ("mm.test:443", "https://mm.test", True),
        ("mm.test:8443", "https://mm.test", False),
        ("https://mm.test", "https://mm.test", True),
        ("*", "https://mm.test", True),
        ("10.0.0.0/8", "https://10.1.2.3:8065", True),
        ("10.0.0.0/8", "https://11.1.2.3", False),
        ("10.0.0.0/x", "https://10.1.2.3", False),
        ("10.1.2.3", "https://10.1.2.3", True),
        ("10.1.2.3:9", "https://10.1.2.3", False),
        ("fd00::/8", "https://[fd00::1]:8065", True),
        ("fd00::1", "https://[fd00:0::1]", True),
        ("[fd00::1]:8065", "https://[fd00::1]:8065", True),
        ("[fd00::1]:8065", "https://[fd00::1]:8066", False),
        ("", "https://mm.test", False),
        (" , ", "https://mm.test", False),
    ],
)
def test_exceptions(no_proxy: str, url: str, is_direct: bool) -> None:
    """Names cover what ends in them; networks and ports are understood."""
    assert (proxy_for(url, {**BOTH, "NO_PROXY": no_proxy}) is None) is is_direct


def test_small_letters_win_and_all_proxy_is_the_last() -> None:
    """An empty variable counts as none."""
    assert proxy_for("https://mm.test", {"https_proxy": "s.test:1", **BOTH}) == Proxy("s.test", 1, "https_proxy")
    assert proxy_for("https://mm.test", {"https_proxy": "", **BOTH}) == Proxy("p.test", 3128, "HTTPS_PROXY")
    assert proxy_for("https://mm.test", {"all_proxy": "a.test"}) == Proxy("a.test", 80, "all_proxy")
    assert proxy_for("https://mm.test", {"no_proxy": "x.test", "NO_PROXY": "mm.test", **BOTH}) is not None
    assert proxy_for("https://mm.test", {}) is None


def test_a_proxy_with_a_password_and_tls() -> None:
    """What is percent-encoded in it is decoded, and neither its repr nor its url has them."""
    proxy = proxy_for("https://mm.test", {"HTTPS_PROXY": "https://us%40er:p%3Aw@p.test"})
    assert proxy is not None
    assert proxy == Proxy("p.test", 443, "HTTPS_PROXY", "us@er", "p:w", is_tls=True)
    assert "p:w" not in repr(proxy)
    assert proxy.url == "https://p.test:443"


@pytest.mark.parametrize(
    "value", ["socks5://s.test:1080", "http://", "http://p.test:port", "http://[::1", "http://u:secret@:80"]
)
def test_a_bad_proxy_is_named_by_its_variable(value: str) -> None:
    """The error names the variable and not its value, which may hold a password."""
    with pytest.raises(BadProxy, match="HTTPS_PROXY") as caught:
        proxy_for("https://mm.test", {"HTTPS_PROXY": value})
    assert "secret" not in str(caught.value)
