"""Routes of bots and access tokens."""

from oc_trio.sandbox.errors import Refused, forbidden
from oc_trio.sandbox.records import User
from oc_trio.sandbox.request import OK, SandboxResponse
from oc_trio.sandbox.rest.call import Call, Route, text_of
from oc_trio.sandbox.views import bot_view, token_view


def _admin(call: Call) -> User:
    if not call.user.is_admin:
        raise forbidden()
    return call.user


def _bot(call: Call) -> User:
    _admin(call)
    bot = call.world.users.find(call.param("bot_id"))
    if bot is None or not bot.is_bot:
        raise Refused(404, "store.sql_bot.get.missing.app_error", "Bot does not exist.")
    return bot


async def create(call: Call) -> SandboxResponse:
    owner, body = _admin(call), call.json()
    bot = call.world.users.create_bot(
        text_of(body, "username"),
        display_name=text_of(body, "display_name"),
        description=text_of(body, "description"),
        owner_id=owner.id,
    )
    return SandboxResponse.json(bot_view(bot), 201)


async def get(call: Call) -> SandboxResponse:
    return SandboxResponse.json(bot_view(_bot(call)))


async def listing(call: Call) -> SandboxResponse:
    _admin(call)
    return SandboxResponse.json([bot_view(user) for user in call.world.users.all() if user.is_bot])


async def disable(call: Call) -> SandboxResponse:
    bot = _bot(call)
    call.world.users.deactivate(bot)
    return SandboxResponse.json(bot_view(bot))


async def enable(call: Call) -> SandboxResponse:
    bot = _bot(call)
    call.world.users.activate(bot)
    return SandboxResponse.json(bot_view(bot))


async def create_token(call: Call) -> SandboxResponse:
    user = call.world.users.require_self(_admin(call), call.param("user_id"))
    access = call.world.users.create_token(user.id, text_of(call.json(), "description"))
    return SandboxResponse.json(token_view(access, reveal=True))


async def tokens(call: Call) -> SandboxResponse:
    user = call.world.users.require_self(call.user, call.param("user_id"))
    return SandboxResponse.json([token_view(access) for access in call.world.users.tokens_of(user.id)])


async def token(call: Call) -> SandboxResponse:
    _admin(call)
    return SandboxResponse.json(token_view(call.world.users.token(call.param("token_id"))))


async def revoke(call: Call) -> SandboxResponse:
    access = call.world.users.token(text_of(call.json(), "token_id"))
    call.world.users.require_self(call.user, access.user_id)
    call.world.users.revoke_token(access.id)
    return OK


ROUTES = (
    Route("POST", "/bots", create),
    Route("GET", "/bots", listing),
    Route("GET", "/bots/{bot_id}", get),
    Route("POST", "/bots/{bot_id}/disable", disable),
    Route("POST", "/bots/{bot_id}/enable", enable),
    Route("POST", "/users/tokens/revoke", revoke),
    Route("GET", "/users/tokens/{token_id}", token),
    Route("POST", "/users/{user_id}/tokens", create_token),
    Route("GET", "/users/{user_id}/tokens", tokens),
)
