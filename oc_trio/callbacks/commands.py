"""Answers slash command callbacks: parses the body, finds the account, calls its handler.

Whether the token is still valid on the server, and whether the user may do this, is decided by `CommandEndpoint.call`.
"""

from collections.abc import Mapping

from oc_trio.callbacks.endpoints import CommandEndpoint
from oc_trio.callbacks.refusals import RefusalLog
from oc_trio.callbacks.reply import EndpointKind, Reply, chat_reply, refused
from oc_trio.core import slash
from oc_trio.errors import CallbackRefused
from oc_trio.ids import AccountId
from oc_trio.telemetry.log import get_logger

log = get_logger(part="callbacks")


async def answer_command(
    accounts: Mapping[AccountId, CommandEndpoint], body: bytes, content_type: str, refusals: RefusalLog
) -> Reply:
    """The reply to a callback on a path of `accounts`."""
    call: slash.SlashCall | None = None
    endpoint: CommandEndpoint | None = None
    try:
        call = slash.parse_call(body, content_type)
        endpoint = await _find_account(call, accounts)
        return chat_reply(slash.ephemeral(await endpoint.call(call)), harmless=endpoint.harmless)
    except CallbackRefused as problem:
        if call is not None:  # what is no call at all is not Mattermost's
            refusals.command(problem, call)
            for each in accounts.values() if endpoint is None else (endpoint,):
                each.on_refused(f"/{call.trigger[:64]}: {problem.reason}")
        return refused(EndpointKind.COMMAND, problem)


async def _find_account(call: slash.SlashCall, accounts: Mapping[AccountId, CommandEndpoint]) -> CommandEndpoint:
    """As `find_account`, and once more where another process may have registered the command meanwhile."""
    try:
        return find_account(call, accounts)
    except CallbackRefused:
        refreshes = {endpoint.refresh for endpoint in accounts.values() if endpoint.refresh is not None}
        if not refreshes:
            raise
    for refresh in refreshes:
        await refresh()
    return find_account(call, accounts)


def find_account(call: slash.SlashCall, accounts: Mapping[AccountId, CommandEndpoint]) -> CommandEndpoint:
    """The account that the call is for: by its token, else (after the token was regenerated) by team and trigger.

    Raises CallbackRefused: 503 while no account is ready, 401 where no account matches, 409 where two do.
    """
    ready = {
        account: registered
        for account, endpoint in accounts.items()
        if (registered := endpoint.registered()) is not None
    }
    if not ready:
        raise CallbackRefused(503, slash.NOT_READY)
    by_token = [account for account, registered in ready.items() if slash.match_call(call, registered) is not None]
    matches = by_token or [account for account, registered in ready.items() if slash.find_registered(call, registered)]
    if not matches:
        raise CallbackRefused(401, slash.INVALID_TOKEN)
    if len(matches) > 1:
        log.warning("slash callback matches several accounts", accounts=sorted(matches))
        raise CallbackRefused(409, slash.AMBIGUOUS)
    return accounts[matches[0]]
