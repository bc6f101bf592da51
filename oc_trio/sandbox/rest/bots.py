"""Routes of bots and access tokens."""

from oc_trio.sandbox.errors import ApiError, forbidden
from oc_trio.sandbox.records import UserRecord
from oc_trio.sandbox.request import OK, SandboxResponse
from oc_trio.sandbox.rest.call import RestCall, RestRoute, text_of
from oc_trio.sandbox.views import bot_view, token_view


def _admin(call: RestCall) -> UserRecord:
    if not call.user.is_admin:
        raise forbidden()
    return call.user


def _bot(call: RestCall) -> UserRecord:
    _admin(call)
    bot = call.world.users.find(call.param("bot_id"))
    if bot is None or not bot.is_bot:
        raise ApiError(404, "store.sql_bot.get.missing.app_error", "Bot does not exist.")
    return bot


async def create(call: RestCall) -> SandboxResponse:
    owner, body = _admin(call), call.json()
    bot = call.world.users.create_bot(
        text_of(body, "username"),
        display_name=text_of(body, "display_name"),
        description=text_of(body, "description"),
        owner_id=owner.id,
    )
    return SandboxResponse.json(bot_view(bot), 201)


async def get(call: RestCall) -> SandboxResponse:
    return SandboxResponse.json(bot_view(_bot(call)))


async def listing(call: RestCall) -> SandboxResponse:
    _admin(call)
    return SandboxResponse.json([bot_view(user) for user in call.world.users.all() if user.is_bot])


async def disable(call: RestCall) -> SandboxResponse:
    bot = _bot(call)
    # Its commands go on (contract scenario command_survives_bot).
    call.world.users.deactivate(bot)
    return SandboxResponse.json(bot_view(bot))


async def enable(call: RestCall) -> SandboxResponse:
    bot = _bot(call)
    call.world.users.activate(bot)
    return SandboxResponse.json(bot_view(bot))


async def create_token(call: RestCall) -> SandboxResponse:
    user = call.world.users.require_self(_admin(call), call.param("user_id"))
    # The only response that has the token's value (contract scenario bot_create_and_token).
    access = call.world.users.create_token(user.id, text_of(call.json(), "description"))
    return SandboxResponse.json(token_view(access, reveal=True))


async def tokens(call: RestCall) -> SandboxResponse:
    user = call.world.users.require_self(call.user, call.param("user_id"))
    return SandboxResponse.json([token_view(access) for access in call.world.users.tokens_of(user.id)])


async def token(call: RestCall) -> SandboxResponse:
    _admin(call)
    return SandboxResponse.json(token_view(call.world.users.token(call.param("token_id"))))


async def revoke(call: RestCall) -> SandboxResponse:
    access = call.world.users.token(text_of(call.json(), "token_id"))
    call.world.users.require_self(call.user, access.user_id)
    call.world.users.revoke_token(access.id)
    return OK


ROUTES = (
    RestRoute("POST", "/bots", create),
    RestRoute("GET", "/bots", listing),
    RestRoute("GET", "/bots/{bot_id}", get),
    RestRoute("POST", "/bots/{bot_id}/disable", disable),
    RestRoute("POST", "/bots/{bot_id}/enable", enable),
    RestRoute("POST", "/users/tokens/revoke", revoke),
    RestRoute("GET", "/users/tokens/{token_id}", token),
    RestRoute("POST", "/users/{user_id}/tokens", create_token),
    RestRoute("GET", "/users/{user_id}/tokens", tokens),
)
