"""Routes of channels, direct and group channels, and their members."""

from oc_trio.ids import is_mattermost_id
from oc_trio.sandbox.errors import ApiError, bad_body, forbidden
from oc_trio.sandbox.records import ChannelRecord
from oc_trio.sandbox.request import OK, SandboxResponse
from oc_trio.sandbox.rest.call import RestCall, RestRoute, text_of
from oc_trio.sandbox.views import channel_member_view, channel_view


def _readable(call: RestCall) -> ChannelRecord:
    return call.world.channels.require_read(call.user, call.param("channel_id"))


def _own(call: RestCall) -> ChannelRecord:
    return call.world.channels.require_member(call.user, call.param("channel_id"))


async def create(call: RestCall) -> SandboxResponse:
    body = call.json()
    team = call.world.teams.require_member(call.user, text_of(body, "team_id"))
    kind, name = text_of(body, "type") or "O", text_of(body, "name")
    if kind not in {"O", "P"} or not name:
        raise bad_body("channel")
    title = text_of(body, "display_name") or name
    channel = call.world.membership.create_channel(call.user, team, name, title, kind)
    return SandboxResponse.json(channel_view(channel), 201)


async def direct(call: RestCall) -> SandboxResponse:
    ids = call.strings()
    if not all(is_mattermost_id(user_id) for user_id in ids):
        raise bad_body("user_ids")
    other = call.world.channels.require_direct_pair(call.user, ids)
    # 201 for a channel that was there already, too (contract scenario direct_create).
    return SandboxResponse.json(channel_view(call.world.membership.open_direct(call.user, other)), 201)


async def group(call: RestCall) -> SandboxResponse:
    return SandboxResponse.json(channel_view(call.world.membership.open_group(call.user, call.strings())), 201)


async def get(call: RestCall) -> SandboxResponse:
    return SandboxResponse.json(channel_view(_readable(call)))


def _by_name(call: RestCall, team_id: str) -> SandboxResponse:
    channel = call.world.channels.named(team_id, call.params["channel_name"])
    # An archived channel is 404 by name, and found by id (contract scenario channel_archived).
    if channel is None or channel.delete_at or not call.world.channels.may_read(call.user, channel):
        raise ApiError(404, "app.channel.get_by_name.missing.app_error", "Channel does not exist.")
    return SandboxResponse.json(channel_view(channel))


async def by_name(call: RestCall) -> SandboxResponse:
    return _by_name(call, call.param("team_id"))


async def by_names(call: RestCall) -> SandboxResponse:
    return _by_name(call, call.world.teams.get_name(call.params["team_name"]).id)


async def of_user(call: RestCall) -> SandboxResponse:
    user = call.world.users.require_self(call.user, call.param("user_id"))
    return SandboxResponse.json([channel_view(c) for c in call.world.channels.of_user(user.id)])


async def of_user_in_team(call: RestCall) -> SandboxResponse:
    user, team_id = call.world.users.require_self(call.user, call.param("user_id")), call.param("team_id")
    if not call.world.teams.is_member(user.id, team_id):
        raise forbidden()
    return SandboxResponse.json([channel_view(c) for c in call.world.channels.of_user(user.id, team_id)])


async def of_team(call: RestCall) -> SandboxResponse:
    team = call.world.teams.require_member(call.user, call.param("team_id"))
    open_ones = [c for c in call.world.channels.of_team(team.id) if c.type == "O" and not c.delete_at]
    return SandboxResponse.json([channel_view(channel) for channel in open_ones])


async def patch(call: RestCall) -> SandboxResponse:
    channel, body = _own(call), call.json()
    fields: dict[str, str] = {
        key: text_of(body, key) for key in ("name", "display_name", "header", "purpose") if key in body
    }
    call.world.membership.patch(channel, call.user, fields)
    return SandboxResponse.json(channel_view(channel))


async def privacy(call: RestCall) -> SandboxResponse:
    channel, wanted = _own(call), text_of(call.json(), "privacy")
    if wanted not in {"O", "P"} or channel.is_private_talk:
        raise bad_body("privacy")
    call.world.membership.convert(channel, wanted)
    return SandboxResponse.json(channel_view(channel))


async def archive(call: RestCall) -> SandboxResponse:
    call.world.membership.archive(_own(call), call.user)
    return OK


async def restore(call: RestCall) -> SandboxResponse:
    channel = _own(call)
    call.world.membership.restore(channel, call.user)
    return SandboxResponse.json(channel_view(channel))


async def stats(call: RestCall) -> SandboxResponse:
    channel = _readable(call)
    count = len(channel.members)
    body = {"channel_id": channel.id, "member_count": count, "guest_count": 0, "pinnedpost_count": 0, "files_count": 0}
    return SandboxResponse.json(body)


async def members(call: RestCall) -> SandboxResponse:
    channel = _own(call)
    page, per_page = call.page()
    ids = list(channel.members)[page * per_page : (page + 1) * per_page]
    return SandboxResponse.json([channel_member_view(channel, user_id) for user_id in ids])


async def members_by_ids(call: RestCall) -> SandboxResponse:
    channel = _own(call)
    user_ids = [user_id for user_id in call.strings() if user_id in channel.members]
    return SandboxResponse.json([channel_member_view(channel, user_id) for user_id in user_ids])


async def member(call: RestCall) -> SandboxResponse:
    channel, user_id = _readable(call), call.param("user_id")
    if user_id not in channel.members:
        raise call.world.channels.not_a_member()
    return SandboxResponse.json(channel_member_view(channel, user_id))


async def add_member(call: RestCall) -> SandboxResponse:
    channel = call.world.channels.get(call.param("channel_id"))
    user = call.world.users.get(text_of(call.json(), "user_id"))
    call.world.membership.add(channel, user, call.user)
    return SandboxResponse.json(channel_member_view(channel, user.id), 201)


async def remove_member(call: RestCall) -> SandboxResponse:
    channel = call.world.channels.get(call.param("channel_id"))
    call.world.membership.remove(channel, call.world.users.get(call.param("user_id")), call.user)
    return OK


async def view(_: RestCall) -> SandboxResponse:
    """Marking a channel as read; the sandbox keeps no counts."""
    return SandboxResponse.json({"status": "OK", "last_viewed_at_times": {}})


ROUTES = (
    RestRoute("POST", "/channels", create),
    RestRoute("POST", "/channels/direct", direct),
    RestRoute("POST", "/channels/group", group),
    RestRoute("POST", "/channels/members/{user_id}/view", view),
    RestRoute("GET", "/channels/{channel_id}", get),
    RestRoute("DELETE", "/channels/{channel_id}", archive),
    RestRoute("PUT", "/channels/{channel_id}/patch", patch),
    RestRoute("PUT", "/channels/{channel_id}/privacy", privacy),
    RestRoute("POST", "/channels/{channel_id}/restore", restore),
    RestRoute("GET", "/channels/{channel_id}/stats", stats),
    RestRoute("GET", "/channels/{channel_id}/members", members),
    RestRoute("POST", "/channels/{channel_id}/members", add_member),
    RestRoute("POST", "/channels/{channel_id}/members/ids", members_by_ids),
    RestRoute("GET", "/channels/{channel_id}/members/{user_id}", member),
    RestRoute("DELETE", "/channels/{channel_id}/members/{user_id}", remove_member),
    RestRoute("GET", "/teams/{team_id}/channels", of_team),
    RestRoute("GET", "/teams/{team_id}/channels/name/{channel_name:name}", by_name),
    RestRoute("GET", "/teams/name/{team_name:name}/channels/name/{channel_name:name}", by_names),
    RestRoute("GET", "/users/{user_id}/channels", of_user),
    RestRoute("GET", "/users/{user_id}/teams/{team_id}/channels", of_user_in_team),
)
