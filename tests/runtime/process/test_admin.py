"""Where the gateway's admin socket is, and that it can be had there."""

import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import httpx
import trio

from oc_trio.config.document import Document
from oc_trio.config.load import Loaded, build
from oc_trio.runtime.account.dependencies import Dependencies
from oc_trio.runtime.process.admin import AdminInputs, run_admin
from oc_trio.runtime.process.locations import admin_socket
from oc_trio.store.store import Store, open_store
from oc_trio.telemetry.health import Health
from oc_trio.telemetry.metrics import Metrics
from tests.logbook import Logbook


def loaded_of(state: Path, **gateway: object) -> Loaded:
    account = {"baseUrl": "https://chat.example.com", "botToken": "t", "groupPolicy": "open"}
    values = {"channels": {"mattermost": account}, "gateway": gateway}
    return build(Document(values), {"HOME": str(state), "STATE_DIRECTORY": str(state)})


def inputs_of(loaded: Loaded, store: Store, ready: trio.Event) -> AdminInputs:
    return AdminInputs(Health(lambda: 0), Metrics(), store, Dependencies(), lambda: loaded, ready)


def socket_of(state: Path, **gateway: object) -> Path:
    return admin_socket(loaded_of(state, **gateway))


def test_the_socket_is_in_the_state_directory_unless_named(tmp_path: Path) -> None:
    """Command and gateway find it by the same rule."""
    assert socket_of(tmp_path) == tmp_path / "admin.sock"
    assert socket_of(tmp_path, admin={"socket": "/run/oc/admin.sock"}) == Path("/run/oc/admin.sock")


async def test_the_state_directory_is_made(tmp_path: Path) -> None:
    """With the journal in PostgreSQL nobody else makes it: `oc-trio status` would find no gateway."""
    loaded, ready = loaded_of(tmp_path / "new" / "state"), trio.Event()
    ready.set()
    with closing(sqlite3.connect(":memory:")) as connection:
        async with open_store(connection) as store, trio.open_nursery() as nursery:
            nursery.start_soon(run_admin, inputs_of(loaded, store, ready))
            local = httpx.AsyncHTTPTransport(uds=str(admin_socket(loaded)), verify=False)
            with trio.fail_after(30):
                while not admin_socket(loaded).exists():  # noqa: ASYNC110 - a socket's file tells nobody
                    await trio.sleep(0.01)
            async with httpx.AsyncClient(transport=local) as http:
                assert (await http.get("http://localhost/livez")).text == "ok\n"
            nursery.cancel_scope.cancel()
    assert stat.S_IMODE(loaded.state_dir.stat().st_mode) == 0o700


async def test_a_state_directory_that_can_not_be_made(tmp_path: Path, logbook: Logbook) -> None:
    """The failure is logged, and everything else works."""
    (tmp_path / "file").write_text("in the way")
    loaded, ready = loaded_of(tmp_path / "file" / "state"), trio.Event()
    ready.set()
    with closing(sqlite3.connect(":memory:")) as connection:
        async with open_store(connection) as store:
            await run_admin(inputs_of(loaded, store, ready))
    (event,) = logbook.find("no admin API")
    assert "file/state can't be made: Not a directory" in event["problem"]
