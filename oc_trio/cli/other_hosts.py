"""What a command says of gateways on other machines, where none runs on this one: the journal that they share knows."""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oc_trio.config.load import Loaded
    from oc_trio.core.membership import Membership


def shares_journal(loaded: "Loaded") -> bool:
    """Whether the journal of this configuration may have gateways on other machines."""
    from oc_trio.runtime.process.locations import journal_location
    from oc_trio.store.location import is_postgres

    return is_postgres(journal_location(loaded, create=False))


def read_membership(config_path: str | None) -> dict[str, Any] | None:
    """The processes and leases of the journal, as a running gateway has them in its status; None without any process
    that lives, and where the journal can't be read.
    """
    import trio

    from oc_trio.config.load import load
    from oc_trio.errors import OcTrioError
    from oc_trio.runtime.process.locations import journal_location
    from oc_trio.store.store import open_store
    from oc_trio.telemetry.membership_status import MembershipStatus

    membership: Membership | None = None

    async def read(location: str) -> None:
        nonlocal membership
        async with open_store(location, exclusive=False) as store:
            membership = await store.leases.read()

    try:
        loaded = load(config_path, os.environ, isolate=True, connect=False)
        if shares_journal(loaded):
            trio.run(read, journal_location(loaded, create=False))
    except* OcTrioError:
        # As if there were none: the command has its own word for that.
        pass
    if membership is None or not any(process.is_alive for process in membership.processes):
        return None
    return MembershipStatus("", membership).to_json(0.0)
