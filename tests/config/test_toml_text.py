"""What is written is read back the same."""

from typing import Any

import tomli
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.config.toml_text import toml_text

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
VALUES = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(TEXT, VALUES, max_size=4))
def test_round_trip(values: dict[str, Any]) -> None:
    """TOML text of any plain values decodes to those values."""
    assert tomli.loads(toml_text(values)) == values
