"""Runs a bounded number of jobs concurrently; a MattermostError comes out without its exception group."""

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import trio

from oc_trio.core.exception_groups import first_leaf
from oc_trio.errors import MattermostError

T = TypeVar("T")


async def run_bounded(job: Callable[[T], Awaitable[None]], items: Iterable[T], at_once: int) -> None:
    """Run `job` for every item, `at_once` at a time; the first failure cancels the rest.

    If all failures are MattermostErrors the first comes out alone, else the group.
    """
    limit = trio.Semaphore(at_once)

    async def one(item: T) -> None:
        async with limit:
            await job(item)

    # Raised outside of the `except`, or the group would be its context in every traceback.
    error: MattermostError | None = None
    try:
        async with trio.open_nursery() as nursery:
            for item in items:
                nursery.start_soon(one, item)
    except ExceptionGroup as group:
        error = sole_mattermost_error(group)
        if error is None:
            raise
    if error is not None:
        raise error


def sole_mattermost_error(group: ExceptionGroup[Exception]) -> MattermostError | None:
    """The first MattermostError of a group that holds nothing else."""
    matching, others = group.split(MattermostError)
    return None if matching is None or others is not None else first_leaf(matching)
