"""Trigger ids."""

import random

import pytest

from oc_trio.sandbox.clock import SandboxClock
from oc_trio.sandbox.errors import ApiError
from oc_trio.sandbox.triggers import Triggers


def test_a_trigger_lives_thirty_seconds_and_cannot_be_forged() -> None:
    """It names its user while fresh; later, or changed, it is refused with the server's own error id."""
    now = [1_800_000_000_000]
    triggers = Triggers(SandboxClock(lambda: now[0], random.Random(1)))
    trigger = triggers.issue("u" * 26).id
    assert triggers.user_of(trigger) == "u" * 26
    with pytest.raises(ApiError, check=lambda e: e.code.endswith("missing_data")):
        triggers.user_of("nonsense")
    now[0] += 30_001
    with pytest.raises(ApiError, check=lambda e: e.code.endswith("expired")):
        triggers.user_of(trigger)
