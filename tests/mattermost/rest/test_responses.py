"""One table from the server's answers to our errors."""

import pytest

from oc_trio.errors import MattermostRejected, MattermostUnavailable, PayloadError
from oc_trio.mattermost.rest.responses import error_from_response, read_json, retry_after

MM = b'{"id":"api.some.app_error","message":"no luck","status_code":1}'
RACE = b'{"id":"app.post.save.app_error","message":"no luck"}'
NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        pytest.param({"retry-after": "7"}, 7.0, id="seconds"),
        pytest.param({"retry-after": "0.5"}, 0.5, id="fraction"),
        pytest.param({"retry-after": "Tue, 14 Nov 2023 22:13:50 GMT"}, 30.0, id="date"),
        pytest.param({"retry-after": "Tue, 14 Nov 2023 22:13:10 GMT"}, 0.0, id="date in the past"),
        pytest.param({"retry-after": "31536000"}, 120.0, id="a year"),
        pytest.param({"retry-after": "inf"}, 120.0, id="for ever"),
        pytest.param({"retry-after": "Tue, 14 Nov 2033 22:13:50 GMT"}, 120.0, id="a date in ten years"),
        pytest.param({"retry-after": "Mon, 01 Jan 0001 00:00:00 +2359"}, 0.0, id="a date before all dates"),
        pytest.param({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "9" * 400}, 120.0, id="absurd reset"),
        pytest.param({"retry-after": "nan"}, None, id="not a number"),
        pytest.param({"retry-after": "soon"}, None, id="words"),
        pytest.param({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "11"}, 11.0, id="reset"),
        pytest.param({"x-ratelimit-remaining": "5", "x-ratelimit-reset": "11"}, None, id="reset with some left"),
        pytest.param({}, None, id="nothing"),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    """Each form of Retry-After is understood, and nonsense is no number."""
    assert retry_after(headers, NOW) == seconds


@pytest.mark.parametrize(
    ("status", "body", "writes", "ambiguous", "code"),
    [
        pytest.param(429, b"limit exceeded\n", True, False, "", id="429 in plain text"),
        pytest.param(500, MM, True, False, "api.some.app_error", id="500 of Mattermost"),
        pytest.param(500, RACE, True, False, "app.post.save.app_error", id="thread race"),
        pytest.param(500, b"<html>", True, True, "", id="500 of somebody else"),
        pytest.param(502, b"", True, True, "", id="502"),
        pytest.param(504, b"", False, False, "", id="504 of a read"),
        pytest.param(503, b"", True, True, "", id="503"),
        pytest.param(408, b"", True, True, "", id="408"),
    ],
)
def test_try_later(status: int, body: bytes, writes: bool, ambiguous: bool, code: str) -> None:
    """What may heal is MattermostUnavailable, ambiguous only where a write may have been applied."""
    error = error_from_response(status, {}, body, "POST /posts", writes=writes, now=NOW)
    assert isinstance(error, MattermostUnavailable)
    assert (error.status, error.ambiguous, error.code) == (status, ambiguous, code)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 301, 307], ids=str)
def test_do_not_retry(status: int) -> None:
    """Other 4xx, and redirects, are refusals."""
    error = error_from_response(
        status, {"location": "https://else.test/x?token=1"}, MM, "GET /x", writes=False, now=NOW
    )
    assert isinstance(error, MattermostRejected)
    assert (error.status, error.is_auth, "token=1" in str(error)) == (status, status == 401, False)


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        pytest.param(b"<p>words" * 5000, "GET /x: 502 (no answer of Mattermost's: 40000 bytes)", id="a long page"),
        pytest.param(
            b"<html><title>502 Bad\n Gateway</title><p>words", 'GET /x: 502 (a page: "502 Bad Gateway")', id="title"
        ),
        pytest.param(b"words", "GET /x: 502 (no answer of Mattermost's: 5 bytes)", id="a line"),
        pytest.param(b"", "GET /x: 502", id="nothing"),
    ],
)
def test_what_others_answer_is_not_quoted(body: bytes, shown: str) -> None:
    """A proxy may show what we sent, and that would be in the log."""
    assert str(error_from_response(502, {}, body, "GET /x", writes=False, now=NOW)) == shown


def test_what_is_json_is_clean() -> None:
    """Half an emoji and NUL stop here, however they are spelled; integers keep their digits."""
    body = b'{"a\\u0000": ["\\ud83d", "\\ud83d\\ude00", "\\\\u0000", 12345678901234567890123]}'
    assert read_json(body, "GET /x") == {"a": ["\ufffd", "\U0001f600", "\\u0000", 12345678901234567890123]}
    assert read_json(b'{"a": [{"b": []}]}', "GET /x") == {"a": [{"b": []}]}


@pytest.mark.parametrize(
    "body",
    [
        *(b"<html>", b"{", b"\xff\xfe", b'"\xed\xa0\x80"', b"NaN", b"[1e999]", b"1" * 5_000, b'{"a": 1}}'),
        pytest.param(b"[" * 100_000, id="100,000 brackets"),
        pytest.param(b"[" * 900 + b"]" * 900, id="900 levels"),
        pytest.param(b'{"a":' * 100_000, id="100,000 objects"),
    ],
    ids=lambda body: repr(body[:20]),
)
def test_what_is_not_json_is_their_fault(body: bytes) -> None:
    """Garbage raises PayloadError and nothing else."""
    with pytest.raises(PayloadError):
        read_json(body, "GET /x")


def test_an_empty_body_is_none() -> None:
    """A 204 has no value."""
    assert read_json(b"", "GET /x") is None
