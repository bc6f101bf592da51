"""The next model is tried while one is unavailable or refuses the key, and only then."""

from collections.abc import Iterable

import pytest

from oc_trio.agent.failures import Endpoint, from_status
from oc_trio.agent.fallback import FallbackAgent
from oc_trio.agent.port import TurnRequest
from oc_trio.agent.scripted import Say, ScriptedAgent, Step
from oc_trio.core.turn_events import Failed, Final, TextDelta
from oc_trio.errors import AgentError, AgentFailed, AgentUnavailable
from oc_trio.ids import AgentId, SessionKey
from tests.agent.model_server import collect

REQUEST = TurnRequest(AgentId("a"), SessionKey("s"), "", (), model="chosen")


class Models:
    """Agents that fail or answer, and a record of who was asked for which model."""

    def __init__(self, *items: AgentError | str) -> None:
        self.asked: list[tuple[int, str]] = []
        self.agent = FallbackAgent(tuple(self._agent(at, item) for at, item in enumerate(items)))

    def _agent(self, at: int, item: AgentError | str) -> ScriptedAgent:
        def script(request: TurnRequest) -> Iterable[Step]:
            self.asked.append((at, request.model))
            if isinstance(item, AgentError):
                raise item
            yield Say(item, delay=0)

        return ScriptedAgent(script)


def gone(name: str) -> AgentUnavailable:
    return AgentUnavailable(name, for_user=name)


async def test_the_first_that_answers_answers() -> None:
    """The model that the reader chose holds for the first agent alone."""
    models = Models(gone("one"), gone("two"), "three", "four")
    events = await collect(models.agent, REQUEST)
    assert events[0] == TextDelta("three")
    assert isinstance(events[-1], Final)
    assert models.asked == [(0, "chosen"), (1, ""), (2, "")]


async def test_when_all_are_unavailable_the_last_error_is_raised() -> None:
    """If no model is available, the error of the last one is raised."""
    with pytest.raises(AgentUnavailable, match="two"):
        await collect(Models(gone("one"), gone("two")).agent, REQUEST)


async def test_a_failure_is_not_another_models_business() -> None:
    """Too long a prompt or a refused request ends the turn."""
    models = Models(AgentFailed("too long", for_user="no"), "two")
    with pytest.raises(AgentFailed, match="too long"):
        await collect(models.agent, REQUEST)
    assert len(models.asked) == 1


@pytest.mark.parametrize(
    ("status", "words"), [(401, "no"), (403, "no"), (402, "no"), (429, "insufficient_quota"), (404, "no such model")]
)
async def test_a_server_that_is_closed_to_us_is_passed_over(status: int, words: str) -> None:
    """A key without rights or credit, and a model that is gone, say nothing of the next."""
    models = Models(from_status(Endpoint("m"), status, words.encode(), {}), "two")
    assert isinstance((await collect(models.agent, REQUEST))[-1], Final)
    assert len(models.asked) == 2


async def test_trouble_after_the_first_event_is_not_repeated_elsewhere() -> None:
    """Half an answer of one model is not continued by another."""

    def broken(_: TurnRequest) -> Iterable[Step]:
        yield TextDelta("half")
        raise gone("one")

    agent = FallbackAgent((ScriptedAgent(broken), ScriptedAgent(lambda _: [Say("other")])))
    assert await collect(agent, REQUEST) == [TextDelta("half"), Failed("one", "one", retryable=True)]
