"""Whatever strangers write, only the edge's own errors come out, and what comes in is clean text.

A bounded number of examples; `scripts/fuzz/wires.py` runs longer.
"""

import pytest
from hypothesis import HealthCheck, given, settings

from tests.wires.wires import WIRES

# A trial of a model's agent costs three milliseconds, of a pure reader a tenth of one.
_EXAMPLES = {"openai": 100, "openai whole": 60, "anthropic": 100}
# Most changes break a body, and what is signed rarely survives one: the share that is read differs much between runs.
_MOSTLY_REFUSED = ("click", "dialog")
_UNHEALTHY = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example)


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
