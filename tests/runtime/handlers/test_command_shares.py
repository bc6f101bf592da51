"""Accounts that meet in a team share its slash commands out by the order of the configuration, never by chance."""

from typing import Any

import pytest
import trio

from oc_trio.config.document import Document
from oc_trio.config.load import Loaded, build
from oc_trio.core.slash import BUILT_IN
from oc_trio.ids import AccountId
from oc_trio.runtime.process.gateway import Gateway
from oc_trio.sandbox.records import TeamRecord
from oc_trio.sandbox.world import SandboxBot
from tests.logbook import Logbook
from tests.runtime.harness import Harness, merged

EAST, WEST = AccountId("east"), AccountId("west")
ALL = sorted(spec.trigger for spec in BUILT_IN)


def second_bot(harness: Harness) -> SandboxBot:
    """Another bot in the harness's team, which may manage commands as the first may."""
    other = harness.world.create_bot("runner")
    harness.world.membership.join_team(harness.team, harness.world.users.get(other.id))
    for bot in (harness.bot, other):
        harness.team.roles[bot.id] = "team_user team_admin"
    return other


def holders(harness: Harness, team: TeamRecord | None = None) -> dict[str, list[str]]:
    """Who has which commands of a team, by the bots' names."""
    made: dict[str, list[str]] = {}
    for command in sorted(harness.world.commands.of_team((team or harness.team).id), key=lambda each: each.trigger):
        made.setdefault(harness.world.users.get(command.creator_id).username, []).append(command.trigger)
    return made


async def begin(harness: Harness, accounts: dict[str, Any], **keys: Any) -> Gateway:
    native = {"native": True, "callbackUrl": "http://gw.test/command"}
    gateway = await harness.start(
        {"commands": native, "botToken": "", "accounts": accounts, **keys}, gateway={"port": 0}
    )
    await trio.sleep(30)
    return gateway


def notes(gateway: Gateway, account: AccountId) -> tuple[str, ...]:
    return gateway.health.account(account).notes


@pytest.mark.parametrize("first", [EAST, WEST])
async def test_the_first_of_the_configuration_gets_them(harness: Harness, first: AccountId, logbook: Logbook) -> None:
    """The file's order decides, not the names' and not who is faster; the other one says what it lacks."""
    tokens = {"east": harness.bot.token, "west": second_bot(harness).token}
    order = [first, *({EAST, WEST} - {first})]
    gateway = await begin(harness, {str(name): {"botToken": tokens[name]} for name in order})
    assert holders(harness) == {{"east": "helper", "west": "runner"}[first]: ALL}
    (note,) = notes(gateway, order[1])
    assert note == (
        f"slash commands: /oc_status, /oc_model, /oc_models and 7 more in team {harness.team.name}: "
        f"account {first} has them; set commands.prefix for this account to have its own"
    )
    assert notes(gateway, first) == ()
    assert len(logbook.find("slash commands left out")) == 1


async def test_a_prefix_gives_each_its_own(harness: Harness) -> None:
    """Both serve all commands, and nothing is missing."""
    gateway = await begin(
        harness,
        {
            "east": {"botToken": harness.bot.token},
            "west": {"botToken": second_bot(harness).token, "commands": {"prefix": "west_"}},
        },
    )
    wests = sorted(f"west_{spec.original}" for spec in BUILT_IN)
    assert holders(harness) == {"helper": ALL, "runner": wests}
    assert notes(gateway, EAST) == notes(gateway, WEST) == ()


async def test_another_team_is_served_by_who_is_there(harness: Harness) -> None:
    """Only where both are does one do without."""
    other = second_bot(harness)
    village = harness.world.create_team("village", harness.alice)
    harness.world.membership.join_team(village, harness.world.users.get(other.id))
    village.roles[other.id] = "team_user team_admin"
    await begin(harness, {"east": {"botToken": harness.bot.token}, "west": {"botToken": other.token}})
    assert holders(harness) == {"helper": ALL}
    assert holders(harness, village) == {"runner": ALL}


@pytest.mark.parametrize("known", [False, True], ids=["never seen before", "known from an earlier run"])
async def test_the_first_comes_up_late(harness: Harness, known: bool, logbook: Logbook) -> None:
    """While it is down the other serves what is free and takes nothing over; then the rule holds all the same."""
    other = second_bot(harness)
    accounts = {"east": {"botToken": harness.bot.token}, "west": {"botToken": other.token}}
    if known:
        await begin(harness, accounts)
        await harness.stop()
        assert holders(harness) == {"helper": ALL}
    down = True

    async def refuse(request: Any) -> Any:
        await trio.lowlevel.checkpoint()
        if down and request.header("authorization").endswith(harness.bot.token):
            raise ConnectionError("no way")
        return None

    harness.faults.before_rules.append(refuse)
    gateway = await begin(harness, accounts)
    assert holders(harness) == {"helper" if known else "runner": ALL}
    down = False
    await trio.sleep(400)
    assert gateway.health.account(EAST).state == "live"
    assert holders(harness) == {"helper": ALL}
    assert len(notes(gateway, WEST)) == 1
    assert notes(gateway, EAST) == ()
    assert {line["part"] for line in logbook.find("") if line["level"] == "error"} == {"account"}


async def test_who_switches_them_off_leaves_them_to_the_others(harness: Harness) -> None:
    """After a start without native commands for the first account, the other one has them."""
    accounts = {"east": {"botToken": harness.bot.token}, "west": {"botToken": second_bot(harness).token}}
    await begin(harness, accounts)
    await harness.stop()
    gateway = await begin(harness, {**accounts, "east": {**accounts["east"], "commands": {"native": False}}})
    assert holders(harness) == {"runner": ALL}
    assert notes(gateway, WEST) == ()


async def test_restarts_change_nothing(harness: Harness) -> None:
    """Whoever is faster after a restart, commands and their tokens stay as they were."""
    other = second_bot(harness)
    accounts = {"east": {"botToken": harness.bot.token}, "west": {"botToken": other.token}}
    await begin(harness, accounts)
    before = {command.id: command.token for command in harness.world.commands.of_team(harness.team.id)}
    for slow in (harness.bot.token, other.token):

        async def dawdle(request: Any, slow: str = slow) -> None:
            await trio.sleep(1 if request.header("authorization").endswith(slow) else 0)

        await harness.stop()
        harness.faults.before_rules[:] = [dawdle]
        await begin(harness, accounts)
        assert {command.id: command.token for command in harness.world.commands.of_team(harness.team.id)} == before


async def test_somebody_elses_command_is_left_alone(harness: Harness) -> None:
    """A person's command of that name is neither changed nor replaced, by none of the accounts, and that is said."""
    body = {"team_id": harness.team.id, "method": "P", "url": "http://other.test/", "trigger": "oc_help"}
    foreign = harness.world.commands.create(harness.alice, body)
    gateway = await begin(
        harness, {"east": {"botToken": harness.bot.token}, "west": {"botToken": second_bot(harness).token}}
    )
    (found,) = [each for each in harness.world.commands.of_team(harness.team.id) if each.trigger == "oc_help"]
    assert (found.id, found.url, found.token) == (foreign.id, foreign.url, foreign.token)
    assert any("/oc_help in team" in note and "another program's" in note for note in notes(gateway, EAST))


async def test_three_accounts(harness: Harness) -> None:
    """Of three accounts the first one gets everything, and none of the others fights for it."""
    bots = [harness.bot, second_bot(harness)]
    third = harness.world.create_bot("third")
    harness.world.membership.join_team(harness.team, harness.world.users.get(third.id))
    harness.team.roles[third.id] = "team_user team_admin"
    tokens = [*(bot.token for bot in bots), third.token]
    accounts = {name: {"botToken": token} for name, token in zip(("c", "b", "a"), tokens, strict=True)}
    await begin(harness, accounts)
    assert holders(harness) == {"helper": ALL}


@pytest.mark.parametrize("change", [{"commands": {"native": False}}, {"commands": {"prefix": "east_"}}], ids=str)
async def test_a_reload_shares_them_out_anew(change: dict[str, Any], harness: Harness) -> None:
    """What the first account gives up in a running gateway is the other's at once."""
    accounts = {"east": {"botToken": harness.bot.token}, "west": {"botToken": second_bot(harness).token}}
    gateway = await begin(harness, accounts)
    assert holders(harness) == {"helper": ALL}
    values = merged(dict(gateway.loaded.document.values), {"channels": {"mattermost": {"accounts": {"east": change}}}})

    async def reread() -> Loaded:
        await trio.lowlevel.checkpoint()
        return build(Document(values), {})

    gateway.reread = reread
    await gateway.reload()
    await trio.sleep(30)
    assert holders(harness)["runner"] == ALL
    assert "oc_status" not in holders(harness).get("helper", [])
    assert notes(gateway, WEST) == ()
