"""How soon a failed account is started again."""

import random
from itertools import pairwise

import attrs
import pytest
import trio
import trio.testing

from oc_trio.config.document import Document
from oc_trio.config.load import build
from oc_trio.errors import StoreError
from oc_trio.ids import AccountId
from oc_trio.runtime.drain import Drain
from oc_trio.runtime.env import Env
from oc_trio.runtime.fleet import Fleet, Plan
from oc_trio.runtime.reload import plans
from oc_trio.telemetry.health import Health
from oc_trio.telemetry.metrics import Metrics
from tests.logbook import Logbook

ACCOUNT = {"baseUrl": "http://mm.test", "botToken": "a-token-for-this-test-only"}


@attrs.define
class Failing:
    """Serves nothing: notes when it was asked to, and fails."""

    problem: Exception
    times: list[float] = attrs.field(factory=list)

    async def __call__(self, plan: Plan, drain: Drain) -> None:
        self.times.append(trio.current_time())
        await trio.lowlevel.checkpoint()
        raise self.problem


@pytest.mark.parametrize(
    ("problem", "longest", "line"),
    [
        (StoreError("sqlite: database or disk is full"), 36.0, "the journal failed; starting the account again"),
        (
            ExceptionGroup("", [StoreError("full"), ZeroDivisionError("a mistake")]),
            360.0,
            "account failed; starting it again",
        ),
    ],
    ids=["journal", "program"],
)
async def test_a_journal_is_asked_again_sooner(
    autojump_clock: trio.testing.MockClock, logbook: Logbook, problem: Exception, longest: float, line: str
) -> None:
    """People empty a full disk and want their answers then; a mistake of the program is not mended by trying."""
    loaded = build(Document({"channels": {"mattermost": ACCOUNT}}), {})
    [plan] = plans(loaded).values()
    serve = Failing(problem)
    env = Env(lambda: 0, random.Random(1))
    health = Health(env.now_ms)
    async with trio.open_nursery() as nursery:
        Fleet(nursery, serve, env, health, Metrics()).start(plan, drain_seconds=0.0)
        await trio.sleep(3600)
        nursery.cancel_scope.cancel()
    waits = [later - earlier for earlier, later in pairwise(serve.times)]
    assert longest / 2 < max(waits) <= longest
    assert health.account(AccountId("default")).state == "failed"
    assert len(logbook.said(line)) == len(serve.times)
