"""One direct message from a command, without a gateway: open the channel, write once, go."""

import random
import ssl

import trio

from oc_trio.config.accounts import Account
from oc_trio.core.entities import NewPost
from oc_trio.errors import MattermostError
from oc_trio.ids import UserId
from oc_trio.mattermost.client import Api
from oc_trio.mattermost.direct import open_direct_channels
from oc_trio.mattermost.sender import create_post_surely
from oc_trio.mattermost.transport import Transport, open_origin
from oc_trio.runtime.policies import net_policy
from oc_trio.runtime.wiring import Wiring


async def tell(account: Account, user: UserId, text: str, *, key: str) -> str:
    """Write `text` to `user` as the account's bot; empty when done, else why not. The same `key` writes once."""
    await trio.lowlevel.checkpoint()
    context = None if account.base_url.startswith("http://") else ssl.create_default_context()
    transport = Wiring(ssl_context=context).transport(account.base_url, net_policy(account))
    try:
        async with open_origin(account.base_url, context, http_transport=transport) as origin:
            api = Api(Transport(origin, account.bot_token.reveal))
            bot = await api.users.me()
            async with open_direct_channels(api, bot.id, random=random.random) as direct:
                channel = await direct.channel(user)
                new = NewPost(channel.id, text, pending_post_id=f"{bot.id}:{key}.{user}")
                await create_post_surely(api, new, bot_id=bot.id, random=random.random)
    except MattermostError as problem:
        return str(problem) or type(problem).__name__
    return ""
