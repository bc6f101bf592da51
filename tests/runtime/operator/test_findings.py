"""The codes of `oc-trio doctor`: each is documented, and no other."""

import re
from pathlib import Path

import pytest

from oc_trio.runtime.operator.findings import WHY, Finding, Level

PAGE = Path(__file__).resolve().parents[3] / "docs" / "troubleshooting.md"


def test_every_finding_is_documented() -> None:
    """The table of the documentation has each code that stands for something to do."""
    _, _, section = PAGE.read_text().partition("## What `oc-trio doctor` finds")
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    documented = {code for row in rows for code in re.findall(r"`([a-z_.]+)`", row)}
    assert documented == {code for code, why in WHY.items() if why}


def test_an_unknown_code_is_a_mistake() -> None:
    """Programs go by the codes, so none is made up on the way."""
    with pytest.raises(ValueError, match="code"):
        Finding(Level.OK, "x", "y", "made.up")
