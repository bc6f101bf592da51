"""A row of the journal that somebody changed: the gateway ends, in words that name it, and loses nothing."""

from typing import Any

import pytest
import trio

from oc_trio.agent.scripted import Pause, Say
from oc_trio.errors import StoreUnusable
from tests.runtime.harness import Town


def damage(town: Town, statement: str) -> None:
    cursor = town.journal.execute(statement)
    assert cursor.rowcount > 0


async def owing(town: Town) -> None:
    """A message whose turn has been cut off."""
    await town.start()
    town.script = [Say("so far"), Pause(60), Say(" and more")]
    town.say("@helper hello")
    await trio.sleep(10)
    await town.crash()


async def serve(town: Town) -> None:
    async with trio.open_nursery() as town.nursery:
        await town.start()
        await trio.sleep(120)
        town.nursery.cancel_scope.cancel()


async def failure(town: Town) -> str:
    """What the gateway ends with."""
    with pytest.raises(ExceptionGroup) as caught:
        await serve(town)
    town.gateway = None
    problem: Any = caught.value
    while isinstance(problem, ExceptionGroup):
        problem = problem.exceptions[0]
    assert isinstance(problem, StoreUnusable)
    return str(problem)


@pytest.mark.parametrize(
    ("statement", "row"),
    [
        pytest.param("UPDATE obligations SET payload = '{\"acc'", "a row of obligations, id ", id="message"),
        pytest.param("UPDATE obligations SET payload = '[]'", "a row of obligations, id ", id="another shape"),
        pytest.param("UPDATE sessions SET settings = '{'", "a row of sessions, key agent:main:", id="settings"),
        pytest.param("UPDATE turns SET final = '{\"state\": '", "a row of turns, id ", id="decided end"),
    ],
)
async def test_what_is_owed(statement: str, row: str, town: Town) -> None:
    """It is neither answered wrongly nor given up: whoever runs the gateway decides."""
    await owing(town)
    damage(town, statement)
    problem = await failure(town)
    assert problem.startswith(f"the journal is damaged: {row}")
    assert "put a backup in its place, or delete that row" in problem


async def test_what_was_said_before(town: Town) -> None:
    """A conversation's history; its next message meets it."""
    await town.start()
    town.script = [Say("hello")]
    post = town.say("@helper hello")
    await town.settled()
    await town.stop()
    damage(town, "UPDATE transcripts SET entry = substr(entry, 2)")
    town.say("@helper again", root=post)
    assert "a row of transcripts, session agent:main:" in await failure(town)
