"""How the ends of requests are reported."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import httpx
import pytest
from attrs import frozen

from oc_trio.agent.build import AgentSpec, build_agent
from oc_trio.agent.observed import ObservedAgent
from oc_trio.agent.port import TurnRequest
from oc_trio.agent.retrying import RetrySettings
from oc_trio.core.turn_events import AgentEvent, Failed, Final, TextDelta
from oc_trio.errors import AgentFailed, AgentUnavailable
from oc_trio.ids import AgentId, SessionKey
from oc_trio.telemetry.model_calls import LONGEST, ModelCalls

REQUEST = TurnRequest(AgentId("a"), SessionKey("s"), "", ())


@frozen
class ScriptedEvents:
    """Plays events, and raises what is given in the place of one; `at_once` where the stream can't be opened."""

    events: Sequence[AgentEvent | Exception]
    at_once: Exception | None = None

    @asynccontextmanager
    async def run(self, request: TurnRequest) -> AsyncIterator[AsyncIterator[AgentEvent]]:
        if self.at_once is not None:
            raise self.at_once

        async def stream() -> AsyncIterator[AgentEvent]:
            for event in self.events:
                if isinstance(event, Exception):
                    raise event
                yield event

        yield stream()


async def reports(agent: ScriptedEvents) -> list[str]:
    ends: list[str] = []
    try:
        async with ObservedAgent(agent, ends.append).run(REQUEST) as events:
            async for _ in events:
                pass
    except (AgentFailed, AgentUnavailable):
        ends.append("raised")
    return ends


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        pytest.param(ScriptedEvents([TextDelta("hi"), Final("hi")]), [""], id="an answer"),
        pytest.param(ScriptedEvents([Failed("Sorry.", "HTTP 500")]), ["HTTP 500"], id="a failure at the end"),
        pytest.param(
            ScriptedEvents([AgentUnavailable("refused", for_user="Sorry.")]), ["refused", "raised"], id="unavailable"
        ),
        pytest.param(
            ScriptedEvents([], AgentFailed("no program", for_user="Sorry.")),
            ["no program", "raised"],
            id="it can't be started",
        ),
    ],
)
async def test_how_a_request_ended(agent: ScriptedEvents, expected: list[str]) -> None:
    """The error for operators, or nothing for an answer; errors come out as they were."""
    assert await reports(agent) == expected


async def test_what_is_built_reports() -> None:
    """Each request of a built agent is reported."""
    ends: list[str] = []
    spec = AgentSpec(api="command", command=("/nowhere/agent",), retry=RetrySettings(attempts=1), on_end=ends.append)
    async with httpx.AsyncClient(verify=False) as http:
        with pytest.raises((AgentUnavailable, AgentFailed)):
            async with build_agent(spec, http).run(REQUEST) as events:
                await anext(events)
    (error,) = ends
    assert "/nowhere/agent" in error


def test_the_status_of_a_model() -> None:
    """The last answer and the last error stand beside each other; models that are gone are forgotten."""
    now = [100]
    calls = ModelCalls(lambda: now[0])
    calls.ended("a/b", "x" * 5000)
    now[0] = 200
    calls.ended("a/b", "")
    (status,) = calls.current()
    assert status == {"model": "a/b", "answered_at": 200, "error_at": 100, "error": "x" * LONGEST, "is_well": True}
    calls.ended("a/b", "again")
    assert calls.current()[0]["is_well"] is False
    calls.keep(["c/d"])
    assert calls.current() == []
