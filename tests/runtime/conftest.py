"""The town for every test of the runtime that asks for it, and its clock."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any

import pytest
import trio
import trio.testing

from tests.runtime.town import Town, open_town


def run_in_no_time(
    main: Callable[[], Awaitable[Any]],
    *,
    clock: trio.abc.Clock | None = None,
    instruments: Sequence[trio.abc.Instrument] = (),
) -> Any:
    """`trio.run` under a mock clock that jumps; a test with threads takes a clock fixture of its own."""
    return trio.run(main, clock=clock or trio.testing.MockClock(autojump_threshold=0), instruments=instruments)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that lives in the town lives by its clock, without naming it."""
    for item in items:
        if "town" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.trio(run=run_in_no_time), append=False)


@pytest.fixture
async def town(nursery: trio.Nursery) -> AsyncGenerator[Town, None]:
    """See `tests.runtime.town`."""
    async with open_town(nursery) as found:
        yield found
