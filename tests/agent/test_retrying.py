"""An unavailable model is asked again, at the right times, and only while it has said nothing."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from oc_trio.agent.port import TurnRequest
from oc_trio.agent.retrying import RetryingAgent, RetrySettings
from oc_trio.agent.scripted import Pause, Say, ScriptedAgent, Step
from oc_trio.agent.stream import EventStream
from oc_trio.core.turn_events import AgentEvent, Failed, Final, TextDelta
from oc_trio.errors import AgentError, AgentFailed, AgentUnavailable
from oc_trio.ids import AgentId, SessionKey
from tests.agent.model_server import collect

REQUEST = TurnRequest(AgentId("a"), SessionKey("s"), "", ())


class NoJitter:
    """A random source that adds nothing."""

    def random(self) -> float:
        return 0.0


def busy(retry_after: float | None = None) -> AgentUnavailable:
    return AgentUnavailable("busy", for_user="busy", retry_after=retry_after)


class ScriptedAttempts:
    """One item per attempt: an error before the first event, or text. Records when it was asked."""

    def __init__(self, *items: AgentError | str) -> None:
        self.items = list(items)
        self.asked_at: list[float] = []

    def __call__(self, request: TurnRequest) -> Iterable[Step]:
        self.asked_at.append(trio.current_time())
        item = self.items.pop(0)
        if isinstance(item, AgentError):
            raise item
        yield Say(item, delay=0)


def retrying(script: Callable[[TurnRequest], Iterable[Step]], **retry: float) -> RetryingAgent:
    agent = ScriptedAgent(script)
    return RetryingAgent(agent, RetrySettings(**retry), NoJitter())  # type: ignore[arg-type]


CASES = [
    pytest.param((busy(), "hi"), {}, [0, 1], id="one failure"),
    pytest.param((busy(), busy(), "hi"), {}, [0, 1, 3], id="waits double"),
    pytest.param((busy(7), "hi"), {}, [0, 7], id="the server names the wait"),
    pytest.param((busy(0.1), "hi"), {}, [0, 1], id="a short Retry-After does not hurry us"),
    pytest.param((busy(), busy(), busy(), "hi"), {"attempts": 4, "longest_wait": 2}, [0, 1, 3, 5], id="a longest wait"),
]


@pytest.mark.parametrize(("items", "retry", "times"), CASES)
async def test_attempts_and_their_times(
    items: tuple[AgentError | str, ...],
    retry: dict[str, float],
    times: list[float],
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The table of attempts; the answer is whole."""
    script = ScriptedAttempts(*items)
    events = await collect(retrying(script, **retry), REQUEST)
    assert script.asked_at == pytest.approx(times)
    assert events[0] == TextDelta("hi")
    assert isinstance(events[-1], Final)


GIVEN_UP = [
    pytest.param((busy(), busy(), busy()), AgentUnavailable, 3, id="attempts used up"),
    pytest.param((busy(60),), AgentUnavailable, 1, id="too long a Retry-After"),
    pytest.param((AgentFailed("no", for_user="no"),), AgentFailed, 1, id="a failure is not retried"),
]


@pytest.mark.parametrize(("items", "kind", "attempts"), GIVEN_UP)
async def test_giving_up(
    items: tuple[AgentError, ...], kind: type[AgentError], attempts: int, autojump_clock: trio.testing.MockClock
) -> None:
    """The last error is the caller's."""
    script = ScriptedAttempts(*items)
    with pytest.raises(kind):
        await collect(retrying(script), REQUEST)
    assert len(script.asked_at) == attempts


async def test_a_model_that_let_its_deadline_pass_is_not_waited_for_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The time of all attempts together is bounded."""
    attempt_times: list[float] = []

    class Slow:
        @asynccontextmanager
        async def run(self, request: TurnRequest) -> AsyncIterator[EventStream]:
            attempt_times.append(trio.current_time())
            await trio.sleep(90)
            raise busy()
            yield

    with pytest.raises(AgentUnavailable):
        await collect(RetryingAgent(Slow()), REQUEST)
    assert len(attempt_times) == 1


async def test_nothing_is_repeated_after_the_first_event() -> None:
    """A model that breaks off is not asked to say it again."""
    attempts: list[int] = []

    def script(_: TurnRequest) -> Iterable[Step]:
        attempts.append(1)
        yield TextDelta("half")
        raise busy()

    events: list[AgentEvent] = await collect(retrying(script), REQUEST)
    assert events == [TextDelta("half"), Failed("busy", "busy", retryable=True)]
    assert attempts == [1]


async def test_cancelling_ends_the_wait_between_attempts(autojump_clock: trio.testing.MockClock) -> None:
    """The turn is gone at once."""

    def script(_: TurnRequest) -> Iterable[Step]:
        raise busy(15)
        yield Pause(0)

    with trio.move_on_after(3) as scope:
        await collect(retrying(script), REQUEST)
    assert scope.cancelled_caught
    assert trio.current_time() == pytest.approx(3)


@pytest.mark.parametrize("attempt", range(7))
@pytest.mark.parametrize("jitter", [0.0, 0.5, 0.999])
def test_jitter_never_undercuts_nor_passes_the_cap(attempt: int, jitter: float) -> None:
    """A wait is at least the doubled one, at most the longest."""
    wait = RetrySettings(attempts=99).delay(attempt, jitter)
    assert wait is not None
    assert min(2.0**attempt, 20.0) <= wait <= 20.0
