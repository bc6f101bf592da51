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


async def test_one_gateway_is_killed_and_its_database_cut(tmp_path: Path) -> None:
    """One process that is killed, stopped and cut off, and started again, answers every question once."""
    options = Options(
        seconds=12, gateways=1, accounts=2, seed=5, fault_pause=(2.0, 3.0), weights={"kill": 1, "drain": 1, "cut": 1}
    )
    report = await try_fleet(tmp_path, options)
    assert report.problems == ()
    assert report.numbers["answers"] + report.numbers["given_up"] == report.numbers["questions"] > 5
    assert sum(report.numbers["faults"].values()) >= 2
