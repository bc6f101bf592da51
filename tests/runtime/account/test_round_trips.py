"""The round trips of a running gateway: asked over its admin API, they reach it and leave nothing behind."""

import json

import pytest
import trio

from oc_trio.callbacks.app import build_app
from oc_trio.runtime.account.round_trips import RoundTrip, RoundTripOutcome
from oc_trio.runtime.handlers.public_port import PublicPort
from oc_trio.runtime.handlers.relay import Relay
from oc_trio.sandbox.outgoing import IntegrationUnreachable
from tests.runtime.handlers.test_public_port import open_for_business, sender
from tests.runtime.harness import Harness


async def trips(harness: Harness) -> dict[str, RoundTrip]:
    """What the gateway says, as it goes over the admin socket."""
    assert harness.gateway is not None
    found = [
        RoundTrip.from_json(json.loads(json.dumps(trip.to_json()))) for trip in await harness.gateway.round_trips()
    ]
    return {trip.kind: trip for trip in found}


async def test_a_command_and_a_click_come_back(harness: Harness) -> None:
    """The bot uses both itself; nobody is answered, no turn begins, and its commands are as before."""
    await open_for_business(harness)
    before = {command.trigger for command in harness.world.commands.of_team(harness.team.id)}
    found = await trips(harness)
    assert [trip.outcome for trip in found.values()] == [RoundTripOutcome.ARRIVED, RoundTripOutcome.ARRIVED]
    assert found["command"].source == found["button"].source == "127.0.0.1"
    assert found["button"].url == "http://gw.test/mattermost/interactions/default"
    assert {command.trigger for command in harness.world.commands.of_team(harness.team.id)} == before
    await trio.sleep(60)
    own = harness.world.direct(harness.bot, harness.bot)
    assert [bool(entry.deleted_at) for entry in harness.world.transcript(own)] == [True]
    assert harness.agent.requests == []
    assert harness.gateway is not None
    (account,) = harness.gateway.health.accounts
    assert account.second_gateway == ()


async def test_both_arrive_at_another_process(harness: Harness) -> None:
    """Behind a load balancer: the process that checks finds in the journal what came, and where from."""
    await open_for_business(harness)
    gateway = harness.gateway
    assert gateway is not None
    clock = gateway.dependencies.clock
    other = PublicPort.of(gateway.loaded, clock)
    for port, name in ((gateway.port, "p1"), (other, "p2")):
        port.relay_by(Relay(harness.store, clock, gateway.metrics, name), gateway.health)
    app = build_app(other.registry, metrics=gateway.metrics)
    harness.world.slash._send = harness.world.interactions._send = sender(app)
    found = await trips(harness)
    assert [trip.outcome for trip in found.values()] == [RoundTripOutcome.ARRIVED, RoundTripOutcome.ARRIVED]
    assert found["command"].source == found["button"].source == "127.0.0.1"
    assert harness.agent.requests == []


async def test_nobody_is_reached(harness: Harness) -> None:
    """What Mattermost says of an integration that it could not call is passed on, and cleaned up all the same."""
    await open_for_business(harness)

    async def refuse(_: object) -> None:
        raise IntegrationUnreachable("address forbidden")

    harness.world.slash._send = harness.world.interactions._send = refuse  # type: ignore[assignment]
    found = await trips(harness)
    assert {trip.outcome for trip in found.values()} == {RoundTripOutcome.NO_ANSWER}
    assert found["command"].code == "api.command.execute_command.failed.app_error"
    assert found["button"].code == "api.post.do_action.action_integration.app_error"
    triggers = [command.trigger for command in harness.world.commands.of_team(harness.team.id)]
    assert not [trigger for trigger in triggers if trigger.startswith("oc_check_")]


async def test_a_host_that_swallows_requests(harness: Harness) -> None:
    """Mattermost gives up after 30 s, and so does the check."""
    await open_for_business(harness)

    async def swallow(_: object) -> None:
        await trio.sleep_forever()

    harness.world.slash._send = harness.world.interactions._send = swallow  # type: ignore[assignment]
    found = await trips(harness)
    assert {trip.outcome for trip in found.values()} == {RoundTripOutcome.NO_ANSWER}
    assert all(trip.seconds == pytest.approx(30, abs=1) for trip in found.values())


async def test_a_gateway_that_is_not_called_back(harness: Harness) -> None:
    """Without callbacks there are no round trips."""
    await harness.start()
    assert await trips(harness) == {}
