"""Requests that a check of our own makes Mattermost send: recognised by a nonce in the body, recorded, answered here.

No handler sees them. What came instead while one was expected (refused for its source, at an unknown path) is recorded
as well, since that is how a proxy or a missing setting shows.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import trio
from attrs import field

from oc_trio.callbacks.reply import EndpointKind, Reply, json_reply, refused
from oc_trio.classes import define
from oc_trio.errors import CallbackRefused

# What a check calls its command, and the field of its button's context.
TRIGGER, NONCE_FIELD = "oc_check_", "oc_trio_check"
MARKS = (TRIGGER.encode(), NONCE_FIELD.encode())
# For people who look for a mistyped path.
_MOST_STRAYS = 5
# Of each: whoever calls in vain chooses how long the path is.
_PATH = 120
# Mattermost shows nobody anything for these bodies.
ANSWERS = {EndpointKind.COMMAND: {"response_type": "ephemeral", "text": ""}, EndpointKind.CLICK: {}}


@define(eq=False)
class ExpectedRequest:
    """One request that is to come. `is_genuine` checks token or signature of a body with its content type.

    `source` is the client's address as the access rules see it, `peer` the socket's, `forwarded` its X-Forwarded-For.
    `strays` are paths of other requests that came meanwhile and fit no endpoint.
    """

    kind: EndpointKind
    path: str
    nonce: str
    is_genuine: Callable[[bytes, str], bool]
    arrived: trio.Event = field(init=False, factory=trio.Event)
    genuine: bool = field(init=False, default=False)
    refused: str = field(init=False, default="")
    source: str = field(init=False, default="")
    peer: str = field(init=False, default="")
    forwarded: str = field(init=False, default="")
    strays: list[str] = field(init=False, factory=list)


@define(eq=False)
class RequestOrigin:
    """Where a request came from: `source` as the access rules see it, the socket's `peer`, its X-Forwarded-For."""

    source: str
    peer: str
    forwarded: str = ""


Elsewhere = Callable[[EndpointKind, bytes, str, RequestOrigin], Awaitable[Reply | None]]


@define(eq=False)
class ExpectedRequests:
    """The requests that are expected now: a handful at most, nearly always none. `elsewhere` answers those that another
    process expects; it is asked about bodies that a check has made, as `MARKS` in them shows.
    """

    elsewhere: Elsewhere | None = None
    _pending: dict[str, ExpectedRequest] = field(init=False, factory=dict)

    @contextmanager
    def expect(self, request: ExpectedRequest) -> Iterator[ExpectedRequest]:
        """Expect `request` for the duration of the block."""
        self._pending[request.nonce] = request
        try:
            yield request
        finally:
            del self._pending[request.nonce]

    async def answer(self, kind: EndpointKind, body: bytes, content_type: str, origin: RequestOrigin) -> Reply | None:
        """As `take`, also for a request that another process expects."""
        reply = self.take(kind, body, content_type, origin)
        if reply is None and self.elsewhere is not None and any(mark in body for mark in MARKS):
            return await self.elsewhere(kind, body, content_type, origin)
        return reply

    def take(self, kind: EndpointKind, body: bytes, content_type: str, origin: RequestOrigin) -> Reply | None:
        """The reply to an expected request, which is recorded; None for any other."""
        request = next((one for nonce, one in self._pending.items() if nonce.encode() in body), None)
        if request is None or request.kind is not kind:
            return None
        _record(request, origin)
        request.genuine = request.is_genuine(body, content_type)
        request.arrived.set()
        if not request.genuine:
            return refused(kind, CallbackRefused(401, "Not the request that was expected."))
        return json_reply(ANSWERS[kind])

    def note_refused(self, kind: EndpointKind, path: str, why: str, origin: RequestOrigin) -> None:
        """A request was refused before its body was read."""
        for request in self._pending.values():
            if (request.kind, request.path) == (kind, path) and not request.arrived.is_set():
                _record(request, origin)
                request.refused = why

    def note_unknown(self, path: str) -> None:
        """A request came to a path where nothing is."""
        for request in self._pending.values():
            if len(request.strays) < _MOST_STRAYS and path[:_PATH] not in request.strays:
                request.strays.append(path[:_PATH])


def _record(request: ExpectedRequest, origin: RequestOrigin) -> None:
    request.source, request.peer, request.forwarded = origin.source, origin.peer, origin.forwarded
