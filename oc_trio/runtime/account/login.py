"""Logs in: asks the chat server for the token's own user until it answers."""

from collections.abc import Callable

import trio

from oc_trio.core.backoff import RetryPolicy
from oc_trio.core.connection import Retry
from oc_trio.core.entities import User
from oc_trio.errors import MattermostError, MattermostRejected
from oc_trio.ids import AccountId
from oc_trio.mattermost.client import Api
from oc_trio.mattermost.connection_inputs import pause_after
from oc_trio.mattermost.first_contact import fetch_bot
from oc_trio.runtime.account.connection import AUTH_FAILED, UNREACHABLE
from oc_trio.runtime.account.token import Token
from oc_trio.telemetry.log import get_logger

log = get_logger(part="account")


async def cancel_on(event: trio.Event, scope: trio.CancelScope) -> None:
    """Cancel `scope` once `event` happens."""
    await event.wait()
    scope.cancel()


async def fetch_own_user(
    account: AccountId,
    api: Api,
    token: Token,
    show: Callable[[str, str], None],
    random: Callable[[], float],
    retries: RetryPolicy,
) -> User:
    """Ask until the server answers. After a refused token the pauses are longer, and the token is read again.

    `show` is called with the account's state and the reason.
    """
    attempt, was_refused = 0, False
    while True:
        try:
            return await fetch_bot(api)
        except MattermostError as problem:
            failure = problem
        refused = isinstance(failure, MattermostRejected) and failure.is_auth
        show(AUTH_FAILED if refused else UNREACHABLE, str(failure))
        # At once: the refusal was about the token that was replaced.
        # Read at each refusal: who rotates the token may write it minutes after the old one was revoked.
        if refused and await token.reread():
            continue
        # Failures of the other kind don't count: a network that was down says nothing about the token.
        attempt = attempt + 1 if refused is was_refused else 0
        was_refused = refused
        wait = pause_after(Retry(attempt, str(failure), auth=refused), failure, retries, random())
        log.error(
            "the server refuses the token" if refused else "the server can't be reached",
            account=account,
            problem=str(failure),
            retry_in=round(wait, 1),
        )
        await trio.sleep(wait)
