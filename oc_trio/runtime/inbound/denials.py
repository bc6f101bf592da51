"""Tells refused people why, in their direct chat: a pairing code once per request, any other reason once a day.

Pairing request, claim and outbox row are written before the message counts as seen, so that a crash in between neither
loses the reply nor makes a second one. It is sent from here, or by the recovery of the next start.
"""

import hashlib
import secrets
from functools import partial

import trio

from oc_trio.classes import frozen
from oc_trio.core.access import Access, Origin, denial_text
from oc_trio.core.chat import Sender
from oc_trio.core.events import Post
from oc_trio.core.gating import DAY_MS, Decision
from oc_trio.core.ledger import OutboxKind
from oc_trio.core.pairing import PairingPolicy, new_code, reply_text
from oc_trio.errors import MattermostRejected
from oc_trio.ids import OutboxId
from oc_trio.runtime.delivery.fallback import send_with_fallback
from oc_trio.runtime.delivery.outbox_message import OutboxMessage
from oc_trio.runtime.services import AccountServices
from oc_trio.store.explain import DENIED_PREFIX, PAIRING_PREFIX
from oc_trio.store.pairing import RequestState
from oc_trio.telemetry.log import get_logger

log = get_logger(part="denials")


async def warn_of_no_code(services: AccountServices, sender: Sender, policy: PairingPolicy) -> None:
    """Log that somebody gets no pairing code: once for as long as a code lives, however often they write."""
    now, key = services.clock.now_ms(), f"{services.account}:{sender.user_id}"
    is_first, _ = await services.store.claims.claim("pairing-full", key, now, now + policy.ttl_ms)
    if is_first:
        log.warning("no pairing code: too many are pending", account=services.account, user=sender.user_id)


@frozen(eq=False)
class Denials:
    """One account's. Notices are sent by children of `nursery`."""

    services: AccountServices
    nursery: trio.Nursery
    pairing: PairingPolicy = PairingPolicy()

    async def explain(self, post: Post, sender: Sender, decision: Decision) -> None:
        """Queue the notice for `sender` and start to send it; nothing if they were told already."""
        wants_code = decision.reason == "dm_policy_pairing_required"
        notice = await (self._pairing_reply(post, sender) if wants_code else self._reason(post, sender, decision))
        # An existing row is being sent already: by a task of this run, or by the recovery at its start.
        if notice is None or await self.services.store.outbox.get(notice.id) is not None:
            return
        await self.services.delivery.queue([notice])
        send = partial(self._send, notice)
        self.services.boundary.start(self.nursery, send, "notice", {"outbox": notice.id})

    async def _pairing_reply(self, post: Post, sender: Sender) -> OutboxMessage | None:
        services, policy = self.services, self.pairing
        request = await services.store.pairing.request(
            services.account,
            sender.user_id,
            sender.username,
            new_code(secrets.randbelow, taken=frozenset()),
            services.clock.now_ms(),
            policy.ttl_ms,
            policy.max_pending,
        )
        if request.state is RequestState.FULL:
            await warn_of_no_code(services, sender, policy)
        if not request.code:
            return None
        if request.state is RequestState.CREATED:
            log.info("pairing requested", account=services.account, user=sender.user_id, username=sender.username)
        # One reply per request, however often the person writes: it is named after the first message. The key is a hash
        # because the code is a secret.
        key = hashlib.sha256(f"{services.account}\0{sender.user_id}\0{request.code}".encode()).hexdigest()
        now = services.clock.now_ms()
        _, first = await services.store.claims.claim("pairing", key, now, now + policy.ttl_ms, value=post.id)
        return self._notice(PAIRING_PREFIX + first, post, reply_text(sender.user_id, request.code))

    async def _reason(self, post: Post, sender: Sender, decision: Decision) -> OutboxMessage | None:
        services, now = self.services, self.services.clock.now_ms()
        key = f"{services.account}:{sender.user_id}"
        _, holder = await services.store.claims.claim("denial", key, now, now + DAY_MS, value=post.id)
        # Somebody who writes on all day reads the reason once.
        if holder != post.id:
            return None
        text = denial_text(Access(False, decision.reason), Origin.POST, sender.user_id)
        return self._notice(DENIED_PREFIX + post.id, post, text)

    def _notice(self, name: str, post: Post, text: str) -> OutboxMessage:
        return OutboxMessage(id=OutboxId(name), channel_id=post.channel_id, message=text, kind=OutboxKind.NOTICE)

    async def _send(self, notice: OutboxMessage) -> None:
        try:
            await send_with_fallback(self.services.delivery, notice)
        except MattermostRejected as refusal:
            log.warning("could not tell a refused person", account=self.services.account, problem=str(refusal))
