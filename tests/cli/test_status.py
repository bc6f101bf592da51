"""What `oc-trio status` makes of a socket that gives no status; a running gateway is asked in `tests/e2e`."""

from http.client import BadStatusLine

import pytest

from oc_trio.cli.admin_socket import reason
from oc_trio.cli.exits import EX_NOPERM, EX_UNAVAILABLE

REFUSALS = [
    pytest.param(FileNotFoundError(2, "none"), EX_UNAVAILABLE, "no gateway", id="no socket"),
    pytest.param(ConnectionRefusedError(111, "dead"), EX_UNAVAILABLE, "no gateway", id="a dead one"),
    pytest.param(PermissionError(13, "no"), EX_NOPERM, "as its user, or as root", id="another's"),
    pytest.param(TimeoutError("slow"), EX_UNAVAILABLE, "does not answer (TimeoutError)", id="it hangs"),
    pytest.param(BadStatusLine("x"), EX_UNAVAILABLE, "does not answer (BadStatusLine)", id="it speaks no HTTP"),
    pytest.param(ValueError("no JSON"), EX_UNAVAILABLE, "does not answer (ValueError)", id="something else answers"),
]


@pytest.mark.parametrize(("problem", "code", "words"), REFUSALS)
def test_why_there_is_no_status(problem: Exception, code: int, words: str) -> None:
    """Not being allowed to ask is not the same as nobody being there."""
    said, exits = reason(problem)
    assert exits == code
    assert words in said
