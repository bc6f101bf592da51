"""Sends one direct message with connections of its own: from a command, without a gateway, or beside the accounts."""

from oc_trio.config.accounts import Account
from oc_trio.config.load import Loaded
from oc_trio.core.entities import NewPost
from oc_trio.core.ratelimit import Lane
from oc_trio.errors import MattermostError
from oc_trio.ids import UserId
from oc_trio.runtime.account.dependencies import Dependencies
from oc_trio.runtime.account.outbound_client import dependencies_for, open_outbound_client


async def send_direct(
    loaded: Loaded,
    account: Account,
    user: UserId,
    text: str,
    *,
    key: str,
    dependencies: Dependencies | None = None,
) -> str:
    """Post `text` to `user` as the account's bot. Returns why that failed, or "". The same `key` posts once.

    `dependencies` are those of a running gateway; None means real sockets.
    """
    dependencies = dependencies or await dependencies_for(account)
    try:
        async with open_outbound_client(loaded, account, dependencies) as outbound:
            channel = await outbound.direct.channel(user)
            # Not through the outbox: a command has no delivery task that would go on with it.
            new = NewPost(channel.id, text, pending_post_id=f"{outbound.user.id}:{key}.{user}")
            await outbound.sender.create(new, lane=Lane.FINAL)
    except MattermostError as problem:
        return str(problem) or type(problem).__name__
    return ""
