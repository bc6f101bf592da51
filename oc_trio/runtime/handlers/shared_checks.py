"""Round trips across processes: a request that a check made Mattermost send may arrive at another process.

Who checks writes the request's nonce into the journal; the process at which it arrives leaves it there as it came, and
answers it. Both rows are claims, gone in a minute.
"""

import json

from oc_trio.callbacks.expected import ANSWERS, ExpectedRequest, ExpectedRequests, RequestOrigin
from oc_trio.callbacks.reply import EndpointKind, Reply, json_reply
from oc_trio.classes import frozen
from oc_trio.errors import StoreError
from oc_trio.runtime.clock import Clock
from oc_trio.store.claims import Claims
from oc_trio.telemetry.log import get_logger

log = get_logger(part="shared_checks")

EXPECTED, ARRIVED = "round_trip", "round_trip_arrived"
# Longer than a round trip takes (`TRIP_SECONDS`), also where the clocks of machines differ.
KEPT_MS = 60_000


@frozen
class SharedChecks:
    """One for the process; a journal that fails makes no check fail, but for those that go to other processes."""

    claims: Claims
    clock: Clock

    async def expect(self, request: ExpectedRequest) -> None:
        """Let all processes expect the request."""
        now = self.clock.now_ms()
        try:
            await self.claims.claim(EXPECTED, request.nonce, now, now + KEPT_MS)
        except StoreError as problem:
            log.info("other processes don't expect a check", problem=str(problem))

    async def take(self, request: ExpectedRequest, expected: ExpectedRequests) -> None:
        """Record the request, if it has arrived at another process."""
        try:
            arrived = await self.claims.values(ARRIVED, self.clock.now_ms())
        except StoreError as problem:
            log.info("whether a check arrived at another process is not known", problem=str(problem))
            return
        if request.nonce in arrived:
            body, content_type, source, peer, forwarded = json.loads(arrived[request.nonce])
            origin = RequestOrigin(source, peer, forwarded)
            expected.take(request.kind, body.encode("utf-8", "surrogateescape"), content_type, origin)

    async def answer(self, kind: EndpointKind, body: bytes, content_type: str, origin: RequestOrigin) -> Reply | None:
        """The reply to a request that another process expects, which is kept for it; None for any other."""
        now = self.clock.now_ms()
        try:
            nonces = await self.claims.values(EXPECTED, now)
            nonce = next((nonce for nonce in nonces if nonce.encode() in body), None)
            if nonce is None or kind not in ANSWERS:
                return None
            # Whatever came, to the byte: whether it is genuine is for the process that checks to say.
            text = body.decode("utf-8", "surrogateescape")
            row = json.dumps([text, content_type, origin.source, origin.peer, origin.forwarded])
            await self.claims.claim(ARRIVED, nonce, now, now + KEPT_MS, row)
        except StoreError as problem:
            log.info("a check that another process may expect can't be kept for it", problem=str(problem))
            return None
        return json_reply(ANSWERS[kind])
