"""Runs the admin API beside the accounts: started late, stopped last; its failure does not stop the gateway."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import trio
from attrs import asdict, field

from oc_trio.classes import frozen
from oc_trio.config.load import Loaded
from oc_trio.ids import AccountId
from oc_trio.runtime.account.dependencies import Dependencies
from oc_trio.runtime.account.live_accounts import LiveAccounts
from oc_trio.runtime.account.round_trips import RoundTrip
from oc_trio.runtime.handlers.relay import Relay
from oc_trio.runtime.process.locations import admin_socket
from oc_trio.store.store import Store
from oc_trio.telemetry.health import Health
from oc_trio.telemetry.log import get_logger
from oc_trio.telemetry.log_tail import LogTail
from oc_trio.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from oc_trio.admin.app import AdminApp
    from oc_trio.admin.feed import Feed

log = get_logger(part="admin")

# The HTTP server costs tens of milliseconds to import: after the first account is live, or at the latest then.
LATEST_START_SECONDS = 2.0
# After a defect of the page, which may come again at once.
FEED_RESTART_SECONDS = 5.0
# In place of an account, in the count of defects.
PAGE = AccountId("")


@frozen(eq=False)
class AdminInputs:
    """What the gateway gives to its admin API. `loaded` gives the configuration as it is now."""

    health: Health
    metrics: Metrics
    store: Store
    dependencies: Dependencies
    loaded: Callable[[], Loaded]
    ready: trio.Event
    accounts: LiveAccounts = field(factory=LiveAccounts)
    tail: LogTail | None = None
    # Given the page's token, so that no line of the log has it.
    keep_secret: Callable[[str], None] = lambda _secret: None
    round_trips: Callable[[], Awaitable[tuple[RoundTrip, ...]]] | None = None
    jobs_changed: Callable[[], None] | None = None
    relay: Relay | None = None


async def run_admin(inputs: AdminInputs) -> None:
    """Serve until cancelled; a socket or port that can't be had is logged, and the gateway goes on without."""
    with trio.move_on_after(LATEST_START_SECONDS):
        await inputs.ready.wait()
    from oc_trio.admin.server import AdminListenFailed, serve_admin

    loaded = inputs.loaded()
    app = admin_app(inputs)
    inputs.keep_secret(app.logins.token)
    path = admin_socket(loaded)
    try:
        if path.parent == loaded.state_dir:  # nobody has made it where the journal is in PostgreSQL
            await _make(loaded.state_dir)
        async with trio.open_nursery() as nursery:
            port = loaded.config.gateway.admin.port or None
            app.addresses[:] = await nursery.start(partial(serve_admin, app, path=path, port=port))
            log.info("admin API", at=app.addresses)
            for feed in (app.public_feed, app.operator_feed):
                nursery.start_soon(run_feed, inputs, feed)
    except* AdminListenFailed as group:
        for problem in group.exceptions:
            log.error("no admin API", problem=str(problem))


def admin_app(inputs: AdminInputs) -> "AdminApp":
    """The admin API's app; its feeds are run by `run_feed`."""
    from oc_trio.admin.app import build_admin_app
    from oc_trio.admin.operator_page import OperatorPage
    from oc_trio.runtime.process.live_view import LiveView
    from oc_trio.runtime.process.operator_actions import OperatorActions

    async def journal() -> Mapping[str, Any]:
        return asdict(await inputs.store.stats())

    # They make commands and posts on the server, and each ends by removing its own.
    one_at_a_time = trio.Lock()

    async def round_trips() -> list[dict[str, Any]]:
        async with one_at_a_time:
            return [trip.to_json() for trip in (await inputs.round_trips() if inputs.round_trips is not None else ())]

    config, now_ms = inputs.loaded().config, inputs.dependencies.clock.now_ms
    view = LiveView(
        inputs.accounts,
        inputs.store,
        inputs.metrics.recent_edits,
        now_ms,
        shows_text=config.gateway.admin.show_text,
    )
    actions = OperatorActions(inputs.accounts, inputs.store, inputs.loaded, inputs.dependencies, now_ms, inputs.relay)
    return build_admin_app(
        inputs.health,
        inputs.metrics,
        now_ms=now_ms,
        metrics_path=config.metrics.path if config.metrics.enabled else "",
        journal=journal,
        tail=inputs.tail,
        page=OperatorPage(view.read, actions.by_name(), view.forget),
        round_trips=round_trips,
        jobs_changed=inputs.jobs_changed,
    )


async def run_feed(inputs: AdminInputs, feed: "Feed") -> NoReturn:
    """Keep a page live. A defect in it ends its streams, which browsers open again, and nothing else."""
    boundary = inputs.dependencies.boundary(PAGE, inputs.metrics)
    while True:
        await boundary.contain(feed.run, "status page")
        feed.close_all()
        await trio.sleep(FEED_RESTART_SECONDS)


async def _make(state_dir: Path) -> None:
    from oc_trio.admin.server import AdminListenFailed

    try:
        await trio.Path(state_dir).mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as problem:
        raise AdminListenFailed(f"the state directory {state_dir} can't be made: {problem.strerror}") from problem
