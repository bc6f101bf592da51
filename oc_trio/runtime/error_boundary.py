"""The only place where unexpected exceptions are caught: they fail the turn, message or event that raised them.

Elsewhere they propagate. The journal's errors and cancellation pass this boundary, too: without its journal an account
can't keep its promises, and a cancelled task has to end. So does the loss of the account's lease. A row that the
journal refuses for what it holds is a defect like any other.
"""

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

import trio

from oc_trio.classes import frozen
from oc_trio.errors import LeaseLost, RowRefused, StoreError
from oc_trio.ids import AccountId
from oc_trio.telemetry.log import get_logger
from oc_trio.telemetry.metrics import Metrics

log = get_logger(part="error_boundary")

About = Mapping[str, object] | Callable[[], Mapping[str, object]]

# What people read in place of an answer, and what the journal says of it.
SORRY = "⚠️ Something went wrong inside the gateway, so this was not answered. Its log says what."
DEFECT = "a defect of the gateway; the log has its traceback"


@frozen(eq=False)
class ErrorBoundary:
    """Contains the defects of one account's work."""

    account: AccountId
    metrics: Metrics

    async def contain(
        self,
        work: Callable[[], Awaitable[object]],
        part: str,
        about: About = MappingProxyType({}),
        *,
        passing: tuple[type[Exception], ...] = (StoreError,),
        will_retry: bool = False,
    ) -> Exception | None:
        """Do `work`. An unexpected exception is logged with its traceback and returned; None means that there was none.

        `part` names what fails by it, for log and metrics. `about` holds ids for the log, or is a function that gives
        them where they are not known before. Exceptions of the types `passing` are raised, as is cancellation, alone or
        out of a group; what was grouped with them is logged. Where the caller `will_retry`, it is logged as a warning.
        """
        try:
            await work()
        except (Exception, BaseExceptionGroup) as problem:
            defect, rest = _split(problem, passing)
            if defect is not None:
                self.metrics.defects.labels(self.account, part).inc()
                write = log.warning if will_retry else log.error
                write(
                    "a defect; trying again" if will_retry else "a defect failed one of many; please report it",
                    account=self.account,
                    failed=part,
                    **(about() if callable(about) else about),
                    exc_info=defect,
                )
            if rest is problem:
                raise
            if rest is not None:
                raise rest from None
            return defect
        return None

    def start(
        self,
        nursery: trio.Nursery,
        work: Callable[[], Awaitable[object]],
        part: str,
        about: About = MappingProxyType({}),
    ) -> None:
        """Do `work` as a child of `nursery`, which a defect of it does not end."""
        nursery.start_soon(self.contain, work, part, about)


def _split(
    problem: BaseException, passing: tuple[type[Exception], ...]
) -> tuple[Exception | None, BaseException | None]:
    """The defect in `problem`, and the rest, which has to be raised."""

    def is_defect(each: BaseException) -> bool:
        if isinstance(each, RowRefused):
            return True  # the journal goes on well without that row
        return isinstance(each, Exception) and not isinstance(each, (*passing, LeaseLost, BaseExceptionGroup))

    if isinstance(problem, BaseExceptionGroup):
        # Groups are looked into, not taken whole.
        defects, rest = problem.split(is_defect)
        assert defects is None or isinstance(defects, Exception), "a group of exceptions is one"
        return defects, problem if defects is None else rest
    if is_defect(problem):
        assert isinstance(problem, Exception), "a defect is one"
        return problem, None
    return None, problem
