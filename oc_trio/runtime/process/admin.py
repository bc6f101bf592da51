"""Runs the admin API beside the accounts: started late, stopped last; its failure does not stop the gateway."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import trio
from attrs import asdict

from oc_trio.config.load import Loaded
from oc_trio.runtime.account.round_trips import RoundTrip
from oc_trio.store.store import Store
from oc_trio.telemetry.health import Health
from oc_trio.telemetry.log import get_logger
from oc_trio.telemetry.log_tail import LogTail
from oc_trio.telemetry.metrics import Metrics

log = get_logger(part="admin")

SOCKET = "admin.sock"
# The HTTP server costs tens of milliseconds to import: after the first account is live, or at the latest then.
LATEST_START_SECONDS = 2.0


def admin_socket(loaded: Loaded) -> Path:
    """Where the gateway of this configuration listens for commands of this machine."""
    named = loaded.config.gateway.admin.socket
    return Path(named).expanduser() if named else loaded.state_dir / SOCKET


async def run_admin(
    loaded: Loaded,
    health: Health,
    metrics: Metrics,
    store: Store,
    *,
    ready: trio.Event,
    now_ms: Callable[[], int],
    tail: LogTail | None = None,
    round_trips: Callable[[], Awaitable[tuple[RoundTrip, ...]]] | None = None,
    jobs_changed: Callable[[], None] | None = None,
) -> None:
    """Serve until cancelled; a socket or port that can't be had is logged, and the gateway goes on without."""
    with trio.move_on_after(LATEST_START_SECONDS):
        await ready.wait()
    from oc_trio.admin.app import build_admin_app
    from oc_trio.admin.server import AdminListenFailed, serve_admin

    async def journal() -> Mapping[str, Any]:
        return asdict(await store.stats())

    one_at_a_time = trio.Lock()

    async def trips() -> list[dict[str, Any]]:
        async with one_at_a_time:
            return [trip.to_json() for trip in (await round_trips() if round_trips is not None else ())]

    admin, metering = loaded.config.gateway.admin, loaded.config.metrics
    app = build_admin_app(
        health,
        metrics,
        now_ms=now_ms,
        metrics_path=metering.path if metering.enabled else "",
        journal=journal,
        tail=tail,
        round_trips=trips,
        jobs_changed=jobs_changed,
    )
    path = admin_socket(loaded)
    try:
        if path.parent == loaded.state_dir:  # nobody has made it where the journal is in PostgreSQL
            await _make(loaded.state_dir)
        async with trio.open_nursery() as nursery:
            where = await nursery.start(partial(serve_admin, app, path=path, port=admin.port or None))
            log.info("admin API", at=list(where))
    except* AdminListenFailed as group:
        for problem in group.exceptions:
            log.error("no admin API", problem=str(problem))


async def _make(state_dir: Path) -> None:
    from oc_trio.admin.server import AdminListenFailed

    try:
        await trio.Path(state_dir).mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as problem:
        raise AdminListenFailed(f"the state directory {state_dir} can't be made: {problem.strerror}") from problem
