"""Decides about a pairing request, for the commands and the status page: lets the person in, or dismisses them."""

import trio

from oc_trio.classes import frozen
from oc_trio.config.load import Loaded
from oc_trio.core.pairing import normalise_code
from oc_trio.ids import AccountId
from oc_trio.runtime.account.dependencies import Dependencies
from oc_trio.runtime.account.send_direct import send_direct
from oc_trio.store.pairing import PairingRow
from oc_trio.store.store import Store

# Somebody waits for it at a command line or before a page, and the person is let in already.
NOTIFY_SECONDS = 30.0
APPROVED = "You may write to me here now."


@frozen
class Approval:
    """Who was let in. `problem` says why they could not be told of it; empty if they were, or were not to be."""

    row: PairingRow
    problem: str = ""


async def approve(
    store: Store,
    loaded: Loaded,
    account: AccountId | None,
    code: str,
    now_ms: int,
    *,
    notify: bool,
    dependencies: Dependencies | None = None,
) -> Approval | None:
    """Let in whoever was given `code`, for direct messages, and with `notify` tell them there.

    None where no account, or more than one, has a request with that code, or where it has expired.
    """
    # Before anybody is told: the answer that they write at once has to find the door open.
    row = await store.pairing.approve(account, normalise_code(code), now_ms)
    if row is None or not notify:
        return Approval(row) if row is not None else None
    if row.account not in loaded.accounts:
        return Approval(row, f"account {row.account} is not configured")
    # One post for an approval, however often it has to be sent.
    key = f"paired.{row.approved_at}"
    settings = loaded.accounts[row.account]
    with trio.move_on_after(NOTIFY_SECONDS):
        problem = await send_direct(loaded, settings, row.user_id, APPROVED, key=key, dependencies=dependencies)
        return Approval(row, problem)
    return Approval(row, f"no answer within {NOTIFY_SECONDS:g} s")


async def dismiss(store: Store, account: AccountId | None, code: str) -> PairingRow | None:
    """Refuse the request with `code`, whose sender may ask again; None as above."""
    return await store.pairing.reject(account, normalise_code(code))
