"""What the journal needs while the gateway serves: retention, and an eye on whether it still answers."""

from collections.abc import Callable, Iterable
from typing import NoReturn

import trio

from oc_trio.config.accounts import Account
from oc_trio.config.gateway import StoreSettings
from oc_trio.errors import StoreError
from oc_trio.ids import AccountId
from oc_trio.store.retention import DAY_MS, Retention
from oc_trio.store.store import Store
from oc_trio.telemetry.health import Health
from oc_trio.telemetry.log import get_logger
from oc_trio.telemetry.metrics import Metrics

log = get_logger(part="journal_maintenance")

PART = "journal"
# Rows are kept for weeks, so an hour more or less is nothing.
PRUNE_SECONDS = 3600.0
# Several looks within `GIVE_UP_SECONDS`: one slow answer decides nothing.
CHECK_SECONDS = 15.0
# Ten times what a transaction may wait for an answer: beyond it the writer hangs, or the database is away for too long.
GIVE_UP_SECONDS = 120.0


def catchup_reach_ms(accounts: Iterable[Account]) -> int:
    """How old a post may be that catch-up still reads, in milliseconds."""
    # A day more for its overlap, which is an hour at most, and for clocks.
    return max((int(account.catchup.max_age * 1000) + DAY_MS for account in accounts), default=0)


async def run_pruning(
    store: Store, settings: StoreSettings, now_ms: Callable[[], int], reach_ms: Callable[[], int]
) -> NoReturn:
    """Retention, at once and then once an hour: the journal stays bounded. `reach_ms` is catch-up's."""
    kept_ms = int(settings.retention * 1000)
    while True:
        # What catch-up can read again has to be known for as long, or it would be answered a second time.
        seen_ms = max(kept_ms, reach_ms())
        keep = Retention(seen_ms=seen_ms, ended_ms=kept_ms, transcript_ms=int(settings.transcript_retention * 1000))
        try:
            removed = await store.prune(now_ms(), keep)
            if removed:
                log.info("pruned the journal", rows=removed)
        except StoreError as problem:
            # A full disk, or a database that restarts: the next hour is soon enough.
            log.error("could not prune the journal", problem=str(problem))
        await trio.sleep(PRUNE_SECONDS)


async def watch_journal(store: Store, health: Health, metrics: Metrics) -> NoReturn:
    """Read from the journal now and then, and report progress; one that hangs or fails for long stops the watchdog."""
    was_well = True
    health.progress(PART, within_s=GIVE_UP_SECONDS)
    while True:
        began = trio.current_time()
        try:
            await store.resume.load(AccountId(""))  # any read goes through the writer, and this one is tiny
            health.progress(PART, within_s=GIVE_UP_SECONDS)
            if not was_well:
                log.info("the journal answers again")
            was_well = True
            metrics.journal_read_seconds.set(trio.current_time() - began)
        except StoreError as problem:
            if was_well:
                log.error("the journal fails", problem=str(problem))
            was_well = False
        metrics.journal_up.set(was_well)
        await trio.sleep(CHECK_SECONDS)
