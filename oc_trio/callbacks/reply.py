"""HTTP replies as frozen values: made by the endpoints, sent by the guard and the app."""

import json
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, assert_never

from oc_trio.classes import frozen
from oc_trio.core import slash
from oc_trio.core.mention_escape import escape_channel_mentions, escape_props
from oc_trio.errors import CallbackRefused

# What a caller reads where the gateway, its journal or the chat server can't do its part right now.
UNAVAILABLE = "Temporarily unavailable. Please try again."


class EndpointKind(Enum):
    """The three kinds of endpoint; each has its own form of refusals."""

    COMMAND = "command"
    CLICK = "click"
    HOOK = "hook"


@frozen
class Reply:
    """One reply. `close` closes the connection after it, so that nobody waits for the rest of an unread body."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()
    close: bool = False

    @property
    def all_headers(self) -> tuple[tuple[str, str], ...]:
        """Every header but the server's own."""
        closing = (("connection", "close"),) if self.close else ()
        length = ("content-length", str(len(self.body)))
        return (("content-type", self.content_type), length, *self.headers, *closing)


def chat_reply(
    value: Mapping[str, Any], status: int = 200, *, harmless: Callable[[str], str] = escape_channel_mentions
) -> Reply:
    """A JSON reply that Mattermost shows to people: each text goes through `harmless`, so that it mentions nobody."""
    return json_reply(_with_harmless_texts(value, harmless), status)


_TEXTS = frozenset({"text", "ephemeral_text", "message", "error"})


def _with_harmless_texts(value: Mapping[str, Any], harmless: Callable[[str], str]) -> dict[str, Any]:
    result = dict(value)
    for key, item in value.items():
        if key in _TEXTS and isinstance(item, str):
            result[key] = harmless(item)
        elif key == "errors" and isinstance(item, Mapping):
            result[key] = {field: harmless(text) if isinstance(text, str) else text for field, text in item.items()}
        elif key == "update" and isinstance(item, Mapping):
            result[key] = _with_harmless_texts(item, harmless)
        elif key == "props" and isinstance(item, Mapping):
            result[key] = escape_props(item, harmless)
        elif key == "attachments":
            result[key] = escape_props({key: item}, harmless)[key]
    return result


def json_reply(value: Mapping[str, Any], status: int = 200, *, close: bool = False) -> Reply:
    """A compact JSON reply for programs; texts for people go through `chat_reply`."""
    # Halves of surrogate pairs can't be encoded; a text that holds one must not lose the whole reply.
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")
    return Reply(status, body, "application/json; charset=utf-8", close=close)


def plain_reply(status: int, text: str, *headers: tuple[str, str], close: bool = False) -> Reply:
    return Reply(status, text.encode(), headers=headers, close=close)


def not_found() -> Reply:
    return plain_reply(404, "Not Found")


def method_not_allowed(kind: EndpointKind) -> Reply:
    """405 with the one allowed method."""
    allow = (("allow", "POST"),)
    text = "Method Not Allowed"
    if kind is EndpointKind.COMMAND:
        return plain_reply(405, text, *allow)
    reply = refused(kind, CallbackRefused(405, text))
    return Reply(reply.status, reply.body, reply.content_type, allow)


def too_many() -> Reply:
    """429; the connection is closed, so that a flooding client has to connect again."""
    # A second later the bucket has room for a second's rate.
    return plain_reply(429, "Too Many Requests", ("retry-after", "1"), close=True)


def body_refused(kind: EndpointKind, status: int) -> Reply:
    """413 or 408 with the endpoint's documented text."""
    if kind is EndpointKind.COMMAND:
        text = "Payload Too Large" if status == 413 else "Request body timeout"
        return plain_reply(status, text, close=True)
    words = "Payload too large" if status == 413 else "Request body timeout"
    reply = refused(kind, CallbackRefused(status, words))
    return Reply(reply.status, reply.body, reply.content_type, close=True)


def refused(kind: EndpointKind, problem: CallbackRefused) -> Reply:
    """A refusal in the form of that kind of endpoint."""
    match kind:
        case EndpointKind.COMMAND:
            return chat_reply(slash.ephemeral(problem.reason), problem.status_hint)
        case EndpointKind.CLICK:
            return chat_reply({"error": problem.reason}, problem.status_hint)
        case EndpointKind.HOOK:
            return json_reply({"ok": False, "error": problem.reason}, problem.status_hint)
        case _:
            assert_never(kind)
