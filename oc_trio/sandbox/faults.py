"""Where a test can hurt the sandbox: around each request, and at each websocket frame. The default hurts nothing."""

from attrs import frozen

from oc_trio.sandbox.hub import Connection
from oc_trio.sandbox.request import SandboxRequest, SandboxResponse


@frozen
class Deliver:
    """Write these frames now: none (held back), one, or several (duplicated, or held ones in another order)."""

    frames: tuple[str, ...]


@frozen
class Cut:
    """Drop the connection without a close frame, this frame unsent; it can be resumed."""


@frozen
class Freeze:
    """Half open: nothing more goes in or out; the server believes the connection alive for 100 s after the client left.

    Over a stream face only: Quart ends its handler with the socket. Ping frames are still answered, actions are not.
    """


Fate = Deliver | Cut | Freeze


class Faults:
    """Override what you need. Each hook may await (a delay) or raise (`httpx.ConnectError`: the network failed)."""

    async def before(self, request: SandboxRequest) -> SandboxResponse | None:
        """Before the request is handled; an answer given here (429, 500) means it is never handled."""
        return None

    async def after(self, request: SandboxRequest, response: SandboxResponse) -> SandboxResponse:
        """After it was applied: raise `httpx.ReadError` to lose the answer of a write that happened."""
        return response

    async def frame(self, connection: Connection, frame: str) -> Fate:
        """Before a frame is written to a websocket; it already has its number and counts as written."""
        return Deliver((frame,))
