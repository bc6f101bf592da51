"""Stops a conversation from a machine where no gateway runs, by way of the journal that it shares with others."""

import trio

from oc_trio.errors import CallbackRefused
from oc_trio.ids import AccountId, SessionKey
from oc_trio.runtime.clock import Clock
from oc_trio.runtime.handlers.relay import Relay, stop_elsewhere
from oc_trio.store.store import Store
from oc_trio.telemetry.metrics import Metrics


async def stop_by_journal(store: Store, session: SessionKey, account: AccountId | None) -> tuple[bool, str] | None:
    """Whether anything was stopped, with a sentence about it; None where no gateway uses the journal."""
    if not any(process.is_alive for process in (await store.leases.read()).processes):
        return None
    relay = Relay(store, Clock(), Metrics(), "")
    is_stopped: bool | None = None
    refused = ""
    async with trio.open_nursery() as nursery:
        # It reads the answer for us; without it nobody would look.
        nursery.start_soon(relay.run)
        try:
            is_stopped = await stop_elsewhere(relay, session, account)
        except CallbackRefused as refusal:
            refused = refusal.reason
        # The relay runs for ever otherwise.
        nursery.cancel_scope.cancel()
    if refused:
        return False, refused
    if is_stopped is None:
        return False, "no process that serves the account answers now, and nothing was stopped: try again"
    return is_stopped, f"Stopped: {session}" if is_stopped else "Nothing is running there any more."
