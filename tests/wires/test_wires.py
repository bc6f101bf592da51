"""Whatever strangers write, only the edge's own errors come out, and what comes in is clean text.

A bounded number of examples; `scripts/fuzz/wires.py` runs longer.
"""

import json
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings

from oc_trio.core.decode import decode_frame
from oc_trio.core.events import Event, EventFrame, Unhandled
from tests.wires.recorded import EVENTS
from tests.wires.wires import WIRES

# A trial of a model's agent costs three milliseconds, of a pure reader a tenth of one.
# Of whole answers one trial in twenty is read: with half as many a run now and then reads none.
_EXAMPLES = {"openai": 100, "anthropic": 100}
# Most changes break a body, and what is signed rarely survives one: the share that is read differs much between runs.
_MOSTLY_REFUSED = ("click", "dialog")
_UNHEALTHY = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example)


def test_every_event_has_an_example() -> None:
    """A new event gets its form on the wire in `EVENTS`; it is read there as what it is."""
    frames = [
        json.dumps({"event": name, "data": data, "broadcast": {"channel_id": "c1"}, "seq": 1})
        for name, data in EVENTS.items()
    ]
    decoded = {type(frame.event) for frame in map(decode_frame, frames) if isinstance(frame, EventFrame)}
    assert decoded == {*get_args(Event)} - {Unhandled}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(WIRES))
def test_a_wire_holds(name: str) -> None:
    """No other exception, no unclean text.

    And some of it is read: a wire that refuses everything would prove nothing.
    """
    if name == "mcp":
        pytest.importorskip("mcp")
    wire = WIRES[name]
    read: list[bool] = []

    @settings(max_examples=_EXAMPLES.get(name, 150), database=None, deadline=None, suppress_health_check=_UNHEALTHY)
    @given(wire.inputs)
    def trial(case: object) -> None:
        read.append(wire.read(case))

    trial()
    assert any(read) or name in _MOSTLY_REFUSED, "the mutations leave nothing of the structure"
