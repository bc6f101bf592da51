"""Accounts that meet in a team share its slash commands out by the order of the configuration, never by chance."""

from typing import Any

import pytest
import trio

from oc_trio.config.document import Document
from oc_trio.config.load import Loaded, build
from oc_trio.core.slash import BUILT_IN
from oc_trio.ids import AccountId
from oc_trio.runtime.process.gateway import Gateway
from oc_trio.sandbox.records import Team
from oc_trio.sandbox.world import Bot
from tests.logbook import Logbook
from tests.runtime.harness import Town, merged

EAST, WEST = AccountId("east"), AccountId("west")
ALL = sorted(spec.trigger for spec in BUILT_IN)


def second_bot(town: Town) -> Bot:
    """Another bot in the town's team, which may manage commands as the first may."""
    other = town.world.create_bot("runner")
    town.world.membership.join_team(town.team, town.world.users.get(other.id))
    for bot in (town.bot, other):
        town.team.roles[bot.id] = "team_user team_admin"
    return other


def holders(town: Town, team: Team | None = None) -> dict[str, list[str]]:
    """Who has which commands of a team, by the bots' names."""
    made: dict[str, list[str]] = {}
    for command in sorted(town.world.commands.of_team((team or town.team).id), key=lambda each: each.trigger):
        made.setdefault(town.world.users.get(command.creator_id).username, []).append(command.trigger)
    return made


async def begin(town: Town, accounts: dict[str, Any], **keys: Any) -> Gateway:
    native = {"native": True, "callbackUrl": "http://gw.test/command"}
    gateway = await town.start({"commands": native, "botToken": "", "accounts": accounts, **keys}, gateway={"port": 0})
    await trio.sleep(30)
    return gateway


def notes(gateway: Gateway, account: AccountId) -> tuple[str, ...]:
    return gateway.health.account(account).notes


@pytest.mark.parametrize("first", [EAST, WEST])
async def test_the_first_of_the_configuration_gets_them(town: Town, first: AccountId, logbook: Logbook) -> None:
    """The file's order decides, not the names' and not who is faster; the other one says what it lacks."""
    tokens = {"east": town.bot.token, "west": second_bot(town).token}
    order = [first, *({EAST, WEST} - {first})]
    gateway = await begin(town, {str(name): {"botToken": tokens[name]} for name in order})
    assert holders(town) == {{"east": "helper", "west": "runner"}[first]: ALL}
    (note,) = notes(gateway, order[1])
    assert note == (
        f"slash commands: /oc_status, /oc_model, /oc_models and 7 more in team {town.team.name}: "
        f"account {first} has them; set commands.prefix for this account to have its own"
    )
    assert notes(gateway, first) == ()
    assert len(logbook.said("slash commands left out")) == 1


async def test_a_prefix_gives_each_its_own(town: Town) -> None:
    """Both serve all commands, and nothing is missing."""
    gateway = await begin(
        town,
        {
            "east": {"botToken": town.bot.token},
            "west": {"botToken": second_bot(town).token, "commands": {"prefix": "west_"}},
        },
    )
    wests = sorted(f"west_{spec.original}" for spec in BUILT_IN)
    assert holders(town) == {"helper": ALL, "runner": wests}
    assert notes(gateway, EAST) == notes(gateway, WEST) == ()


async def test_another_team_is_served_by_who_is_there(town: Town) -> None:
    """Only where both are does one do without."""
    other = second_bot(town)
    village = town.world.create_team("village", town.alice)
    town.world.membership.join_team(village, town.world.users.get(other.id))
    village.roles[other.id] = "team_user team_admin"
    await begin(town, {"east": {"botToken": town.bot.token}, "west": {"botToken": other.token}})
    assert holders(town) == {"helper": ALL}
    assert holders(town, village) == {"runner": ALL}


@pytest.mark.parametrize("known", [False, True], ids=["never seen before", "known from an earlier run"])
async def test_the_first_comes_up_late(town: Town, known: bool, logbook: Logbook) -> None:
    """While it is down the other serves what is free and takes nothing over; then the rule holds all the same."""
    other = second_bot(town)
    accounts = {"east": {"botToken": town.bot.token}, "west": {"botToken": other.token}}
    if known:
        await begin(town, accounts)
        await town.stop()
        assert holders(town) == {"helper": ALL}
    down = True

    async def refuse(request: Any) -> Any:
        await trio.lowlevel.checkpoint()
        if down and request.header("authorization").endswith(town.bot.token):
            raise ConnectionError("no way")
        return None

    town.weather.before_rules.append(refuse)
    gateway = await begin(town, accounts)
    assert holders(town) == {"helper" if known else "runner": ALL}
    down = False
    await trio.sleep(400)
    assert gateway.health.account(EAST).state == "live"
    assert holders(town) == {"helper": ALL}
    assert len(notes(gateway, WEST)) == 1
    assert notes(gateway, EAST) == ()
    assert {line["part"] for line in logbook.said("") if line["level"] == "error"} == {"account"}


async def test_who_switches_them_off_leaves_them_to_the_others(town: Town) -> None:
    """After a start without native commands for the first account, the other one has them."""
    accounts = {"east": {"botToken": town.bot.token}, "west": {"botToken": second_bot(town).token}}
    await begin(town, accounts)
    await town.stop()
    gateway = await begin(town, {**accounts, "east": {**accounts["east"], "commands": {"native": False}}})
    assert holders(town) == {"runner": ALL}
    assert notes(gateway, WEST) == ()


async def test_restarts_change_nothing(town: Town) -> None:
    """Whoever is faster after a restart, commands and their tokens stay as they were."""
    other = second_bot(town)
    accounts = {"east": {"botToken": town.bot.token}, "west": {"botToken": other.token}}
    await begin(town, accounts)
    before = {command.id: command.token for command in town.world.commands.of_team(town.team.id)}
    for slow in (town.bot.token, other.token):

        async def dawdle(request: Any, slow: str = slow) -> None:
            await trio.sleep(1 if request.header("authorization").endswith(slow) else 0)

        await town.stop()
        town.weather.before_rules[:] = [dawdle]
        await begin(town, accounts)
        assert {command.id: command.token for command in town.world.commands.of_team(town.team.id)} == before


async def test_somebody_elses_command_is_left_alone(town: Town) -> None:
    """A person's command of that name is neither changed nor replaced, by none of the accounts, and that is said."""
    body = {"team_id": town.team.id, "method": "P", "url": "http://other.test/", "trigger": "oc_help"}
    foreign = town.world.commands.create(town.alice, body)
    gateway = await begin(town, {"east": {"botToken": town.bot.token}, "west": {"botToken": second_bot(town).token}})
    (found,) = [each for each in town.world.commands.of_team(town.team.id) if each.trigger == "oc_help"]
    assert (found.id, found.url, found.token) == (foreign.id, foreign.url, foreign.token)
    assert any("/oc_help in team" in note and "another program's" in note for note in notes(gateway, EAST))


async def test_three_accounts(town: Town) -> None:
    """Of three accounts the first one gets everything, and none of the others fights for it."""
    bots = [town.bot, second_bot(town)]
    third = town.world.create_bot("third")
    town.world.membership.join_team(town.team, town.world.users.get(third.id))
    town.team.roles[third.id] = "team_user team_admin"
    tokens = [*(bot.token for bot in bots), third.token]
    accounts = {name: {"botToken": token} for name, token in zip(("c", "b", "a"), tokens, strict=True)}
    await begin(town, accounts)
    assert holders(town) == {"helper": ALL}


@pytest.mark.parametrize("change", [{"commands": {"native": False}}, {"commands": {"prefix": "east_"}}], ids=str)
async def test_a_reload_shares_them_out_anew(change: dict[str, Any], town: Town) -> None:
    """What the first account gives up in a running gateway is the other's at once."""
    accounts = {"east": {"botToken": town.bot.token}, "west": {"botToken": second_bot(town).token}}
    gateway = await begin(town, accounts)
    assert holders(town) == {"helper": ALL}
    values = merged(dict(gateway.loaded.document.values), {"channels": {"mattermost": {"accounts": {"east": change}}}})

    async def reread() -> Loaded:
        await trio.lowlevel.checkpoint()
        return build(Document(values), {})

    gateway.reread = reread
    await gateway.reload()
    await trio.sleep(30)
    assert holders(town)["runner"] == ALL
    assert "oc_status" not in holders(town).get("helper", [])
    assert notes(gateway, WEST) == ()
