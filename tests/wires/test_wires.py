"""Whatever strangers write, only the edge's own errors come out, and what comes in is clean text.

A bounded number of examples; `scripts/fuzz/wires.py` runs longer.
"""

import pytest
from hypothesis import HealthCheck, given, settings

from tests.wires.wires import WIRES

# A trial of a model's agent costs three milliseconds, of a pure reader a tenth of one.
_EXAMPLES = {"openai": 100, "openai whole": 60, "anthropic": 100}
# What is signed rarely survives a change; one body of JSON is broken by most of them.
_READ = {"click": 0.0, "dialog": 0.0, "mcp": 0.01, "openai whole": 0.01, "command": 0.01}
_UNHEALTHY = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(WIRES))
def test_a_wire_holds(name: str) -> None:
    """No other exception, no unclean text.

    And enough of it is read: a wire that refuses everything would prove nothing.
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
    assert sum(read) >= len(read) * _READ.get(name, 0.05), "the mutations leave nothing of the structure"
