"""How a stranger who writes to the bot is told to be let in: once, with a code that the operator approves."""

import secrets

from oc_trio.core.chat import Sender
from oc_trio.core.events import Post
from oc_trio.core.gating import Decision
from oc_trio.core.obligations import OutboxKind
from oc_trio.core.pairing import PairingPolicy, new_code, reply_text
from oc_trio.errors import MattermostRejected
from oc_trio.ids import OutboxId
from oc_trio.runtime.kit import AccountKit
from oc_trio.runtime.letters import Letter
from oc_trio.store.explain import PAIRING_STEM
from oc_trio.telemetry.log import get_logger

log = get_logger(part="pairing")


async def offer_pairing(kit: AccountKit, post: Post, sender: Sender, decision: Decision) -> None:
    """Tell a stranger how to be let in, once; other refusals in direct chats are only logged."""
    if decision.reason != "dm_policy_pairing_required":
        return
    policy = PairingPolicy()
    asked = await kit.store.pairing.request(
        kit.account,
        sender.user_id,
        sender.username,
        new_code(secrets.randbelow, taken=frozenset()),
        kit.env.now_ms(),
        policy.ttl_ms,
        policy.max_pending,
    )
    if asked.state.value != "created":
        return
    letter = Letter(
        id=OutboxId(PAIRING_STEM + post.id),
        channel_id=post.channel_id,
        message=reply_text(sender.user_id, asked.code),
        kind=OutboxKind.NOTICE,
    )
    try:
        await kit.delivery.post_until_done(letter)
    except MattermostRejected as refusal:
        log.warning("could not send the pairing reply", account=kit.account, problem=str(refusal))
