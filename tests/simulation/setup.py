"""The scenario of a run as it is in the beginning."""

import random

from oc_trio.sandbox.outgoing import PostOut
from oc_trio.sandbox.settings import Settings
from oc_trio.sandbox.world import World
from tests.simulation.frames import FrameFaults
from tests.simulation.scenario import Scenario, now_ms
from tests.simulation.transcript import RunTranscript


def set_up_scenario(
    rng: random.Random,
    transcript: RunTranscript,
    frames: FrameFaults,
    post_out: PostOut,
    *,
    has_second_bot: bool = False,
) -> Scenario:
    world = World(now_ms, rng, settings=Settings(request_log=1), faults=frames, post_out=post_out)
    alice = world.create_user("alice")
    team = world.create_team("town", alice)
    bob = world.create_user("bob", team=team)
    bot = world.create_bot("helper", team=team, token="simulated-token-of-the-helper")
    places = {
        "square": world.create_channel(team, "square", alice, bob, bot),
        "market": world.create_channel(team, "market", alice, bob, bot),
        "alice": world.direct(alice, bot),
        "bob": world.direct(bob, bot),
    }
    scenario = Scenario(world, transcript, bot, {"alice": alice, "bob": bob}, places)
    if has_second_bot:
        second = world.create_bot("second", team=team, token="simulated-token-of-the-second")
        for name in ("square", "market"):
            world.membership.add(places[name], world.users.get(second.id), alice)
        direct = {"alice": world.direct(alice, second), "bob": world.direct(bob, second)}
        scenario.twin = Scenario(world, transcript, second, scenario.people, places | direct)
        scenario.twin.twin = scenario
    return scenario
