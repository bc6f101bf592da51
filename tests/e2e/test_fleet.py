"""Gateways on one PostgreSQL, with faults at random moments under load: every question has one answer.

`scripts/fleet_check --minutes 60` does the same for as long as you like.
"""

from pathlib import Path

import pytest

from tests.e2e.fleet.trial import Options, try_fleet
from tests.store.cluster import binaries

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.postgres,
    pytest.mark.skipif(binaries() is None, reason="PostgreSQL's server binaries are not installed"),
    # httpx leaves the body of a request behind that a killed gateway did not read.
    pytest.mark.filterwarnings("ignore:Async generator 'httpx._content.ByteStream:ResourceWarning"),
]


async def test_three_gateways(tmp_path: Path) -> None:
    """Three processes and as many bots: whoever dies, is paused, stops or loses the database is replaced by another."""
    options = Options(
        seconds=11,
        seed=9,
        fault_pause=(2.0, 4.0),
        weights={"kill": 3, "pause": 2, "drain": 2, "cut": 1, "silence": 2},
    )
    report = await try_fleet(tmp_path, options)
    assert report.problems == ()
    assert report.numbers["answers"] + report.numbers["given_up"] == report.numbers["questions"] > 5
    assert report.numbers["lease_changes"] > 3
