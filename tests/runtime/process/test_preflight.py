"""What is asked of Mattermost before anything is served."""

import httpx
import pytest
import trio

from oc_trio.runtime.account.dependencies import Dependencies
from oc_trio.runtime.process.gateway import STANDBY_SECONDS
from oc_trio.runtime.process.preflight import run_preflight
from tests.runtime.harness import Harness


class SilentServer(httpx.AsyncBaseTransport):
    """Takes requests and answers none."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await trio.sleep_forever()
        raise AssertionError


async def test_a_silent_server_keeps_nobody_from_standing_by(harness: Harness) -> None:
    """Whoever may have to take over from another process is there after seconds, and does not fail."""
    accounts = harness.configured().accounts.values()
    began = trio.current_time()
    silent = Dependencies(http_transport=lambda _url: SilentServer())
    await run_preflight(list(accounts), silent, at_most=STANDBY_SECONDS)
    assert trio.current_time() - began == pytest.approx(STANDBY_SECONDS)
