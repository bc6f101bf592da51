"""Runs several works in one commit (group commit), and translates what the database raises to `StoreError`.

A transaction that the database undid because of another one, a deadlock for instance, is run again.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from outcome import Error, Outcome, capture

from oc_trio.errors import RowLocked, RowRefused, StoreError, StoreUnusable
from oc_trio.lease import Fence
from oc_trio.store.engine import Driver, Tx
from oc_trio.store.fences import FenceCheck

# A deadlock among three processes is broken by one of them, so the second try goes through; more are for bad luck.
MAX_TRIES = 4


class _Conflict(Exception):
    """The database undid the whole transaction, or a part of it, because of another transaction."""


def _work_error(driver: Driver, error: Exception) -> StoreError:
    if code := driver.refusal(error):
        # Without message and cause: databases quote the row in them, and rows hold people's messages.
        return RowRefused(f"{driver.name} refuses what a row would hold: {code}")
    return store_error(driver, error)


def store_error(driver: Driver, error: Exception) -> StoreError:
    kind: type[StoreError] = StoreError
    if driver.is_permanent(error):
        kind = StoreUnusable
    elif driver.is_locked(error):
        kind = RowLocked
    failure = kind(f"{driver.name}: {driver.problem(error) or type(error).__name__}")
    failure.__cause__ = error
    return failure


def _run_one(driver: Driver, work: Callable[[Tx], Any], fence: Fence | None, check: FenceCheck, nested: bool) -> Any:
    tx = Tx(driver, partial(check.require, fence) if fence is not None else None)
    if nested:
        driver.execute("SAVEPOINT job")
    result: Outcome[Any] = capture(work, tx)
    if isinstance(result, Error) and isinstance(result.error, driver.errors) and driver.is_conflict(result.error):
        raise _Conflict from result.error
    if nested:
        if isinstance(result, Error):
            driver.execute("ROLLBACK TO SAVEPOINT job")
            check.forget()
        driver.execute("RELEASE SAVEPOINT job")
    if isinstance(result, Error) and isinstance(result.error, driver.errors):
        return Error(_work_error(driver, result.error))
    return result


def _commit(driver: Driver, works: Sequence[Callable[[Tx], Any]], fences: Sequence[Fence | None]) -> list[Outcome[Any]]:
    # At first without savepoints, of which two statements per work are more than many a work has itself: nearly always
    # none fails. Where one does, the whole transaction is rolled back.
    results = _run_all(driver, works, fences, nested=False)
    if isinstance(results[-1], Error):
        driver.rollback()
        if len(works) == 1:
            return results
        results = _run_all(driver, works, fences, nested=True)
    driver.commit()
    return results


def _run_all(
    driver: Driver, works: Sequence[Callable[[Tx], Any]], fences: Sequence[Fence | None], *, nested: bool
) -> list[Outcome[Any]]:
    """Begin a transaction and run the works; without savepoints (`nested`) up to the first that fails."""
    driver.begin()
    check = FenceCheck(driver, fences)
    results: list[Outcome[Any]] = []
    for work, fence in zip(works, fences, strict=True):
        results.append(_run_one(driver, work, fence, check, nested))
        if not nested and isinstance(results[-1], Error):
            break
    return results


def commit_together(
    driver: Driver, works: Sequence[Callable[[Tx], Any]], fences: Sequence[Fence | None] | None = None
) -> list[Outcome[Any]]:
    """Runs several works in one commit, in order; one that fails is undone alone: all are run again with savepoints.

    `fences` has one for each work, None where it needs none. If the connection or the commit fails, nothing is kept and
    each work gets the StoreError.
    """
    failure: Exception | None = None
    for _ in range(MAX_TRIES):
        try:
            return _commit(driver, works, fences or [None] * len(works))
        except _Conflict as conflict:
            driver.rollback()
            failure = conflict.__cause__ if isinstance(conflict.__cause__, Exception) else conflict
        except driver.errors as error:
            driver.rollback()
            failure = error
            if not driver.is_conflict(error):
                break
        except StoreError as error:
            driver.rollback()
            # One exception object per work: each is raised in a task of its own, which adds its traceback to it.
            return [Error(type(error)(str(error))) for _ in works]
    assert failure is not None
    return [Error(store_error(driver, failure)) for _ in works]
