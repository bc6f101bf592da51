"""An answer that the server will not take: words stand in for it, or it waits."""

from collections.abc import Callable

import pytest
import trio

from oc_trio.agent.scripted import Say
from oc_trio.core.obligations import OutboxState
from oc_trio.ids import OutboxId
from oc_trio.sandbox.exchange import SandboxRequest, SandboxResponse
from tests.runtime.town import Town

STAND_IN = "⚠️ The answer could not be posted here: the server does not take it. The log of the gateway says why."
OFF = {"streaming": {"mode": "off"}}


def fails(town: Town, status: int, which: Callable[[bytes], bool], until: float = 1e9) -> list[float]:
    """The server fails at posts whose body is such, for a while; returns when it did."""
    failures: list[float] = []

    async def fail(request: SandboxRequest) -> SandboxResponse | None:
        is_post = request.method == "POST" and request.path.endswith("/posts")
        if not (is_post and which(request.body) and trio.current_time() < until):
            return None
        failures.append(trio.current_time())
        return SandboxResponse.json({"id": "app.post.broken", "message": "no"}, status)

    town.weather.before_rules.append(fail)
    return failures


async def row(town: Town, turn: str, name: str) -> OutboxState | None:
    found = await town.store.outbox.get(OutboxId(f"{turn}.{name}"))
    return None if found is None else found.state


async def turn_of(town: Town) -> str:
    found = await town.store._engine.run(lambda tx: tx.value("SELECT id FROM turns"))
    return str(found)


@pytest.mark.parametrize("status", [400, 500])
async def test_an_answer_that_the_server_does_not_take(town: Town, status: int) -> None:
    """At once where it is refused, after a while where the server fails at it; the conversation goes on."""
    await town.start(OFF)
    fails(town, status, lambda body: b"poison" in body)
    town.script = [Say("some poison")]
    asked = town.say("@helper go")
    await trio.sleep(900)  # a look every 10 ms, as `settled` has, would take its time
    await town.settled()
    assert town.answers() == [STAND_IN]
    assert (await town.state(asked)).startswith("failed: not delivered:")
    assert [await row(town, await turn_of(town), name) for name in ("0", "u")] == [
        OutboxState.DEAD,
        OutboxState.CONFIRMED,
    ]
    town.script = [Say("at your service")]
    town.say("@helper and now?", root=asked)
    await town.settled()
    assert town.answers() == [STAND_IN, "at your service"]


async def test_a_server_that_takes_nothing(town: Town) -> None:
    """Its trouble is not the answer's: that waits, and no stand-in remains."""
    await town.start(OFF)
    fails(town, 500, lambda body: True, until=3000)
    town.script = [Say("an answer")]
    asked = town.say("@helper go")
    await trio.sleep(3000)
    await town.settled()
    assert town.answers() == ["an answer"]
    assert await town.state(asked) == "delivered"
    assert await row(town, await turn_of(town), "u") is OutboxState.DEAD
    assert await town.store.outbox.unfinished(town.account) == ()


async def test_a_part_that_the_server_does_not_take(town: Town) -> None:
    """What stands before it stays, what would follow it is not sent; a restart in between changes nothing of that."""
    await town.start({**OFF, "textChunkLimit": 20})
    fails(town, 400, lambda body: b"poison" in body)
    town.script = [Say("a first part of it\n\nand then the poison\n\nand a third part")]
    asked = town.say("@helper go")
    await town.settled()
    assert town.answers() == ["a first part of it", STAND_IN]
    found = await town.obligation(asked)
    assert found is not None
    assert list(found.outcome_posts) == [post.id for post in town.ours()]


async def test_a_restart_between_the_stand_in_and_the_end(town: Town) -> None:
    """The answer is not sent after it, and nothing is said twice."""
    await town.start(OFF)
    fails(town, 500, lambda body: b"poison" in body)
    town.script = [Say("some poison")]
    asked = town.say("@helper go")
    await trio.sleep(550)
    await town.until(lambda: STAND_IN in town.answers(), within=300)
    await town.crash()
    town.weather.before_rules.clear()
    await town.start(OFF)
    await town.settled()
    assert town.answers() == [STAND_IN]
    assert (await town.state(asked)).startswith("failed: not delivered:")


async def test_who_may_not_post_says_nothing(town: Town) -> None:
    """Where the refusal is about us, there is no place for other words."""
    await town.start(OFF)
    failures = fails(town, 403, lambda body: True)
    town.script = [Say("an answer")]
    asked = town.say("@helper go")
    await town.settled()
    assert (town.answers(), len(failures)) == ([], 1)
    assert (await town.state(asked)).startswith("failed: not delivered:")
