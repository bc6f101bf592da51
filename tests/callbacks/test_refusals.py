"""What the log says of refused clicks and slash commands."""

import json
from urllib.parse import urlencode

import pytest
import trio

from oc_trio.callbacks.endpoints import ButtonEndpoint
from oc_trio.callbacks.refusals import LOG_EVERY, claimed_ids
from oc_trio.core.slash import INVALID_TOKEN
from oc_trio.core.sourceip import ProxyTrust, parse_networks
from oc_trio.errors import CallbackRefused
from oc_trio.ids import AccountId
from tests.callbacks.callers import CLICK_PATH, COMMAND_PATH, FORM, open_port
from tests.logbook import Logbook

POST, USER, CHANNEL = "p" * 26, "u" * 26, "c" * 26
FORM_TYPE = {"Content-Type": "application/x-www-form-urlencoded"}


def click(**context: object) -> bytes:
    body = {"user_id": USER, "user_name": "alice", "channel_id": CHANNEL, "post_id": POST, "context": context}
    return json.dumps(body).encode()


async def test_a_click_with_a_wrong_token(logbook: Logbook) -> None:
    """A warning names post and user, and what it may be; repeated ones are counted, not logged."""
    port = open_port()
    for _ in range(3):
        assert (await port.post(CLICK_PATH, click(action_id="yes", _token="x")))[0] == 403
    (line,) = logbook.find("mattermost: interaction refused: invalid _token")
    assert (line["level"], line["post"], line["user"], line["channel"]) == ("warning", POST, USER, CHANNEL)
    assert "another gateway with the same bot" in line["advice"]


async def test_the_unlogged_ones_are_counted(logbook: Logbook, autojump_clock: trio.testing.MockClock) -> None:
    """The next line says how many there were."""
    port = open_port()
    for _ in range(3):
        await port.post(CLICK_PATH, click())
    await trio.sleep(LOG_EVERY)
    await port.post(CLICK_PATH, click())
    lines = logbook.find("missing _token in context")
    assert [line.get("unlogged") for line in lines] == [None, 2]


async def test_a_command_with_an_unknown_token(logbook: Logbook) -> None:
    """The line names the command, and how it is mended; the token is not in it."""
    port = open_port()
    port.handler.fail = CallbackRefused(401, INVALID_TOKEN)
    form = {**FORM, "token": "wrong", "user_id": USER, "channel_id": CHANNEL}
    status, _, _ = await port.post(COMMAND_PATH, urlencode(form).encode(), headers=FORM_TYPE)
    assert status == 401
    (line,) = logbook.find("mattermost: slash command refused: Unauthorized: invalid command token.")
    assert (line["level"], line["command"], line["user"]) == ("warning", "oc_status", USER)
    assert "oc-trio commands list" in line["advice"]
    assert "wrong" not in str(line)


async def test_an_address_that_may_not_click(logbook: Logbook) -> None:
    """The line has the address and the setting that lets it in."""
    port = open_port()
    status, _, _ = await port.post(CLICK_PATH, click(), peer="203.0.113.9")
    assert status == 403
    (line,) = logbook.find("interaction refused: forbidden origin")
    assert line["source"] == "203.0.113.9"
    assert "allowedSourceIps" in line["advice"]


async def test_a_click_from_the_proxys_own_machine(logbook: Logbook) -> None:
    """Loopback behind a trusted proxy counts as nobody; the line says so, and what to set instead."""
    port = open_port(trust=ProxyTrust(parse_networks(["127.0.0.1"])))
    status, _, _ = await port.post(CLICK_PATH, click(), headers={"X-Forwarded-For": "127.0.0.1"})
    assert status == 403
    (line,) = logbook.find("interaction refused: forbidden origin")
    assert (line["proxy"], line["forwarded"]) == ("127.0.0.1", "127.0.0.1")
    assert "which is not loopback" in line["advice"]
    assert "set gateway.trustedProxies" not in line["advice"]


@pytest.mark.parametrize(
    ("body", "names"),
    [
        pytest.param(click(), {"post": POST, "user": USER, "channel": CHANNEL}, id="a click"),
        pytest.param(b"{", {}, id="no JSON"),
        pytest.param(b'{"post_id": 7, "user_id": "\\u001b[2J", "channel_id": "short"}', {}, id="no ids"),
    ],
)
def test_only_ids_are_taken_from_a_body(body: bytes, names: dict[str, str]) -> None:
    """Anybody may send one: nothing but the form of an id gets into the log."""
    assert claimed_ids(body) == names


async def test_the_account_is_told(logbook: Logbook) -> None:
    """The status says what was refused last."""
    refused: list[str] = []

    async def unused(_: object) -> dict[str, object]:
        raise AssertionError("refused before")

    port = open_port()
    endpoint = ButtonEndpoint(lambda: "token", unused, unused, on_refused=refused.append)
    with port.registry.clicks(AccountId("default"), endpoint):
        await port.post(CLICK_PATH, click())
        await port.post(CLICK_PATH, click(), peer="203.0.113.9")
    assert refused == ["click: Missing token", "click: Forbidden origin 203.0.113.9"]
