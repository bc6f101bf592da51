"""Fault injection: hooks before and after each request and at each websocket frame. The default injects nothing."""

from oc_trio.classes import frozen
from oc_trio.sandbox.hub import WebConn
from oc_trio.sandbox.request import SandboxRequest, SandboxResponse


@frozen
class Deliver:
    """Write these frames now: none (hold it back), one, or several (duplicates, or held frames in another order)."""

    frames: tuple[str, ...]


@frozen
class Cut:
    """Drop the connection without a close frame and without sending this frame; the client can resume it."""


@frozen
class Freeze:
    """Half open: nothing more goes in or out; the server believes the connection alive for 100 s after the client left.

    Works with `websocket_stream` only, because Quart ends its handler with the socket. Ping frames are still answered,
    actions are not.
    """


FrameOutcome = Deliver | Cut | Freeze


class Faults:
    """Override the hooks you need. Each may sleep (a delay) or raise (`httpx.ConnectError`: the network failed).

    A server on a TCP port asks `before` and `frame` only; there `before` must not raise.
    """

    async def before(self, request: SandboxRequest) -> SandboxResponse | None:
        """Called before the request is handled; if it returns a response (429, 500), the request is not handled."""
        return None

    async def after(self, request: SandboxRequest, response: SandboxResponse) -> SandboxResponse:
        """Called after the request was handled: raise `httpx.ReadError` to lose the response of an applied write."""
        return response

    async def frame(self, connection: WebConn, frame: str) -> FrameOutcome:
        """Called before a frame is written to a websocket; it already has its `seq` and counts as written."""
        return Deliver((frame,))
