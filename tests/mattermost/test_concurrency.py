"""A bounded number of concurrent jobs, and errors without an exception group where possible."""

import pytest
import trio

from oc_trio.errors import MattermostRejected, MattermostUnavailable
from oc_trio.mattermost.concurrency import run_bounded


async def test_no_more_than_allowed_run_at_once(autojump_clock: trio.testing.MockClock) -> None:
    """Ten jobs of a second, three at a time, take four seconds."""

    async def job(_: int) -> None:
        await trio.sleep(1)

    await run_bounded(job, range(10), 3)
    assert trio.current_time() == 4


async def test_the_first_failure_ends_the_rest(autojump_clock: trio.testing.MockClock) -> None:
    """A server's refusal comes out alone, and jobs under way are cancelled."""

    async def job(number: int) -> None:
        await trio.sleep(number)
        if number == 1:
            raise MattermostRejected("no", status=403)

    with pytest.raises(MattermostRejected):
        await run_bounded(job, range(10), 10)
    assert trio.current_time() == 1


async def test_a_programming_error_is_never_hidden(autojump_clock: trio.testing.MockClock) -> None:
    """Beside an error of our own a refusal does not come out alone."""

    async def job(number: int) -> None:
        with trio.CancelScope(shield=True):  # so that the first failure does not spare us the second
            await trio.lowlevel.checkpoint()
        raise MattermostUnavailable("later") if number else ZeroDivisionError

    with pytest.RaisesGroup(ZeroDivisionError, MattermostUnavailable):
        await run_bounded(job, range(2), 2)
