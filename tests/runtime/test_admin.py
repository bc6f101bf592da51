"""Where the gateway's admin socket is."""

from pathlib import Path

from oc_trio.config.document import Document
from oc_trio.config.load import build
from oc_trio.runtime.admin import admin_socket


def socket_of(state: Path, **gateway: object) -> Path:
    account = {"baseUrl": "https://chat.example.com", "botToken": "t", "groupPolicy": "open"}
    values = {"channels": {"mattermost": account}, "gateway": gateway}
    return admin_socket(build(Document(values), {"HOME": str(state), "STATE_DIRECTORY": str(state)}))


def test_the_socket_is_in_the_state_directory_unless_named(tmp_path: Path) -> None:
    """Command and gateway find it by the same rule."""
    assert socket_of(tmp_path) == tmp_path / "admin.sock"
    assert socket_of(tmp_path, admin={"socket": "/run/oc/admin.sock"}) == Path("/run/oc/admin.sock")
