"""Translates Mattermost's HTTP responses: status, headers and body into a JSON value or one of our errors.

Pure; sends nothing. An error body is `{"id", "message", "status_code", ...}`, but a 429 and a proxy's
page are plain text.
"""

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from oc_trio.core.json_body import MAX_DEPTH_LENIENT, BadJson, read_lenient
from oc_trio.core.text import clean
from oc_trio.errors import MattermostError, MattermostRejected, MattermostUnavailable, PayloadError

# Characters of a server's text in an error of ours; of a page's title.
_PREFIX = 300
_HEAD = 4_096  # bytes in which a page has its title
_TITLE = 80
# The longest `Retry-After` that is followed: a longer one is a mistake of a server or proxy, and would stop everything.
LONGEST_PAUSE = 120.0

# Ids of 5xx answers after which Mattermost has certainly not stored anything.
_NOTHING_STORED = frozenset({"app.post.save.app_error"})


def read_json(body: bytes, what: str) -> Any:
    """The decoded body, its text clean; None for an empty one. Raises PayloadError, which quotes none of the body."""
    # Mattermost answers some writes with an empty body.
    if not body:
        return None
    try:
        return _decode(body)
    except BadJson as exc:
        raise PayloadError(f"{what}: the answer is {exc}") from exc


def _decode(body: bytes) -> Any:
    """As `read_lenient`, ten times as fast for what Mattermost usually sends; bad UTF-8 is not repaired."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _mended(body)
    # With so few brackets it can't be deep, and a look at all of it takes longer than their count.
    may_be_deep = body.count(b"{") + body.count(b"[") > MAX_DEPTH_LENIENT
    return _mended(body) if b"\\u0000" in body or (may_be_deep and _is_deep(value)) else value


def _mended(body: bytes) -> Any:
    try:
        return read_lenient(body.decode("utf-8"))
    except UnicodeDecodeError:
        raise BadJson("not UTF-8") from None


def _is_deep(value: Any) -> bool:
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(MAX_DEPTH_LENIENT):
        if not level:
            return False
        items = (item for outer in level for item in (outer.values() if isinstance(outer, dict) else outer))
        level = [item for item in items if isinstance(item, (dict, list))]
    return bool(level)


def error_from_response(
    status: int, headers: Mapping[str, str], body: bytes, what: str, *, writes: bool, now: float
) -> MattermostError:
    """The error for an answer that is not 2xx. `headers` have lower-case names, `now` is seconds since the epoch."""
    code, detail = _error_fields(body)
    line = f"{what}: {status} {detail}".rstrip()
    if status == 429:
        return MattermostUnavailable(line, status=status, code=code, retry_after=retry_after(headers, now) or 1.0)
    if status == 408 or status >= 500:
        # Without Mattermost's own id it may be a proxy that gave up while the server still worked.
        ambiguous = writes and (not code or status in (502, 504)) and code not in _NOTHING_STORED
        wait = retry_after(headers, now)
        return MattermostUnavailable(line, status=status, code=code, retry_after=wait, ambiguous=ambiguous)
    if 300 <= status < 400:
        # Without its query, which may hold a token of a login page.
        where = headers.get("location", "elsewhere").split("?")[0][:_PREFIX]
        return MattermostRejected(f"{what}: the server redirects to {where}; set baseUrl to that", status=status)
    return MattermostRejected(line, status=status, code=code)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait, `LONGEST_PAUSE` at most, whatever is asked for."""
    seconds = requested_pause(headers, now)
    return None if seconds is None else min(seconds, LONGEST_PAUSE)


def requested_pause(headers: Mapping[str, str], now: float) -> float | None:
    """What the server asks for: `Retry-After` in seconds, as a fraction or as a date, else `X-Ratelimit-Reset`."""
    text = headers.get("retry-after", "").strip()
    if not text:
        text = headers.get("x-ratelimit-reset", "").strip() if headers.get("x-ratelimit-remaining") == "0" else ""
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            when = parsedate_to_datetime(text)
            seconds = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - now
        except (ValueError, OverflowError):
            return None
    return max(seconds, 0.0) if seconds == seconds else None  # NaN is no number of seconds


def _error_fields(body: bytes) -> tuple[str, str]:
    """Mattermost's error id and its message; of anything else, which may quote what we sent, only its kind."""
    try:
        value = _decode(body)
    except BadJson:
        value = None
    match value:
        case {"id": str(code), "message": str(message)}:
            return code, f"{message[:_PREFIX]} ({code})"
        case _:
            return "", _kind(clean(body[:_HEAD].decode("utf-8", "replace")), len(body))


def _kind(text: str, size: int) -> str:
    """A page by its title, for that names the proxy it is from; anything else by its size."""
    if title := re.search(r"<title>\s*([^<]*?)\s*</title>", text, re.IGNORECASE):
        return f'(a page: "{" ".join(title[1].split())[:_TITLE]}")'
    return f"(no answer of Mattermost's: {size} bytes)" if size else ""
