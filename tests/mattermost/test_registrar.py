"""Registering with a server that refuses, hides or forgets things."""

from typing import Any

import httpx
import pytest
from attrs import define, field

from oc_trio.core.entities import SlashCommand
from oc_trio.core.slash import CommandSpec
from oc_trio.core.slash_plan import Registrar
from oc_trio.ids import CommandId, TeamId, UserId
from oc_trio.mattermost.client import Api
from oc_trio.mattermost.registrar import CommandRegistrar
from tests.logbook import Logbook
from tests.mattermost.doubles import FakeHttp, error, open_api

TEAM = TeamId("team1")
WHO = Registrar(UserId("bot"), "http://gw/cmd")
STATUS, HELP = CommandSpec("oc_status", "status", "Status"), CommandSpec("oc_help", "help", "Help")


@define(eq=False)
class Notes:
    """The journal, as a list of what was said to it."""

    said: list[str] = field(factory=list)

    async def remember(self, command: SlashCommand) -> None:
        self.said.append(f"+{command.trigger}:{command.token}")

    async def forget(self, command: CommandId) -> None:
        self.said.append(f"-{command}")


def registrar(api: Api, notes: Notes, *wanted: CommandSpec) -> CommandRegistrar:
    return CommandRegistrar(api, WHO, wanted or (STATUS,), notes.remember, notes.forget)


def row(id_: str, spec: CommandSpec = STATUS, **changes: Any) -> dict[str, Any]:
    made = WHO.command(TEAM, spec)
    fields = {
        "id": id_,
        "team_id": TEAM,
        "trigger": made.trigger,
        "method": "P",
        "url": made.url,
        "token": f"tok-{id_}",
        "creator_id": "bot",
        "description": made.description,
        "display_name": made.display_name,
        "auto_complete": True,
        "auto_complete_desc": made.auto_complete_desc,
        "auto_complete_hint": made.auto_complete_hint,
    }
    return {**fields, **changes}


def remembered(id_: str, spec: CommandSpec = STATUS) -> SlashCommand:
    return SlashCommand(CommandId(id_), TEAM, spec.trigger, url=WHO.url, token=f"tok-{id_}", creator_id=WHO.bot)


async def test_what_is_missing_is_created_and_written_down() -> None:
    """The token that the server shows once is kept."""
    http, notes = FakeHttp({"GET /commands": [[]], "POST /commands": httpx.Response(201, json=row("c1"))}), Notes()
    async with open_api(http) as api:
        result = await registrar(api, notes).register(TEAM, ())
    assert ([command.id for command in result.commands], result.is_complete) == (["c1"], True)
    assert notes.said == ["+oc_status:tok-c1"]


async def test_what_is_there_is_used_as_it_is() -> None:
    """Nothing is written to the server when nothing differs."""
    http, notes = FakeHttp({"GET /commands": [[row("c1")]]}), Notes()
    async with open_api(http) as api:
        result = await registrar(api, notes).register(TEAM, ())
    assert (http.log, [command.token for command in result.commands]) == (["GET /commands"], ["tok-c1"])


async def test_a_bot_that_may_not_list_goes_by_memory() -> None:
    """A known command is updated, which shows that it is still there; an unknown one is created."""
    http = FakeHttp(
        {
            "GET /commands": error(403, "api.context.permissions.app_error"),
            "PUT /commands/c1": row("c1"),
            "POST /commands": httpx.Response(201, json=row("c2", HELP)),
        }
    )
    notes = Notes()
    async with open_api(http) as api:
        result = await registrar(api, notes, STATUS, HELP).register(TEAM, (remembered("c1"),))
    assert [command.id for command in result.commands] == ["c1", "c2"]
    assert result.is_complete


async def test_an_update_that_is_refused_ends_in_a_new_command() -> None:
    """A command that was deleted behind our back is made again."""
    http = FakeHttp(
        {
            "GET /commands": error(403, "api.context.permissions.app_error"),
            "PUT /commands/c1": error(404, "store.sql_command.save.get.app_error"),
            "DELETE /commands/c1": error(404, "store.sql_command.save.get.app_error"),
            "POST /commands": httpx.Response(201, json=row("c2")),
        }
    )
    notes = Notes()
    async with open_api(http) as api:
        result = await registrar(api, notes).register(TEAM, (remembered("c1"),))
    assert [command.id for command in result.commands] == ["c2"]
    assert notes.said == ["-c1", "+oc_status:tok-c2"]


async def test_a_trigger_that_is_taken_unseen_is_skipped() -> None:
    """Somebody's command of that trigger is no failure: the other commands are served."""
    http = FakeHttp(
        {
            "GET /commands": error(403, "api.context.permissions.app_error"),
            "POST /commands": [
                error(400, "api.command.duplicate_trigger.app_error"),
                httpx.Response(201, json=row("c2", HELP)),
            ],
        }
    )
    async with open_api(http) as api:
        result = await registrar(api, Notes(), STATUS, HELP).register(TEAM, ())
    assert ([command.trigger for command in result.commands], result.is_complete) == (["oc_help"], True)


@pytest.mark.parametrize(
    ("routes", "served"),
    [
        pytest.param({"GET /commands": error(500, "boom")}, [], id="no list"),
        pytest.param(
            {"GET /commands": [[row("c2", HELP)]], "POST /commands": error(403, "x")}, ["oc_help"], id="no create"
        ),
    ],
)
async def test_a_failure_is_told_and_the_rest_is_served(
    routes: dict[str, Any], served: list[str], logbook: Logbook
) -> None:
    """What the server refuses makes the team incomplete, never an exception."""
    async with open_api(FakeHttp(routes)) as api:
        result = await registrar(api, Notes(), STATUS, HELP).register(TEAM, ())
    assert ([command.trigger for command in result.commands], result.is_complete) == (served, False)
    assert logbook.find("mattermost: failed to register slash commands")


async def test_what_cannot_be_deleted_is_returned(logbook: Logbook) -> None:
    """One refusal does not keep the others."""
    http = FakeHttp({"DELETE /commands/c1": error(500, "boom"), "DELETE /commands/c2": {"status": "OK"}})
    notes = Notes()
    async with open_api(http) as api:
        left = await registrar(api, notes).remove((remembered("c1"), remembered("c2", HELP)))
    assert ([command.id for command in left], notes.said) == (["c1"], ["-c2"])
    assert len(logbook.find("cleanup failed")) == 1
