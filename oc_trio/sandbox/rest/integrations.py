"""Routes for integrations: buttons, dialogs, slash commands, webhooks."""

from urllib.parse import parse_qs

import attrs

from oc_trio.sandbox.commands import BUILT_IN, built_in_view, command_view
from oc_trio.sandbox.errors import bad_body, forbidden
from oc_trio.sandbox.request import OK, SandboxResponse
from oc_trio.sandbox.rest.call import Json, RestCall, RestRoute, text_of
from oc_trio.sandbox.views import hook_view


async def press(call: RestCall) -> SandboxResponse:
    body = call.json() if call.request.body else {}
    client_trigger = await call.world.interactions.press(
        call.user,
        call.param("post_id"),
        call.params["action_id"],
        text_of(body, "selected_option"),
        text_of(body, "cookie"),
    )
    return SandboxResponse.json({"status": "OK", "trigger_id": client_trigger})


async def open_dialog(call: RestCall) -> SandboxResponse:
    call.world.interactions.open_dialog(call.json())
    return OK


async def submit_dialog(call: RestCall) -> SandboxResponse:
    return SandboxResponse.json(await call.world.interactions.submit_dialog(call.user, call.json()))


async def create_command(call: RestCall) -> SandboxResponse:
    return SandboxResponse.json(command_view(call.world.commands.create(call.user, call.json())), 201)


async def commands(call: RestCall) -> SandboxResponse:
    team_id, custom_only = call.args.get("team_id", ""), call.args.get("custom_only") == "true"
    if not team_id:
        raise bad_body("team_id")
    registered = call.world.commands.of_team(team_id)
    if custom_only:
        call.world.commands.require_manager(call.user, team_id)
        return SandboxResponse.json([command_view(command) for command in registered])
    return _everybodys(call, team_id)


def _everybodys(call: RestCall, team_id: str) -> SandboxResponse:
    if not call.world.teams.is_member(call.user.id, team_id):
        raise forbidden()
    # Tokens and URLs are blank in this list, also for those who may manage the commands (contract scenario
    # command_list_for_team).
    custom = [command_view(command, reveal=False) for command in call.world.commands.of_team(team_id)]
    return SandboxResponse.json([*map(built_in_view, BUILT_IN), *custom])


async def autocomplete_commands(call: RestCall) -> SandboxResponse:
    return _everybodys(call, call.param("team_id"))


async def get_command(call: RestCall) -> SandboxResponse:
    return SandboxResponse.json(command_view(call.world.commands.managed(call.user, call.param("command_id"))))


async def update_command(call: RestCall) -> SandboxResponse:
    command = call.world.commands.update(call.user, call.param("command_id"), call.json())
    return SandboxResponse.json(command_view(command))


async def regenerate_token(call: RestCall) -> SandboxResponse:
    return SandboxResponse.json({"token": call.world.commands.regenerate(call.user, call.param("command_id"))})


async def delete_command(call: RestCall) -> SandboxResponse:
    call.world.commands.delete(call.user, call.param("command_id"))
    return OK


async def execute_command(call: RestCall) -> SandboxResponse:
    return SandboxResponse.json(await call.world.slash.execute(call.user, call.json()))


async def answer_late(call: RestCall) -> SandboxResponse:
    call.world.slash.answer_late(call.params["hook_id"], call.request.header("content-type"), call.request.body)
    return SandboxResponse.text("ok")


async def create_hook(call: RestCall) -> SandboxResponse:
    return SandboxResponse.json(hook_view(call.world.webhooks.create(call.user, call.json())), 201)


async def hooks(call: RestCall) -> SandboxResponse:
    return SandboxResponse.json([hook_view(hook) for hook in call.world.webhooks.of_user(call.user.id)])


async def post_hook(call: RestCall) -> SandboxResponse:
    body: Json
    if call.request.header("content-type").startswith("application/x-www-form-urlencoded"):
        form = parse_qs(call.request.body.decode("utf-8", "replace"))
        # Mattermost takes a form with the JSON in `payload`, as Slack's webhooks do.
        payload = form.get("payload", [""])[0].encode()
        body = attrs.evolve(call, request=attrs.evolve(call.request, body=payload)).json()
    else:
        body = call.json()
    call.world.webhooks.post(call.params["hook_id"], body)
    return SandboxResponse.text("ok")


ROUTES = (
    RestRoute("POST", "/posts/{post_id}/actions/{action_id}", press),
    # Without a token: the trigger id in the body is the permission (contract scenario dialog_open).
    RestRoute("POST", "/actions/dialogs/open", open_dialog, public=True),
    RestRoute("POST", "/actions/dialogs/submit", submit_dialog),
    RestRoute("POST", "/commands", create_command),
    RestRoute("GET", "/commands", commands),
    RestRoute("POST", "/commands/execute", execute_command),
    RestRoute("GET", "/commands/{command_id}", get_command),
    RestRoute("PUT", "/commands/{command_id}", update_command),
    RestRoute("DELETE", "/commands/{command_id}", delete_command),
    RestRoute("PUT", "/commands/{command_id}/regen_token", regenerate_token),
    RestRoute("GET", "/teams/{team_id}/commands/autocomplete", autocomplete_commands),
    RestRoute("POST", "/hooks/incoming", create_hook),
    RestRoute("GET", "/hooks/incoming", hooks),
)

# Not under /api/v4: integrations call these without a token.
OUTSIDE_ROUTES = (
    RestRoute("POST", "/hooks/commands/{hook_id}", answer_late, public=True),
    RestRoute("POST", "/hooks/{hook_id}", post_hook, public=True),
)
