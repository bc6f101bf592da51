"""The town for every test of the runtime; an error in the log that a test did not announce fails it."""

from collections.abc import AsyncGenerator, Generator
from typing import Any

import pytest
import structlog
import trio
import trio.testing

from tests.runtime.town import Town, errors_of, open_town


@pytest.fixture
def logs(request: pytest.FixtureRequest) -> Generator[list[Any], None, None]:
    """The log lines of a test. `@pytest.mark.usefixtures("errors_expected")` lets errors pass."""
    with structlog.testing.capture_logs() as lines:
        yield lines
    if "errors_expected" not in request.fixturenames:
        assert errors_of(lines) == []


@pytest.fixture
def errors_expected() -> None:
    """Errors in the log are part of the test."""


@pytest.fixture
async def town(
    nursery: trio.Nursery, logs: list[Any], autojump_clock: trio.testing.MockClock
) -> AsyncGenerator[Town, None]:
    """See `tests.runtime.town`."""
    async with open_town(nursery) as found:
        yield found
