"""An error is described in one line even where its own text is empty."""

import ssl

import pytest

from oc_trio.core.describe_error import describe_error


def chained() -> Exception:
    try:
        try:
            raise ssl.SSLCertVerificationError("certificate verify failed: self-signed certificate")
        except ssl.SSLError as exc:
            raise ConnectionError from exc
    except ConnectionError as outer:
        return outer


@pytest.mark.parametrize(
    ("exc", "expected"),
    [
        pytest.param(OSError("refused"), "OSError: refused", id="plain"),
        pytest.param(TimeoutError(), "TimeoutError", id="nothing to tell"),
        pytest.param(ExceptionGroup("two", [TimeoutError(), OSError("b")]), "OSError: b", id="group"),
    ],
)
def test_explain(exc: Exception, expected: str) -> None:
    """The first telling text is found, else the name."""
    assert describe_error(exc) == expected


def test_the_cause_is_found_below_an_empty_text() -> None:
    """A TLS error three levels down is what the operator reads."""
    assert "self-signed certificate" in describe_error(chained())


def test_a_hidden_cause_is_found_too() -> None:
    """A library that raises from None hides it from tracebacks; the operator needs it all the same."""
    hidden = ConnectionError()
    hidden.__suppress_context__, hidden.__context__ = True, chained()
    assert "self-signed certificate" in describe_error(hidden)
