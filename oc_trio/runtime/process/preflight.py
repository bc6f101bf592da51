"""Asks Mattermost whose the tokens are before anything is served: a start that can't work fails with the reason."""

import math
from collections.abc import Collection

import trio

from oc_trio.config.accounts import Account
from oc_trio.errors import ConfigError, MattermostError, OcTrioError, Problem
from oc_trio.mattermost.address_guard import AddressRefused
from oc_trio.mattermost.client import Api
from oc_trio.mattermost.first_contact import failed_start, fetch_bot
from oc_trio.mattermost.transport import Transport, open_server
from oc_trio.runtime.account.dependencies import Dependencies
from oc_trio.runtime.policies import net_policy


async def run_preflight(
    accounts: Collection[Account], dependencies: Dependencies, *, at_most: float = math.inf
) -> None:
    """Fail at once, with the reason, where no account can be served; go on where at least one can.

    Other processes may serve them: this asks only whose the tokens are. A server that is silent for `at_most` seconds
    is no reason to fail.
    """
    failures: list[OcTrioError] = []
    with trio.move_on_after(at_most):
        async with trio.open_nursery() as nursery:
            for account in accounts:
                nursery.start_soon(_probe, account, dependencies, failures)
    if failures and len(failures) == len(accounts):
        raise failures[0]


async def _probe(account: Account, dependencies: Dependencies, failures: list[OcTrioError]) -> None:
    transport = dependencies.transport(account.base_url, net_policy(account))
    async with open_server(account.base_url, dependencies.ssl_context, http_transport=transport) as server:
        try:
            await fetch_bot(Api(Transport(server, account.bot_token.reveal)))
        except AddressRefused as refusal:
            path = f"channels.mattermost.baseUrl of account {account.id}"
            failures.append(ConfigError(Problem(path, str(refusal))))
        except MattermostError as problem:
            failures.append(failed_start(account.base_url, account.id, problem))
