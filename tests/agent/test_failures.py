"""Every way a model's server can refuse has one type, one sentence, and no secret in it."""

import httpx
import pytest

from oc_trio.agent import failures
from oc_trio.agent.failures import (
    Endpoint,
    error_text,
    from_status,
    from_stream,
    from_transport,
    retry_after,
)
from oc_trio.core.describe_error import describe_error
from oc_trio.errors import AgentError, AgentFailed, AgentUnavailable

HERE = Endpoint("m at http://x", ("super-secret", "ab"))

STREAM = [
    pytest.param("rate_limit_exceeded", "slow down", AgentUnavailable, failures.BUSY, id="rate limit"),
    pytest.param("429", "", AgentUnavailable, failures.BUSY, id="as a code"),
    pytest.param("invalid_request_error", "context_length_exceeded", AgentFailed, failures.TOO_LONG, id="too long"),
    pytest.param("authentication_error", "no", AgentFailed, failures.BAD_KEY, id="key"),
    pytest.param("invalid_request_error", "no", AgentFailed, failures.REFUSED, id="refused"),
    pytest.param("", "upstream gone", AgentUnavailable, failures.OVERLOADED, id="anything else"),
]


@pytest.mark.parametrize(("kind", "words", "error", "for_user"), STREAM)
def test_errors_inside_a_stream(kind: str, words: str, error: type[AgentError], for_user: str) -> None:
    """An error within a stream is judged by its type or code first, then by its text."""
    found = from_stream(HERE, kind, words)
    assert (type(found), found.for_user) == (error, for_user)


REQUEST = httpx.Request("POST", "http://x")
TRANSPORT = [
    pytest.param(httpx.ConnectError(""), AgentUnavailable, failures.UNREACHABLE, id="no connection"),
    pytest.param(httpx.ConnectTimeout(""), AgentUnavailable, failures.TOO_SLOW, id="slow connection"),
    pytest.param(httpx.ReadError(""), AgentUnavailable, failures.UNREACHABLE, id="broken"),
    pytest.param(httpx.RemoteProtocolError("eof"), AgentUnavailable, failures.UNREACHABLE, id="cut"),
    pytest.param(httpx.UnsupportedProtocol("gopher"), AgentFailed, failures.REFUSED, id="scheme"),
    pytest.param(httpx.InvalidURL("bad"), AgentFailed, failures.REFUSED, id="address"),
    pytest.param(httpx.DecodingError("gzip"), AgentFailed, failures.REFUSED, id="encoding"),
]


@pytest.mark.parametrize(("exc", "error", "for_user"), TRANSPORT)
def test_errors_without_an_answer(
    exc: httpx.HTTPError | httpx.InvalidURL, error: type[AgentError], for_user: str
) -> None:
    """An error of the transport gets its type and its sentence by the type of the exception."""
    found = from_transport(HERE, exc)
    assert (type(found), found.for_user) == (error, for_user)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 529])
def test_every_5xx_is_theirs(status: int) -> None:
    """Every 5xx means that the server is unavailable, and may be asked again later."""
    assert isinstance(from_status(HERE, status, b"", {}), AgentUnavailable)


def _chained() -> BaseException:
    outer, group = httpx.ConnectError(""), ExceptionGroup("", [OSError(111, "Connection refused")])
    outer.__cause__ = group
    return outer


@pytest.mark.parametrize(
    ("exc", "words"),
    [
        (ValueError("plain"), "ValueError: plain"),
        (_chained(), "ConnectionRefusedError: [Errno 111] Connection refused"),
        (httpx.ConnectError(""), "ConnectError"),
    ],
    ids=["plain", "below causes and groups", "nothing said"],
)
def test_the_reason_is_dug_out(exc: BaseException, words: str) -> None:
    """httpx on Trio hides it below empty exceptions."""
    assert describe_error(exc) == words


def test_secrets_are_cut_out_and_short_values_are_not() -> None:
    """Known values by value, keys by their look; a two-letter header value would blank out words."""
    line = HERE.clean("super-secret sk-abcdefgh12345 gsk_abcdefgh about\nlines")
    assert line == "*** *** *** about lines"


def test_a_provider_s_words_are_clean_and_hide_no_secret() -> None:
    """NUL inside a key does not hide it; half a surrogate pair does not reach the log."""
    assert HERE.clean("super-\0secret a\0b \ud83d") == "*** ab \ufffd"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error": {"type": "t", "code": "c", "message": "m"}}', "t: c: m"),
        (b'{"error": "m"}', "m"),
        (b'{"detail": "m"}', "m"),
        (b'{"x": 1}', '{"x": 1}'),
        (b"[1]", "[1]"),
        (b"<html>", "<html>"),
        (b"\xff", "\ufffd"),
        (b"[" * 100_000, "[" * 100_000),
    ],
    ids=["OpenAI", "Ollama", "FastAPI", "foreign object", "list", "no JSON", "no UTF-8", "too deep"],
)
def test_what_an_error_body_says(body: bytes, words: str) -> None:
    """The error text is read from bodies of every known shape."""
    assert error_text(body) == words


@pytest.mark.parametrize(
    ("value", "seconds"), [("7", 7.0), ("0.5", 0.5), ("", None), ("soon", None), ("-1", None), ("inf", None)]
)
def test_retry_after(value: str, seconds: float | None) -> None:
    """Only a number of seconds that makes sense."""
    assert retry_after({"retry-after": value}) == seconds


@pytest.mark.parametrize(
    ("status", "words", "expected"),
    [
        pytest.param(
            400, "image exceeds 5 MB maximum: 7 bytes > 5 bytes", failures.PICTURE_TOO_LARGE, id="anthropic-bytes"
        ),
        pytest.param(
            400, "image dimensions exceed max allowed size: 8000 pixels", failures.PICTURE_TOO_LARGE, id="dimensions"
        ),
        pytest.param(413, "the image is too large", failures.PICTURE_TOO_LARGE, id="413"),
        pytest.param(400, "Invalid image data", failures.PICTURE_REFUSED, id="openai-invalid"),
        pytest.param(
            500, "image input is not supported - hint: provide the mmproj", failures.PICTURE_REFUSED, id="llama.cpp"
        ),
        pytest.param(
            400, "m is not a multimodal model: image_url is not supported", failures.PICTURE_REFUSED, id="vllm"
        ),
    ],
)
def test_a_refusal_because_of_a_picture_says_so(status: int, words: str, expected: str) -> None:
    """People learn that it was the picture; trying again would not help."""
    error = from_status(Endpoint("m"), status, words.encode(), {})
    assert isinstance(error, AgentFailed)
    assert error.for_user == expected
