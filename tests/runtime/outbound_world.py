"""An `OutboundClient` against the sandbox in process: two teams, alice, bob, the bot `helper`."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest
import trio
import trio.testing
from attrs import define

from oc_trio.config.document import Document
from oc_trio.config.load import Loaded, build
from oc_trio.runtime.account.dependencies import Dependencies
from oc_trio.runtime.account.outbound_client import open_outbound_client, pick_account
from oc_trio.runtime.clock import Clock
from oc_trio.runtime.delivery.compose import OutboundClient
from oc_trio.sandbox.faults import Faults
from oc_trio.sandbox.http_transport import SandboxTransport
from oc_trio.sandbox.records import ChannelRecord, TeamRecord, UserRecord
from oc_trio.sandbox.settings import Settings
from oc_trio.sandbox.world import SandboxBot, World

URL = "http://mm.test"


def _run(
    main: Callable[[], Awaitable[Any]],
    *,
    clock: trio.abc.Clock | None = None,
    instruments: Sequence[trio.abc.Instrument] = (),
) -> Any:
    return trio.run(main, clock=clock or trio.testing.MockClock(autojump_threshold=0.05), instruments=instruments)


# Waits take no time; the threshold leaves threads that read files their turn.
in_no_time = pytest.mark.trio(run=_run)


@define(eq=False)
class OutboundWorld:
    """The sandbox's world, and the bot's outbound client."""

    world: World
    team: TeamRecord
    other: TeamRecord
    alice: UserRecord
    bob: UserRecord
    bot: SandboxBot
    square: ChannelRecord
    loaded: Loaded
    outbound: OutboundClient


def configured(token: str, mattermost: Mapping[str, Any] | None = None) -> Loaded:
    """A configuration with one account."""
    network = {"dangerouslyAllowPrivateNetwork": True}
    section = {"baseUrl": URL, "botToken": token, "network": network, **(mattermost or {})}
    return build(Document({"channels": {"mattermost": section}}), {})


@asynccontextmanager
async def open_outbound_world(
    mattermost: Mapping[str, Any] | None = None, *, faults: Faults | None = None, settings: Settings | None = None
) -> AsyncGenerator[OutboundWorld, None]:
    def clock() -> int:
        return 1_700_000_000_000 + int(trio.current_time() * 1000)

    world = World(clock, Random(3), faults=faults, settings=settings)
    alice = world.create_user("alice", "Passw0rd!x")
    team, other = world.create_team("town", alice), world.create_team("hills", alice)
    bob = world.create_user("bob", "Passw0rd!x", team=team)
    bot = world.create_bot("helper", team=team)
    world.membership.join_team(other, world.users.get(bot.id))
    square = world.create_channel(team, "square", alice, bob, bot)
    loaded = configured(bot.token, mattermost)
    dependencies = Dependencies(Clock(clock, Random(5)), http_transport=lambda _url: SandboxTransport(world))
    async with open_outbound_client(loaded, pick_account(loaded, None), dependencies) as outbound:
        yield OutboundWorld(world, team, other, alice, bob, bot, square, loaded, outbound)
