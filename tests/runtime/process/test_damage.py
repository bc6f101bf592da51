"""A row of the journal that somebody changed: the gateway ends, in words that name it, and loses nothing."""

from typing import Any

import pytest
import trio

from oc_trio.agent.scripted import Pause, Say
from oc_trio.errors import StoreUnusable
from tests.runtime.harness import Harness


def damage(harness: Harness, statement: str) -> None:
    cursor = harness.journal.execute(statement)
    assert cursor.rowcount > 0


async def owing(harness: Harness) -> None:
    """A message whose turn has been cut off."""
    await harness.start()
    harness.script = [Say("so far"), Pause(60), Say(" and more")]
    harness.say("@helper hello")
    await trio.sleep(10)
    await harness.crash()


async def serve(harness: Harness) -> None:
    async with trio.open_nursery() as harness.nursery:
        await harness.start()
        await trio.sleep(120)
        harness.nursery.cancel_scope.cancel()


async def failure(harness: Harness) -> str:
    """What the gateway ends with."""
    with pytest.RaisesGroup(StoreUnusable, flatten_subgroups=True) as caught:
        await serve(harness)
    harness.gateway = None
    problem: Any = caught.value
    while isinstance(problem, ExceptionGroup):
        problem = problem.exceptions[0]
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
async def test_what_is_owed(statement: str, row: str, harness: Harness) -> None:
    """It is neither answered wrongly nor given up: whoever runs the gateway decides."""
    await owing(harness)
    damage(harness, statement)
    problem = await failure(harness)
    assert problem.startswith(f"the journal is damaged: {row}")
    assert "put a backup in its place, or delete that row" in problem


async def test_what_was_said_before(harness: Harness) -> None:
    """A conversation's history; its next message meets it."""
    await harness.start()
    harness.script = [Say("hello")]
    post = harness.say("@helper hello")
    await harness.settled()
    await harness.stop()
    damage(harness, "UPDATE transcripts SET entry = substr(entry, 2)")
    harness.say("@helper again", root=post)
    assert "a row of transcripts, session agent:main:" in await failure(harness)
