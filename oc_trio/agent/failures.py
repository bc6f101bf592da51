"""Translates errors of a model's server, by exception type, HTTP status or error text, into our AgentErrors.

Each has one honest sentence for the chat and one line for the operator. Secrets are cut out of both.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
from attrs import field

from oc_trio.classes import frozen
from oc_trio.core.describe_error import describe_error
from oc_trio.core.text import clean
from oc_trio.errors import AgentError, AgentFailed, AgentUnavailable

_BODY_SHOWN = 300  # characters of a server's text in a line of the log
_WORDS = 4000  # characters of it that are searched for what the server refuses
# Shorter values (an organisation's name in a header) would redact ordinary words.
_SHORTEST_SECRET = 6
# Providers quote the key that they refuse; it may be another than the configured one.
_KEY_LIKE = re.compile(r"\b(sk|key|pk|gsk|xai)[-_][A-Za-z0-9_\-*.]{8,}")
# "max_tokens" alone says nothing: most refusals that name it are about the field, not about the conversation.
_TOO_LONG = re.compile(
    r"context[ _-]?(?:length|window|size)|maximum context|too many (?:input |prompt )?tokens"
    r"|(?:prompt|input|request|conversation|messages?) (?:is|are|was) too long|prompt_too_long|input[ _]too[ _]long"
    r"|(?:prompt|input)\b[^.]{0,80}\bexceeds?\b[^.]{0,60}(?:tokens?|maximum|limit|length)"
    r"|maximum (?:prompt|input|sequence) length"
    r"|reduce the length of (?:the|your) (?:messages|prompt|input|conversation)",
    re.IGNORECASE,
)
_NO_CREDIT = ("insufficient_quota", "credit balance", "billing")

_PICTURE = re.compile(r"\b(image|images|image_url|picture|vision)\b")
_PICTURE_SIZE = re.compile(r"exceed|too large|too big|maximum|dimension|larger than|\bmax\b|size")
_PICTURE_PROBLEM = re.compile(
    _PICTURE_SIZE.pattern + r"|support|invalid|process|decode|format|media.?type|does not accept|cannot|can't|unknown"
)

BUSY = "The model is busy right now (rate limited). Please try again in a moment."
OVERLOADED = "The model's server has a problem right now. Please try again in a moment."
UNREACHABLE = "I can't reach the model's server right now. Please try again in a moment."
TOO_SLOW = "The model took too long to answer. Please try again."
BAD_KEY = "The model's server refused my credentials. Please tell whoever runs this bot."
NO_CREDIT = "The account behind this bot has no credit left at the model's provider. Please tell whoever runs it."
NO_MODEL = "The model I am set up to use was not found. Please tell whoever runs this bot."
TOO_LONG = "This conversation has grown too long for the model. Start a new one with /new."
PICTURE_TOO_LARGE = "The picture is too large for this model."
PICTURE_REFUSED = "This model does not take the picture. Please ask again without it."
REFUSED = "The model's server refused this request. Please tell whoever runs this bot."
TOO_BIG = "The model's server sent more than I can take in. Please try again."
GARBLED = "The model's server sent something that I can't read. Please tell whoever runs this bot."
BROKEN = "The model's answer broke off in the middle. Please try again."


@frozen
class Endpoint:
    """The server, for error messages: `name` is safe to print, `secrets` are never printed."""

    name: str
    secrets: Sequence[str] = field(default=(), repr=False)

    def clean(self, text: str, limit: int = _BODY_SHOWN) -> str:
        """`text` on one line, bounded, without secrets, NUL and halves of surrogate pairs."""
        text = clean(text)  # first: NUL inside a secret would hide it
        for secret in self.secrets:
            if len(secret) >= _SHORTEST_SECRET:
                text = text.replace(secret, "***")
        return " ".join(_KEY_LIKE.sub("***", text).split())[:limit]


def provider_tag(api: str, base_url: str) -> str:
    """An id of the provider for the journal, which marks its opaque fields; a hash, since an address may have a key."""
    return hashlib.sha256(f"{api} {base_url.rstrip('/')}".encode()).hexdigest()[:16]


def from_transport(endpoint: Endpoint, exc: httpx.HTTPError | httpx.InvalidURL, *, started: bool = False) -> AgentError:
    """The error of a request without a complete response; `started` says whether a part of it came."""
    line = endpoint.clean(f"{endpoint.name}: {describe_error(exc, max_chars=None)}")
    if isinstance(exc, httpx.TimeoutException):
        return AgentUnavailable(line, for_user=TOO_SLOW)
    if isinstance(exc, httpx.RemoteProtocolError | httpx.ReadError):
        return AgentUnavailable(line, for_user=BROKEN if started else UNREACHABLE)
    # A wrong scheme in the configured URL stays wrong, however often it is tried.
    if isinstance(exc, httpx.TransportError) and not isinstance(exc, httpx.UnsupportedProtocol):
        return AgentUnavailable(line, for_user=UNREACHABLE)
    return AgentFailed(line, for_user=REFUSED)


def from_status(endpoint: Endpoint, status: int, body: bytes, headers: Mapping[str, str]) -> AgentError:
    """The error of a response that is not 2xx. 408, 409, 425, 429 and 5xx (529 too) are temporary, other 4xx not."""
    words = error_text(body)
    line = endpoint.clean(f"{endpoint.name}: HTTP {status}: {words}")
    if status == 429 and any(mark in words.lower() for mark in _NO_CREDIT):
        return _refused(line, NO_CREDIT)
    # These statuses are about the key, the credit or the rate, not about fields of the request.
    refusal = endpoint.clean(words, _WORDS) if status not in (401, 402, 403, 413, 429) else ""
    # llama.cpp refuses a picture with a 500.
    if status in (400, 413, 415, 422, 500) and (picture := _picture_problem(words.lower())):
        return AgentFailed(line, for_user=picture)
    if status in (408, 409, 425, 429) or status >= 500:
        for_user = BUSY if status == 429 else OVERLOADED
        return AgentUnavailable(line, for_user=for_user, retry_after=retry_after(headers), words=refusal)
    return _refused(line, _text_for_user(status, words.lower()), refusal)


def from_stream(endpoint: Endpoint, kind: str, message: str) -> AgentError:
    """The error of an error event in the stream; `kind` is its `type` or `code`."""
    error = _from_stream(endpoint, kind, message)
    error.words = endpoint.clean(message, _WORDS)
    return error


def _from_stream(endpoint: Endpoint, kind: str, message: str) -> AgentError:
    line = endpoint.clean(f"{endpoint.name}: {kind}: {message}" if kind else f"{endpoint.name}: {message}")
    words = f"{kind} {message}".lower()
    status = int(kind) if kind.isascii() and kind.isdigit() and len(kind) == 3 else 0
    if 400 <= status < 500 and status not in (408, 409, 425, 429):
        return _refused(line, _text_for_user(status, words))
    # The status of the response was a success, so only this text tells what kind of error it is.
    if "rate_limit" in words or "rate limit" in words or kind == "429":
        return AgentUnavailable(line, for_user=BUSY)
    if picture := _picture_problem(words):
        return AgentFailed(line, for_user=picture)
    if _TOO_LONG.search(words):
        return AgentFailed(line, for_user=TOO_LONG)
    if "authentication" in words or "permission" in words:
        return _refused(line, BAD_KEY)
    if "invalid_request" in words or "not_found" in words:
        return AgentFailed(line, for_user=REFUSED)
    return AgentUnavailable(line, for_user=OVERLOADED)


_NEITHER = ("", "a value that is neither an answer nor an error")


def error_in(data: object) -> tuple[str, str] | None:
    """The kind and text of an error in place of a response, in any of the forms that servers use; None for no error.

    Shapes: `{"error": {...}}` or `{"error": "..."}`, `{"object": "error", ...}`, `{"type": "error", ...}`, a list of
    errors, a text, `{"errors": [...]}`, and, where there is no answer beside it, `detail` or `message`.
    """
    if isinstance(data, str):
        return "", data
    if isinstance(data, list):
        return next((found for each in data[:10] if (found := error_in(each))), _NEITHER)
    if not isinstance(data, dict):
        return None if data is None else _NEITHER
    if error := data.get("error") or data.get("errors"):
        return _kind_and_text(error)
    if data.get("object") == "error" or data.get("type") == "error":
        return _kind_and_text({key: value for key, value in data.items() if (key, value) != ("type", "error")})
    if data.get("choices") or data.get("content") or not any(data.get(key) for key in ("detail", "message", "msg")):
        return None
    return None if isinstance(data.get("message"), dict) else _kind_and_text(data)


def _kind_and_text(error: object) -> tuple[str, str]:
    if isinstance(error, list) and error:
        error = error[0]
    if isinstance(error, dict) and isinstance(error.get("error"), dict):
        error = error["error"]
    if not isinstance(error, dict):
        return "", str(error)
    kind = next((str(error[key]) for key in ("type", "code", "status") if error.get(key)), "")
    code = error.get("code")
    if isinstance(code, int | str) and str(code).isdigit():
        kind = str(code)
    words = next((str(error[key]) for key in ("message", "detail", "msg") if error.get(key)), "")
    return kind[:100], ": ".join(filter(None, (words, _upstream_error(error)))) or json.dumps(error)


def _upstream_error(error: Mapping[str, Any]) -> str:
    """The upstream provider's error text in a response of OpenRouter, whose own text says little."""
    metadata = error.get("metadata")
    return str(metadata["raw"]) if isinstance(metadata, dict) and metadata.get("raw") else ""


def error_text(body: bytes) -> str:
    """The message inside an error body: `{"error": {"message": ...}}` and its variants, or the plain text."""
    text = body.decode("utf-8", "replace")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if isinstance(data, list) and data and isinstance(data[0], dict):  # Gemini's
        data = data[0]
    error = data.get("error", data) if isinstance(data, dict) else data
    if isinstance(error, dict):
        parts = [str(error[key]) for key in ("type", "code", "message", "detail") if error.get(key)]
        if parts and error.get("param"):
            parts.append(f"parameter '{error['param']}'")
        if raw := _upstream_error(error):
            parts.append(raw)
        return ": ".join(parts) or text
    return str(error)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """`Retry-After` in seconds; its date form is left to the retry policy."""
    value = headers.get("retry-after", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        return None
    return seconds if 0 <= seconds < float("inf") else None


def _picture_problem(words: str) -> str:
    """The text for the user where a refusal is about a picture, else empty."""
    if not _PICTURE.search(words) or not _PICTURE_PROBLEM.search(words):
        return ""
    return PICTURE_TOO_LARGE if _PICTURE_SIZE.search(words) else PICTURE_REFUSED


def _refused(line: str, for_user: str, words: str = "") -> AgentFailed:
    may_do = for_user in (BAD_KEY, NO_CREDIT, NO_MODEL)
    return AgentFailed(line, for_user=for_user, words=words, another_may_do=may_do)


def _text_for_user(status: int, words: str) -> str:
    if status in (401, 403):
        return BAD_KEY
    if status == 402 or any(mark in words for mark in _NO_CREDIT):
        return NO_CREDIT
    if status == 413 or _TOO_LONG.search(words):
        return TOO_LONG
    if status == 404 or "model_not_found" in words:
        return NO_MODEL
    return REFUSED
