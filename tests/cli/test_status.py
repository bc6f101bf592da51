"""What `oc-trio status` makes of a socket that gives no status; a running gateway is asked in `tests/e2e`."""

import httpx
import pytest

from oc_trio.cli.exits import EX_NOPERM, EX_UNAVAILABLE
from oc_trio.cli.status import _refusal


def connecting_failed(cause: OSError) -> httpx.ConnectError:
    """As httpx raises it: what the system said is a cause of causes."""
    problem, between = httpx.ConnectError(str(cause)), RuntimeError(str(cause))
    between.__cause__ = cause
    problem.__cause__ = between
    return problem


REFUSALS = [
    pytest.param(connecting_failed(FileNotFoundError(2, "none")), EX_UNAVAILABLE, "no gateway", id="no socket"),
    pytest.param(connecting_failed(ConnectionRefusedError(111, "dead")), EX_UNAVAILABLE, "no gateway", id="a dead one"),
    pytest.param(connecting_failed(PermissionError(13, "no")), EX_NOPERM, "as its user, or as root", id="another's"),
    pytest.param(httpx.ReadTimeout("slow"), EX_UNAVAILABLE, "does not answer (ReadTimeout)", id="it hangs"),
    pytest.param(ValueError("no JSON"), EX_UNAVAILABLE, "does not answer (ValueError)", id="something else answers"),
]


@pytest.mark.parametrize(("problem", "code", "words"), REFUSALS)
def test_why_there_is_no_status(problem: Exception, code: int, words: str) -> None:
    """Not being allowed to ask is not the same as nobody being there."""
    said, exits = _refusal(problem)
    assert exits == code
    assert words in said
