"""What `oc-trio doctor` makes of a round trip that did not succeed."""

from typing import Any

import pytest
from attrs import evolve

from oc_trio.config.document import Document
from oc_trio.config.load import build
from oc_trio.ids import AccountId
from oc_trio.runtime.account.round_trips import RoundTrip, RoundTripOutcome
from oc_trio.runtime.operator.checks.way_back import judge

CLICK = RoundTrip(
    AccountId("default"), "button", "http://192.0.2.1:18789/mattermost/interactions/default", RoundTripOutcome.NO_ANSWER
)
COMMAND = evolve(CLICK, kind="command", url="https://gw.example/cmd")
REFUSED = evolve(CLICK, outcome=RoundTripOutcome.SOURCE_REFUSED)
ELSEWHERE = evolve(COMMAND, outcome=RoundTripOutcome.ANSWERED_ELSEWHERE)
CASES: list[tuple[str, RoundTrip, str, str]] = [
    (
        "a source",
        evolve(REFUSED, source="10.0.0.9", peer="10.0.0.9"),
        "come from 10.0.0.9",
        'add "10.0.0.9" to channels',
    ),
    (
        "a proxy that is not trusted",
        evolve(REFUSED, source="127.0.0.1", peer="127.0.0.1", forwarded="1.2.3.4, 10.0.0.9"),
        "come through a proxy at 127.0.0.1, which is not trusted",
        'set gateway.trustedProxies = ["127.0.0.1"] and channels.mattermost.interactions.allowedSourceIps = [',
    ),
    (
        "a trusted proxy that names nobody",
        evolve(REFUSED, peer="127.0.0.1"),
        "come through the trusted proxy 127.0.0.1, which names no client",
        "let the proxy set X-Forwarded-For (it sent: none)",
    ),
    (
        "a proxy on Mattermost's machine",
        evolve(REFUSED, peer="127.0.0.1", forwarded="127.0.0.1"),
        "from its own machine (X-Forwarded-For: 127.0.0.1), which counts as no client",
        "an address of that machine which is not loopback",
    ),
    (
        "a command from a proxy's machine",
        evolve(COMMAND, outcome=RoundTripOutcome.ARRIVED, peer="127.0.0.1", forwarded="127.0.0.1"),
        "arrive from the trusted proxy 127.0.0.1, which names no client, with a valid token",
        "",
    ),
    (
        "silence",
        evolve(CLICK, seconds=30.0),
        "none within 30 s: a firewall swallows",
        "`curl -i http://192.0.2.1:18789",
    ),
    ("at once", evolve(CLICK, seconds=0.1), "refused at once: nothing listens there", "AllowedUntrusted"),
    (
        "an empty answer",
        evolve(CLICK, kind="command", code="api.command.execute_command.failed_empty.app_error"),
        "an empty one: something else than this gateway",
        "curl",
    ),
    (
        "another's answer",
        evolve(ELSEWHERE, problem="returned response 502 Bad Gateway", strays=("/x",)),
        "returned response 502 Bad Gateway. Meanwhile the gateway was called at /x, where nothing is",
        "channels.mattermost.commands.callbackUrl must lead to this gateway",
    ),
    (
        "changed on the way",
        evolve(CLICK, outcome=RoundTripOutcome.NOT_GENUINE, source="10.0.0.9"),
        "arrive from 10.0.0.9 and are not what the bot made",
        "let the proxy pass bodies and headers on unchanged",
    ),
    (
        "no buttons",
        evolve(CLICK, outcome=RoundTripOutcome.NOT_TRIED, status=404, problem="no"),
        "could not be posted or clicked (no)",
        "set ServiceSettings.EnablePostActionIntegration to true",
    ),
    (
        "a revoked token",
        evolve(CLICK, outcome=RoundTripOutcome.NOT_TRIED, status=401, problem="no"),
        "refuses the token",
        "see",
    ),
    (
        "a command that stays",
        evolve(COMMAND, outcome=RoundTripOutcome.ARRIVED, source="10.0.0.9", left_behind="/oc_check_a: 500"),
        "could not remove what the check had made: /oc_check_a: 500",
        "oc-trio commands prune",
    ),
]


@pytest.mark.parametrize(("trip", "text", "fix"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
async def test_what_is_said(trip: RoundTrip, text: str, fix: str, autojump_clock: Any) -> None:
    """What is wrong, and what to do about exactly that."""
    values: dict[str, Any] = {"channels": {"mattermost": {"baseUrl": "https://9.9.9.9", "botToken": "t" * 26}}}
    loaded = build(Document(values), {"STATE_DIRECTORY": "/nonexistent"})
    found = await judge(trip, None, loaded, "")
    assert text in found[-1].text
    assert fix in found[-1].fix


@pytest.mark.parametrize(
    ("base", "url", "code", "fix"),
    [
        ("https://9.9.9.9", "https://9.9.9.9/cmd", "callback.mattermost", "pass /cmd on to the gateway"),
        ("https://9.9.9.9", "http://127.0.0.1:1/cmd", "callback.loopback", "set it to an address of this machine"),
        (
            "http://127.0.0.1:2",
            "http://127.0.0.1:1/cmd",
            "callback.loopback",
            'add "127.0.0.1" to ServiceSettings.Allo',
        ),
        ("https://9.9.9.9", "http://10.1.2.3:1/cmd", "callback.private", 'add "10.1.2.3" to ServiceSettings.Allo'),
        ("https://9.9.9.9", "http://8.8.8.8:1/cmd", "", ""),
    ],
)
async def test_what_a_url_is(base: str, url: str, code: str, fix: str, autojump_clock: Any) -> None:
    """Named before the trip's own finding."""
    network = {"dangerouslyAllowPrivateNetwork": True}
    values: dict[str, Any] = {"channels": {"mattermost": {"baseUrl": base, "botToken": "t" * 26, "network": network}}}
    loaded = build(Document(values), {"STATE_DIRECTORY": "/nonexistent"})
    found = await judge(evolve(COMMAND, url=url), loaded.accounts[AccountId("default")], loaded, "")
    assert found[-1].code == "slash.unreachable"
    assert [one.code for one in found[:-1]] == ([code] if code else [])
    assert all(fix in one.fix for one in found[:-1])


async def test_a_port_where_nothing_listens(autojump_clock: Any) -> None:
    """That Mattermost may have to be allowed the address is not said first: it would answer nobody."""
    network = {"dangerouslyAllowPrivateNetwork": True}
    base = {"baseUrl": "http://127.0.0.1:2", "botToken": "t" * 26, "network": network}
    loaded = build(Document({"channels": {"mattermost": base}}), {"STATE_DIRECTORY": "/nonexistent"})
    trip = evolve(COMMAND, url="http://127.0.0.1:1/cmd")
    (found,) = await judge(trip, loaded.accounts[AccountId("default")], loaded, "nothing (connection refused)")
    assert found.code == "slash.unreachable"
    assert found.fix.startswith(
        "is channels.mattermost.commands.callbackUrl right? The gateway itself listens on port 18789"
    )
    assert "AllowedUntrustedInternalConnections" in found.fix


@pytest.mark.parametrize(
    ("base", "code"), [("http://127.0.0.1:2", "button.elsewhere"), ("https://9.9.9.9", "button.unreachable")]
)
async def test_what_this_machine_sees(base: str, code: str, autojump_clock: Any) -> None:
    """What answers here at a loopback address is what Mattermost called only if it is on this machine, too."""
    network = {"dangerouslyAllowPrivateNetwork": True}
    values: dict[str, Any] = {"channels": {"mattermost": {"baseUrl": base, "botToken": "t" * 26, "network": network}}}
    loaded = build(Document(values), {"STATE_DIRECTORY": "/nonexistent"})
    trip = evolve(CLICK, url="http://127.0.0.1:1/mattermost/interactions/default", seconds=0.1)
    found = await judge(trip, loaded.accounts[AccountId("default")], loaded, "404, where 405 was expected")
    assert found[-1].code == code
