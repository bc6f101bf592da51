"""Asking each account's Mattermost whether the address is one and the token is taken. Reads only."""

import trio

from oc_trio.classes import frozen
from oc_trio.config.accounts import Account
from oc_trio.config.load import Loaded
from oc_trio.core.exception_groups import leaves
from oc_trio.errors import OcTrioError
from oc_trio.ids import AccountId
from oc_trio.runtime.account.outbound_client import dependencies_for, open_outbound_client

# For an operator who waits, and the default of `--timeout`; all accounts are asked at once.
_SECONDS = 15.0


@frozen
class Probe:
    """What came of one account; `bot` is the username that the token is of, `problem` is empty where all is well."""

    account: AccountId
    base_url: str
    bot: str = ""
    problem: str = ""


async def probe_accounts(loaded: Loaded, only: str | None, *, seconds: float = _SECONDS) -> tuple[Probe, ...]:
    """One probe for each account that is switched on, or for `only`, in the configuration's order."""
    found: dict[AccountId, Probe] = {}

    async def probe(account: Account) -> None:
        found[AccountId(account.id)] = await _probe(loaded, account, seconds)

    async with trio.open_nursery() as nursery:
        for name, account in loaded.accounts.items():
            if only in (None, name):
                nursery.start_soon(probe, account)
    for name, problems in loaded.broken.items():
        if only in (None, name):
            found[name] = Probe(name, "", problem="; ".join(map(str, problems)))
    return tuple(found[name] for name in (*loaded.accounts, *loaded.broken) if name in found)


async def _probe(loaded: Loaded, account: Account, seconds: float) -> Probe:
    name, bot, problem = AccountId(account.id), "", f"no answer within {seconds:g} s"
    with trio.move_on_after(seconds):
        try:
            async with open_outbound_client(loaded, account, await dependencies_for(account)) as outbound:
                bot, problem = outbound.user.username, ""
        except* OcTrioError as group:
            # The client runs tasks of its own, so that errors come in groups.
            problem = "; ".join(map(str, leaves(group)))
    return Probe(name, account.base_url, bot, problem)
