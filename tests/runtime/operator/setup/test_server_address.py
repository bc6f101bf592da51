"""Which addresses are tried for what an operator types, and what is said of TLS."""

import os
import ssl
from pathlib import Path

import pytest
import trio
import trustme

from oc_trio.config.accounts import BadUrl
from oc_trio.runtime.operator.setup.server_address import PING, ServerAddress, candidates, find_server
from tests.cli.test_init import OtherServer, another_server

TRIED = [
    ("chat.example.com", ["https://chat.example.com", "http://chat.example.com", "http://chat.example.com:8065"]),
    (
        "http://10.0.0.5:8065",
        ["http://10.0.0.5:8065", "https://10.0.0.5:8065", "http://10.0.0.5", "https://10.0.0.5"],
    ),
    (
        "https://a.example/mattermost/sales/channels/town-square",
        [
            "https://a.example/mattermost/sales/channels/town-square",
            "https://a.example/mattermost/sales/channels",
            "https://a.example/mattermost/sales",
            "https://a.example/mattermost",
            "https://a.example",
        ],
    ),
    ("https://a.example/?redirect=1#x", ["https://a.example"]),
    ("https://[2001:db8::1]:8065/api/v4", ["https://[2001:db8::1]:8065"]),
]


@pytest.mark.parametrize(("typed", "first"), TRIED, ids=[typed for typed, _ in TRIED])
def test_what_is_tried_first(typed: str, first: list[str]) -> None:
    """What was typed comes first, then what may be meant; each scheme, and the port that Mattermost has by itself."""
    assert list(candidates(typed))[: len(first)] == first


@pytest.mark.parametrize("typed", ["", "   ", "ftp://a.example", "http://", "http://u:p@a.example", "a b.example"])
def test_what_can_be_no_address(typed: str) -> None:
    """Text that can't be an address is refused before any request."""
    with pytest.raises(BadUrl):
        list(candidates(typed))


def serve_tls(server: OtherServer, authority: trustme.CA) -> str:
    """Wraps the server's port, as a Mattermost; returns its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.pages[PING] = (200, {"Content-Type": "application/json"}, '{"status": "OK"}')
    return f"localhost:{server.server_port}"


def test_tls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of http:// where TLS is spoken the https:// is taken; a certificate of an unknown authority is named as such."""
    authority = trustme.CA()
    with another_server() as server:
        host = serve_tls(server, authority)
        # Something else may listen at Mattermost's usual port of this machine.
        unknown = trio.run(find_server, f"https://{host}", os.environ)
        assert "certificate verify failed" in unknown.problem + unknown.consent
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        for typed in (f"http://{host}", host, f"https://{host}/team"):
            found = trio.run(find_server, typed, os.environ)
            assert (found.base_url, found.consent, found.is_private) == (f"https://{host}", "", True)
            assert found.notes[0] == f"Mattermost answers at https://{host}"


def test_a_subpath(tmp_path: Path) -> None:
    """A server below a path is found behind a page's address, and the path stays."""
    with another_server() as server:
        server.pages[f"/chat{PING}"] = (200, {"Content-Type": "application/json"}, '{"status": "OK"}')
        found: ServerAddress = trio.run(find_server, f"{server.url}/chat/team/pl/abc", os.environ)
        assert (found.base_url, found.consent) == (f"{server.url}/chat", "")
