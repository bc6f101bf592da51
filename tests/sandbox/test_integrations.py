"""Buttons and slash commands with an integration in the same process."""

import json
from typing import Any
from urllib.parse import parse_qsl

import pytest
import trio
from trio.testing import MockClock

from oc_trio.sandbox.outgoing import IntegrationResponse
from tests.sandbox.conftest import SandboxClients


async def never() -> IntegrationResponse:
    await trio.sleep_forever()
    raise AssertionError("unreachable")


def button(url: str) -> dict[str, Any]:
    return {"attachments": [{"text": "?", "actions": [{"id": "ok", "name": "OK", "integration": {"url": url}}]}]}


async def test_a_press_calls_the_integration_and_applies_its_update(sandbox: SandboxClients) -> None:
    """The presser is named in the callback; the answer's update changes the post."""
    url = "http://hook/ok"

    async def answer() -> IntegrationResponse:
        return IntegrationResponse(200, "application/json", b'{"update": {"message": "done", "props": {}}}')

    sandbox.integration.script[url] = answer
    post = sandbox.world.post_as(sandbox.demo.bot, sandbox.demo.town_square, "press", props=button(url))
    async with sandbox.alice() as client:
        pressed = await client.post(f"/posts/{post.id}/actions/ok", json={})
    assert pressed.status_code == 200
    assert json.loads(sandbox.integration.calls[0].body)["user_name"] == "alice"
    assert sandbox.world.transcript(sandbox.demo.town_square)[0].messages == ("press", "done")


async def test_a_silent_integration_costs_thirty_seconds(sandbox: SandboxClients, autojump_clock: MockClock) -> None:
    """The presser gets a 400 after the server's limit, under the run's own clock."""
    sandbox.integration.script["http://hook/never"] = never
    post = sandbox.world.post_as(sandbox.demo.bot, sandbox.demo.town_square, "x", props=button("http://hook/never"))
    async with sandbox.alice() as client:
        answer = await client.post(f"/posts/{post.id}/actions/ok", json={})
    assert answer.status_code == 400
    assert trio.current_time() == pytest.approx(30)


async def test_a_slash_command_reaches_its_integration_with_both_tokens(sandbox: SandboxClients) -> None:
    """The token comes as a form field and as an Authorization header; the text is verbatim."""
    team, url = sandbox.demo.team.id, "http://hook/cmd"
    async with sandbox.bot() as bot, sandbox.alice() as alice:
        body = {"team_id": team, "trigger": "Ask", "method": "P", "url": url}
        command = (await bot.post("/commands", json=body)).json()
        run = {"channel_id": sandbox.demo.town_square.id, "team_id": team, "command": "/ask  why "}
        answer = await alice.post("/commands/execute", json=run)
    assert answer.status_code == 200
    (call,) = sandbox.integration.calls
    form = dict(parse_qsl(call.body.decode(), keep_blank_values=True))
    assert dict(call.headers)["authorization"] == f"Token {command['token']}" == f"Token {form['token']}"
    assert (form["command"], form["text"]) == ("/ask", " why ")
