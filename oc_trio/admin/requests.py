"""Reads requests to the admin API, and refuses those that another web page may have made the browser send. Pure checks;
reading a body is bounded in size and time.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import trio
from attrs import field

from oc_trio.classes import frozen
from oc_trio.core.text import clean

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

# The page's forms send names and codes, never a text.
MAX_BODY = 16 * 1024
# A form of the page has a few short fields; what takes longer or has more keeps the server busy.
BODY_SECONDS = 10.0
_MAX_FIELDS = 32
_FORM = "application/x-www-form-urlencoded"
# Against DNS rebinding: a web page may use a name that resolves to 127.0.0.1; its requests have that name as host.
_LOCAL_HOSTS = {"", "localhost", "127.0.0.1", "[::1]"}


class BadRequest(Exception):
    """A request that is refused with `status`; str() says why."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@frozen
class Request:
    """One HTTP request without its body. `is_own` is true on the unix socket, which only our own user may open."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str] = field(repr=False)
    is_own: bool

    @classmethod
    def of(cls, scope: Scope) -> "Request":
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        query = scope.get("query_string", b"").decode("latin-1")
        # Only connections of the unix socket have no address of ours.
        return cls(scope["method"], scope["path"], query, headers, "server" in scope and scope["server"] is None)

    @property
    def host(self) -> str:
        """The Host header without its port, lower case."""
        value = self.headers.get("host", "")
        host, colon, port = value.rpartition(":")
        return host.lower() if colon and port.isdigit() else value.lower()

    @property
    def is_local(self) -> bool:
        """Whether it was made by a name of this machine."""
        return self.host in _LOCAL_HOSTS

    @property
    def bearer_token(self) -> str:
        """What the Authorization header has, which no other web page can set; else empty."""
        scheme, _, value = self.headers.get("authorization", "").partition(" ")
        return value.strip() if scheme.lower() == "bearer" else ""

    @property
    def wants_json(self) -> bool:
        return "application/json" in self.headers.get("accept", "")

    def cookie(self, name: str) -> str:
        """The value of a cookie; empty where it was not sent.

        Other programs' cookies of this machine come along, of any form: Python's own parser would give up at them.
        """
        pairs = (part.strip().partition("=") for part in self.headers.get("cookie", "").split(";"))
        return next((value for key, _, value in pairs if key == name), "")

    def require_same_origin(self) -> None:
        """Raises BadRequest for what a page of another origin sent. Another port of this machine is another origin,
        though the same "site" for cookies. Programs send no Origin; browsers send it with every POST.
        """
        origin = self.headers.get("origin")
        own = {f"{scheme}://{self.headers.get('host', '')}" for scheme in ("http", "https")}
        # Programs and old browsers don't send it; `none` is an address that somebody has typed.
        fetched_by = self.headers.get("sec-fetch-site", "same-origin")
        if (origin is not None and origin not in own) or fetched_by not in ("same-origin", "none"):
            raise BadRequest(403, "another web page sent this")

    async def form(self, receive: Receive) -> dict[str, str]:
        """The fields of a form. Raises BadRequest."""
        if self.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
            raise BadRequest(415, f"a body of type {_FORM} is wanted")
        body = bytearray()
        with trio.move_on_after(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise BadRequest(400, "the request was broken off")
                body += message.get("body", b"")
                if len(body) > MAX_BODY:
                    raise BadRequest(413, f"more than {MAX_BODY} bytes")
                if not message.get("more_body", False):
                    return _fields(bytes(body))
        raise BadRequest(408, f"the body was not there after {BODY_SECONDS:g} s")


def _fields(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError as problem:
        raise BadRequest(400, f"the form can't be read ({type(problem).__name__})") from None
    return {clean(name): clean(value) for name, value in pairs}
