"""The harness and the mock clock for tests of the runtime that ask for them."""

import random
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any

import pytest
import trio
import trio.testing

from tests.runtime.harness import Harness, open_harness
from tests.runtime.processes import Processes


def run_in_no_time(
    main: Callable[[], Awaitable[Any]],
    *,
    clock: trio.abc.Clock | None = None,
    instruments: Sequence[trio.abc.Instrument] = (),
) -> Any:
    """`trio.run` under a mock clock that jumps; a test with threads takes a clock fixture of its own.

    Tasks run in the same order each time, by Trio's own provision for Hypothesis.
    """
    core: Any = trio._core._run
    before = core._ALLOW_DETERMINISTIC_SCHEDULING, core._r
    core._ALLOW_DETERMINISTIC_SCHEDULING, core._r = True, random.Random(0)
    try:
        return trio.run(main, clock=clock or trio.testing.MockClock(autojump_threshold=0), instruments=instruments)
    finally:
        core._ALLOW_DETERMINISTIC_SCHEDULING, core._r = before


_LONG_TABLE, _QUICK_ROWS = 8, 5  # the rule is in CONTRIBUTING.md


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A clock fixture counts only where the test itself names it; `no_time` counts through other fixtures too.

    Of a long table whose rows each start a gateway, five are quick, evenly spread, the others are slow.
    """
    tables: defaultdict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        if "harness" in getattr(item, "fixturenames", ()):
            tables[item.nodeid.partition("[")[0]].append(item)
    for rows in tables.values():
        if len(rows) > _LONG_TABLE:
            quick = {number * len(rows) // _QUICK_ROWS for number in range(_QUICK_ROWS)}
            for number, row in enumerate(rows):
                if number not in quick:
                    row.add_marker(pytest.mark.slow)
    for item in items:
        if "no_time" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.trio(run=run_in_no_time), append=False)


@pytest.fixture
def no_time() -> None:
    """Whoever asks for this, directly or through a fixture, runs under a clock that jumps."""


@pytest.fixture
async def harness(no_time: None, nursery: trio.Nursery) -> AsyncGenerator[Harness, None]:
    """See `tests.runtime.harness`."""
    async with open_harness(nursery) as found:
        yield found


@pytest.fixture
async def processes(harness: Harness) -> AsyncGenerator[Processes, None]:
    """See `tests.runtime.processes`. Started by the test, and stopped at its end."""
    found = Processes(harness)
    yield found
    await found.stop()
