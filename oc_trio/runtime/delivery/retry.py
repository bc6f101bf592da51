"""The tries of one write: the pause before the next, and how often in a row the server failed at it."""

import trio
from attrs import define

from oc_trio.core.backoff import RetryPolicy, no_sooner_than
from oc_trio.errors import MattermostUnavailable
from oc_trio.ids import AccountId
from oc_trio.runtime.clock import Clock
from oc_trio.telemetry.log import get_logger
from oc_trio.telemetry.metrics import Metrics

log = get_logger(part="delivery")


@define(eq=False)
class RetryState:
    """`what` is the row's or the post's id, for the log."""

    what: str
    account: AccountId
    retries: RetryPolicy
    clock: Clock
    metrics: Metrics
    made: int = 0
    faults: int = 0

    def failed(self, problem: MattermostUnavailable) -> None:
        """Count a try. An answer that says 500 is about this post; a server that is away says something else."""
        self.made += 1
        self.faults = self.faults + 1 if problem.status == 500 else 0

    async def pause(self, problem: MattermostUnavailable) -> None:
        """Wait before the next try, and say so."""
        delay = self.retries.delay(self.made - 1, self.clock.random.random())
        seconds = no_sooner_than(delay, problem.retry_after)
        self.metrics.rest_retries.labels(self.account, str(problem.status or "no answer")).inc()
        log.info(
            "will try again", account=self.account, what=self.what, seconds=round(seconds, 1), problem=str(problem)
        )
        await trio.sleep(seconds)
