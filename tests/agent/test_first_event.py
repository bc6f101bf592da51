"""The first event is read ahead and not lost."""

import pytest

from oc_trio.agent.first_event import open_with_first_event
from oc_trio.agent.port import TurnRequest
from oc_trio.agent.scripted import ScriptedAgent
from oc_trio.core.turn_events import Final, Headline
from oc_trio.errors import AgentFailed
from oc_trio.ids import AgentId, SessionKey

REQUEST = TurnRequest(AgentId("a"), SessionKey("s"), "", ())


async def test_every_event_is_there() -> None:
    """In order, the one read ahead included."""
    async with open_with_first_event(
        ScriptedAgent(lambda _: [Headline("a"), Headline("b"), Final("c")]), REQUEST
    ) as events:
        assert [event async for event in events] == [Headline("a"), Headline("b"), Final("c")]


async def test_an_error_before_the_first_event_is_raised_on_entering() -> None:
    """So that whoever tries again has nothing open."""

    def script(_: TurnRequest) -> tuple[Final]:
        raise AgentFailed("op", for_user="sorry")

    entered = False
    with pytest.raises(AgentFailed):
        async with open_with_first_event(ScriptedAgent(script), REQUEST):
            entered = True
    assert not entered
