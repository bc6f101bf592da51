"""At most so many turns of one endpoint at the same time."""

import trio
import trio.testing

from oc_trio.agent.concurrency_limit import LimitedAgent
from oc_trio.agent.port import TurnRequest
from oc_trio.agent.scripted import Pause, Say, ScriptedAgent
from oc_trio.ids import AgentId, SessionKey

REQUEST = TurnRequest(AgentId("main"), SessionKey("s"), "", ())


async def test_the_third_waits_for_its_place(autojump_clock: trio.testing.MockClock) -> None:
    """Two turns of ten seconds run side by side, the third after them."""
    limiter = trio.CapacityLimiter(2)
    ended: list[float] = []

    async def turn() -> None:
        agent = LimitedAgent(ScriptedAgent(lambda _request: [Pause(10), Say("x", delay=0)]), limiter)
        async with agent.run(REQUEST) as events:
            async for _ in events:
                pass
        ended.append(round(trio.current_time()))

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(turn)
    assert ended == [10, 10, 20]
    assert limiter.borrowed_tokens == 0
