"""`dmChannelRetry` in a running gateway: attempts to open a direct channel for a message, and their times."""

import json
from itertools import pairwise
from typing import Any

import pytest
import trio

from oc_trio.agent.scripted import CallTool, Say
from oc_trio.sandbox.request import SandboxRequest, SandboxResponse
from tests.runtime.harness import Harness


async def write_to_bob(harness: Harness, statuses: list[int], **retry: int) -> tuple[dict[str, Any], list[float]]:
    """What the message tool tells, and the seconds between the attempts to open the channel."""
    times: list[float] = []
    left = list(statuses)

    async def refuse(request: SandboxRequest) -> SandboxResponse | None:
        if request.method != "POST" or not request.path.endswith("/channels/direct"):
            return None
        times.append(trio.current_time())
        headers = (("content-type", "application/json"),)
        return SandboxResponse(left.pop(0), headers, b'{"id": "x", "message": "no"}') if left else None

    results: list[Any] = []

    def script(request: Any) -> Any:
        results.append((yield CallTool("message", {"action": "send", "target": "@bob", "message": "psst"})))
        yield Say("done")

    await harness.start({"dmChannelRetry": retry, "actions": {"membersOnly": False}})
    harness.script = script
    harness.faults.before_rules.append(refuse)
    harness.say("@helper go")
    await harness.settled()
    text = results[0].text
    between = [later - earlier for earlier, later in pairwise(times)]
    return json.loads(text) if text.startswith("{") else {"failed": text}, between


@pytest.mark.parametrize(
    ("retry", "statuses", "waits"),
    [
        pytest.param({}, [], [], id="at once"),
        pytest.param({}, [503, 500], [(1, 2), (2, 4)], id="5xx twice"),
        pytest.param({}, [429], [(1, 2)], id="429"),
        pytest.param({}, [503] * 3, [(1, 2), (2, 4), (4, 8)], id="all retries"),
        pytest.param({"initialDelayMs": 4000, "maxDelayMs": 5000}, [503, 503], [(4, 5), (5, 5)], id="capped"),
    ],
)
async def test_dm_channel_retry(
    harness: Harness, retry: dict[str, int], statuses: list[int], waits: list[tuple[float, float]]
) -> None:
    """Transient failures are tried again by the configured policy, then the message goes out."""
    result, between = await write_to_bob(harness, statuses, **retry)
    assert result["ok"] is True
    assert harness.answers(harness.world.direct(harness.bob, harness.bot)) == ["psst"]
    assert len(between) == len(waits)
    assert all(low - 0.01 <= wait <= high + 0.01 for (low, high), wait in zip(waits, between))


@pytest.mark.parametrize("status", [400, 403, 404])
async def test_permanent_refusals_are_not_retried(harness: Harness, status: int) -> None:
    """Any other 4xx is final at once."""
    result, between = await write_to_bob(harness, [status])
    assert result["failed"].startswith("Not sent to @bob")
    assert between == []


async def test_the_outbox_outlasts_the_retries(harness: Harness) -> None:
    """`maxRetries` bounds one job of the scheduler; the message is not lost for it."""
    result, between = await write_to_bob(harness, [503] * 3, maxRetries=1)
    assert result["ok"] is True
    assert len(between) == 3
