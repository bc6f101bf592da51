"""The interval between edits, shared by all drafts of an account."""

import trio
import trio.testing

from oc_trio.core.pacing import PacingRules
from oc_trio.runtime.turn.edit_pacer import EditPacer


async def test_it_grows_with_what_is_observed(autojump_clock: trio.testing.MockClock) -> None:
    """Length, latency, refusals and live drafts each lengthen it; a refusal is forgotten after a while."""
    pacer = EditPacer(PacingRules(base=1.0, longest=10.0, edits_per_s=10.0), live=1)
    calm = pacer.interval(100)
    assert pacer.interval(10_000) > calm
    pacer.answered(0.5)
    slow = pacer.interval(100)
    assert slow > calm
    pacer.throttled()
    assert pacer.interval(100) == 2 * slow
    await trio.sleep(31)
    assert pacer.interval(100) == slow
    pacer.live = 500
    assert pacer.interval(100) == 50.0
