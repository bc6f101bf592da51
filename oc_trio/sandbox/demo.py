"""Fills a new sandbox with an admin, two people, a team and a bot."""

from oc_trio.classes import frozen
from oc_trio.sandbox.records import ChannelRecord, TeamRecord, UserRecord
from oc_trio.sandbox.world import SandboxBot, World

PASSWORD = "Passw0rd!x"  # noqa: S105  of a throw-away server that listens on loopback


@frozen
class Demo:
    admin: UserRecord
    alice: UserRecord
    bob: UserRecord
    bot: SandboxBot
    team: TeamRecord
    town_square: ChannelRecord


def seed(world: World, *, bot_token: str = "", bot_is_admin: bool = True) -> Demo:
    """Team `demo` with town-square and off-topic; everybody's password is PASSWORD. The bot is a team admin, unless it
    is to have no right to register slash commands.
    """
    # First of all: the first user of a world is its admin.
    admin = world.create_user("admin", PASSWORD)
    team = world.create_team("demo", admin)
    alice, bob = (world.create_user(name, PASSWORD, team=team) for name in ("alice", "bob"))
    bot = world.create_bot("bot", display_name="Demo Bot", team=team, token=bot_token, admin=bot_is_admin)
    town_square = world.channels.named(team.id, "town-square")
    assert town_square is not None
    return Demo(admin, alice, bob, bot, team, town_square)
