"""Routes for integrations: buttons, dialogs, slash commands, webhooks."""

from urllib.parse import parse_qs

import attrs

from oc_trio.sandbox.commands import BUILT_IN, built_in_view, command_view
from oc_trio.sandbox.errors import bad_body, forbidden
from oc_trio.sandbox.request import OK, SandboxResponse
from oc_trio.sandbox.rest.call import Call, Json, Route, text_of
from oc_trio.sandbox.views import hook_view


async def press(call: Call) -> SandboxResponse:
    body = call.json() if call.request.body else {}
    client_trigger = await call.world.interactions.press(
        call.user,
        call.param("post_id"),
        call.params["action_id"],
        text_of(body, "selected_option"),
        text_of(body, "cookie"),
    )
    return SandboxResponse.json({"status": "OK", "trigger_id": client_trigger})


async def open_dialog(call: Call) -> SandboxResponse:
    call.world.interactions.open_dialog(call.json())
    return OK


async def submit_dialog(call: Call) -> SandboxResponse:
    return SandboxResponse.json(await call.world.interactions.submit_dialog(call.user, call.json()))


async def create_command(call: Call) -> SandboxResponse:
    return SandboxResponse.json(command_view(call.world.commands.create(call.user, call.json())), 201)


async def commands(call: Call) -> SandboxResponse:
    team_id, custom_only = call.args.get("team_id", ""), call.args.get("custom_only") == "true"
    if not team_id:
        raise bad_body("team_id")
    registered = call.world.commands.of_team(team_id)
    if custom_only:
        call.world.commands.require_manager(call.user, team_id)
        return SandboxResponse.json([command_view(command) for command in registered])
    return _everybodys(call, team_id)


def _everybodys(call: Call, team_id: str) -> SandboxResponse:
    if not call.world.teams.is_member(call.user.id, team_id):
        raise forbidden()
    custom = [command_view(command, reveal=False) for command in call.world.commands.of_team(team_id)]
    return SandboxResponse.json([*map(built_in_view, BUILT_IN), *custom])


async def autocomplete_commands(call: Call) -> SandboxResponse:
    return _everybodys(call, call.param("team_id"))


async def get_command(call: Call) -> SandboxResponse:
    return SandboxResponse.json(command_view(call.world.commands.managed(call.user, call.param("command_id"))))


async def update_command(call: Call) -> SandboxResponse:
    command = call.world.commands.update(call.user, call.param("command_id"), call.json())
    return SandboxResponse.json(command_view(command))


async def regenerate_token(call: Call) -> SandboxResponse:
    return SandboxResponse.json({"token": call.world.commands.regenerate(call.user, call.param("command_id"))})


async def delete_command(call: Call) -> SandboxResponse:
    call.world.commands.delete(call.user, call.param("command_id"))
    return OK


async def execute_command(call: Call) -> SandboxResponse:
    return SandboxResponse.json(await call.world.slash.execute(call.user, call.json()))


async def answer_late(call: Call) -> SandboxResponse:
    call.world.slash.answer_late(call.params["hook_id"], call.request.header("content-type"), call.request.body)
    return SandboxResponse.text("ok")


async def create_hook(call: Call) -> SandboxResponse:
    return SandboxResponse.json(hook_view(call.world.webhooks.create(call.user, call.json())), 201)


async def hooks(call: Call) -> SandboxResponse:
    return SandboxResponse.json([hook_view(hook) for hook in call.world.webhooks.of_user(call.user.id)])


async def post_hook(call: Call) -> SandboxResponse:
    body: Json
    if call.request.header("content-type").startswith("application/x-www-form-urlencoded"):
        form = parse_qs(call.request.body.decode("utf-8", "replace"))
        payload = form.get("payload", [""])[0].encode()
        body = attrs.evolve(call, request=attrs.evolve(call.request, body=payload)).json()
    else:
        body = call.json()
    call.world.webhooks.post(call.params["hook_id"], body)
    return SandboxResponse.text("ok")


ROUTES = (
    Route("POST", "/posts/{post_id}/actions/{action_id}", press),
    Route("POST", "/actions/dialogs/open", open_dialog, public=True),
    Route("POST", "/actions/dialogs/submit", submit_dialog),
    Route("POST", "/commands", create_command),
    Route("GET", "/commands", commands),
    Route("POST", "/commands/execute", execute_command),
    Route("GET", "/commands/{command_id}", get_command),
    Route("PUT", "/commands/{command_id}", update_command),
    Route("DELETE", "/commands/{command_id}", delete_command),
    Route("PUT", "/commands/{command_id}/regen_token", regenerate_token),
    Route("GET", "/teams/{team_id}/commands/autocomplete", autocomplete_commands),
    Route("POST", "/hooks/incoming", create_hook),
    Route("GET", "/hooks/incoming", hooks),
)

# Not under /api/v4: integrations call these without a token.
OUTSIDE_ROUTES = (
    Route("POST", "/hooks/commands/{hook_id}", answer_late, public=True),
    Route("POST", "/hooks/{hook_id}", post_hook, public=True),
)
