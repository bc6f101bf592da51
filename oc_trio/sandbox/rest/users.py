"""Routes of users: login, lookup, status, search, and what a user may change."""

from oc_trio.sandbox.errors import ApiError, bad_body, forbidden
from oc_trio.sandbox.hub import Broadcast
from oc_trio.sandbox.records import UserRecord
from oc_trio.sandbox.request import OK, SandboxResponse
from oc_trio.sandbox.rest.call import RestCall, RestRoute, text_of
from oc_trio.sandbox.users import USERNAME
from oc_trio.sandbox.views import status_view, user_view


def _shown(call: RestCall, user: UserRecord) -> SandboxResponse:
    own = call.session is not None and (call.user.id == user.id or call.user.is_admin)
    return SandboxResponse.json(user_view(user, own=own))


async def login(call: RestCall) -> SandboxResponse:
    body = call.json()
    session = call.world.users.login(text_of(body, "login_id"), text_of(body, "password"))
    user = call.world.users.get(session.user_id)
    # The session's token is in the header, not in the body (contract scenario login_ok).
    return SandboxResponse.json(user_view(user, own=True), headers=(("token", session.token),))


async def logout(call: RestCall) -> SandboxResponse:
    if call.session is not None:
        call.world.users.logout(call.session)
    return OK


async def create(call: RestCall) -> SandboxResponse:
    body = call.json()
    username, email = text_of(body, "username"), text_of(body, "email")
    user = call.world.users.create(username, email=email, password=text_of(body, "password"))
    call.world.hub.publish("new_user", {"user_id": user.id}, Broadcast())
    return SandboxResponse.json(user_view(user, own=True), 201)


async def get(call: RestCall) -> SandboxResponse:
    return _shown(call, call.world.users.get(call.param("user_id")))


async def get_by_name(call: RestCall) -> SandboxResponse:
    name = call.params["username"]
    # Upper case is 400 and not 404, and a leading @ is not taken off (contract scenario users_by_username).
    if not USERNAME.fullmatch(name):
        raise bad_body("username")
    user = call.world.users.find_name(name)
    if user is None:
        raise ApiError(404, "app.user.get_by_username.app_error", "Unable to find an account matching your username.")
    return _shown(call, user)


async def by_ids(call: RestCall) -> SandboxResponse:
    users = (call.world.users.find(user_id) for user_id in call.strings())
    # Unknown ones are left out without an error (contract scenario users_many).
    return SandboxResponse.json([user_view(user) for user in users if user is not None])


async def by_names(call: RestCall) -> SandboxResponse:
    users = (call.world.users.find_name(name) for name in call.strings())
    return SandboxResponse.json([user_view(user) for user in users if user is not None])


def _matching(call: RestCall, term: str, team_id: str) -> list[UserRecord]:
    wanted = term.lower().removeprefix("@")
    return [
        user
        for user in call.world.users.all()
        if not user.delete_at
        and (not team_id or call.world.teams.is_member(user.id, team_id))
        and any(name.lower().startswith(wanted) for name in (user.username, user.first_name, user.nickname))
    ]


async def search(call: RestCall) -> SandboxResponse:
    body = call.json()
    term = text_of(body, "term")
    if not term:
        raise bad_body("term")
    return SandboxResponse.json([user_view(user) for user in _matching(call, term, text_of(body, "team_id"))])


async def autocomplete(call: RestCall) -> SandboxResponse:
    args = call.args
    users = _matching(call, args.get("name", ""), args.get("in_team", ""))
    channel = call.world.channels.find(args.get("in_channel", ""))
    if channel is None:
        return SandboxResponse.json({"users": [user_view(user) for user in users]})
    inside = [user_view(user) for user in users if user.id in channel.members]
    outside = [user_view(user) for user in users if user.id not in channel.members]
    return SandboxResponse.json({"users": inside, "out_of_channel": outside})


async def listing(call: RestCall) -> SandboxResponse:
    page, per_page = call.page()
    users = call.world.users.all()[page * per_page : (page + 1) * per_page]
    return SandboxResponse.json([user_view(user) for user in users])


async def patch(call: RestCall) -> SandboxResponse:
    user, body = call.world.users.require_self(call.user, call.param("user_id")), call.json()
    if text_of(body, "username"):
        call.world.users.rename(user, text_of(body, "username"))
    for key in ("first_name", "last_name", "nickname", "position"):
        setattr(user, key, text_of(body, key) if key in body else getattr(user, key))
    user.update_at = call.world.clock.now()
    # Two events: the user's own has what others don't see.
    call.world.hub.publish("user_updated", {"user": user_view(user)}, Broadcast(omit_users=(user.id,)))
    call.world.hub.publish("user_updated", {"user": user_view(user, own=True)}, Broadcast(user_id=user.id))
    return _shown(call, user)


async def deactivate(call: RestCall) -> SandboxResponse:
    call.world.users.deactivate(call.world.users.require_self(call.user, call.param("user_id")))
    return OK


async def status(call: RestCall) -> SandboxResponse:
    user_id = call.param("user_id")
    user = call.world.users.find(user_id)
    # A user who never connected has a status, too (contract scenario user_status).
    nobody = {"user_id": user_id, "status": "offline", "manual": False, "last_activity_at": 0}
    return SandboxResponse.json(status_view(user) if user is not None else nobody)


async def statuses(call: RestCall) -> SandboxResponse:
    users = (call.world.users.find(user_id) for user_id in call.strings())
    return SandboxResponse.json([status_view(user) for user in users if user is not None])


async def set_status(call: RestCall) -> SandboxResponse:
    user, wanted = call.world.users.require_self(call.user, call.param("user_id")), text_of(call.json(), "status")
    if wanted not in {"online", "away", "dnd", "offline"}:
        raise bad_body("status")
    call.world.set_status(user, wanted, manual=wanted != "online")
    return SandboxResponse.json(status_view(user))


async def typing(call: RestCall) -> SandboxResponse:
    user_id, body = call.param("user_id"), call.json()
    if user_id != call.user.id:
        raise forbidden()
    channel = call.world.channels.require_member(call.user, text_of(body, "channel_id"))
    call.world.actions.publish_typing(user_id, channel.id, text_of(body, "parent_id"))
    return OK


ROUTES = (
    RestRoute("POST", "/users/login", login, public=True),
    RestRoute("POST", "/users/logout", logout, public=True),
    RestRoute("POST", "/users", create, public=True),
    RestRoute("GET", "/users", listing),
    RestRoute("GET", "/users/autocomplete", autocomplete),
    RestRoute("POST", "/users/search", search),
    RestRoute("POST", "/users/ids", by_ids),
    RestRoute("POST", "/users/usernames", by_names),
    RestRoute("POST", "/users/status/ids", statuses),
    RestRoute("GET", "/users/username/{username:name}", get_by_name),
    RestRoute("GET", "/users/{user_id}", get),
    RestRoute("DELETE", "/users/{user_id}", deactivate),
    RestRoute("PUT", "/users/{user_id}/patch", patch),
    RestRoute("GET", "/users/{user_id}/status", status),
    RestRoute("PUT", "/users/{user_id}/status", set_status),
    RestRoute("POST", "/users/{user_id}/typing", typing),
)
