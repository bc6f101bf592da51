"""Routes of teams and their members."""

from oc_trio.sandbox.errors import ApiError, forbidden
from oc_trio.sandbox.request import OK, SandboxResponse
from oc_trio.sandbox.rest.call import RestCall, RestRoute, text_of
from oc_trio.sandbox.views import team_member_view, team_view


async def create(call: RestCall) -> SandboxResponse:
    body = call.json()
    name, title = text_of(body, "name"), text_of(body, "display_name")
    team = call.world.membership.create_team(call.user, name, title, text_of(body, "type") or "O")
    return SandboxResponse.json(team_view(team), 201)


async def get(call: RestCall) -> SandboxResponse:
    return SandboxResponse.json(team_view(call.world.teams.require_member(call.user, call.param("team_id"))))


async def get_by_name(call: RestCall) -> SandboxResponse:
    team = call.world.teams.get_name(call.params["team_name"])
    return SandboxResponse.json(team_view(call.world.teams.require_member(call.user, team.id)))


async def listing(call: RestCall) -> SandboxResponse:
    teams = call.world.teams
    mine = teams.all() if call.user.is_admin else teams.of(call.user.id)
    return SandboxResponse.json([team_view(team) for team in mine])


async def of_user(call: RestCall) -> SandboxResponse:
    user = call.world.users.require_self(call.user, call.param("user_id"))
    return SandboxResponse.json([team_view(team) for team in call.world.teams.of(user.id)])


async def archive(call: RestCall) -> SandboxResponse:
    team = call.world.teams.get(call.param("team_id"))
    if not call.world.teams.may_administer(call.user, team.id):
        raise forbidden()
    team.delete_at = team.update_at = call.world.clock.now()
    return OK


async def members(call: RestCall) -> SandboxResponse:
    team = call.world.teams.require_member(call.user, call.param("team_id"))
    page, per_page = call.page()
    ids = list(team.roles)[page * per_page : (page + 1) * per_page]
    return SandboxResponse.json([team_member_view(team, user_id) for user_id in ids])


async def member(call: RestCall) -> SandboxResponse:
    team, user_id = call.world.teams.require_member(call.user, call.param("team_id")), call.param("user_id")
    if user_id not in team.roles:
        raise ApiError(404, "app.team.get_member.missing.app_error", "No team member found.")
    return SandboxResponse.json(team_member_view(team, user_id))


async def add_member(call: RestCall) -> SandboxResponse:
    team = call.world.teams.get(call.param("team_id"))
    user = call.world.users.get(text_of(call.json(), "user_id"))
    # Members may bring others in; nobody else may join by themselves.
    if not call.user.is_admin and call.user.id not in team.roles:
        raise forbidden()
    call.world.membership.join_team(team, user)
    return SandboxResponse.json(team_member_view(team, user.id), 201)


async def remove_member(call: RestCall) -> SandboxResponse:
    team, user = call.world.teams.get(call.param("team_id")), call.world.users.get(call.param("user_id"))
    if user.id != call.user.id and not call.world.teams.may_administer(call.user, team.id):
        raise forbidden()
    call.world.membership.leave_team(team, user)
    return OK


async def set_roles(call: RestCall) -> SandboxResponse:
    team, user_id = call.world.teams.get(call.param("team_id")), call.param("user_id")
    if not call.world.teams.may_administer(call.user, team.id):
        raise forbidden()
    if user_id not in team.roles:
        raise ApiError(404, "app.team.get_member.missing.app_error", "No team member found.")
    team.roles[user_id] = text_of(call.json(), "roles")
    return OK


ROUTES = (
    RestRoute("POST", "/teams", create),
    RestRoute("GET", "/teams", listing),
    RestRoute("GET", "/teams/name/{team_name:name}", get_by_name),
    RestRoute("GET", "/teams/{team_id}", get),
    RestRoute("DELETE", "/teams/{team_id}", archive),
    RestRoute("GET", "/users/{user_id}/teams", of_user),
    RestRoute("GET", "/teams/{team_id}/members", members),
    RestRoute("POST", "/teams/{team_id}/members", add_member),
    RestRoute("GET", "/teams/{team_id}/members/{user_id}", member),
    RestRoute("DELETE", "/teams/{team_id}/members/{user_id}", remove_member),
    RestRoute("PUT", "/teams/{team_id}/members/{user_id}/roles", set_roles),
)
