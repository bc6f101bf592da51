"""Re-reads unanswered posts after downtime, to find edits and deletions that produced no event.

That is after a start, after a connection that was not resumed, and with polling. A post that can't be read, although it
is tried again for some seconds, counts as unchanged: an answer to an old text is better than none.
"""

from collections.abc import Iterable, Mapping

import trio

from oc_trio.core.backoff import RetryPolicy
from oc_trio.core.inbound import InboundMessage
from oc_trio.core.ledger import Obligation
from oc_trio.errors import MattermostError, MattermostRejected, MattermostUnavailable
from oc_trio.ids import ObligationId, PostId
from oc_trio.mattermost.concurrency import run_bounded
from oc_trio.retry import RetryState, retrying
from oc_trio.runtime.conversation.cancel_reason import CancelReason
from oc_trio.runtime.inbound.admission import AdmissionPipeline
from oc_trio.store.damage import WRONG_SHAPE, reading

# At a start there may be hundreds, and other requests want the server, too.
_CONCURRENT_READS = 8
# After this, posts that a slow server has not shown yet count as unchanged.
RECHECK_SECONDS = 30.0
# One lost answer does not decide what is answered; a server that is away does not hold the start up for long.
_RETRY = RetryPolicy(initial=0.5, maximum=4.0)
_RETRY_SECONDS = 10.0

# Why a message is not to be answered any more, or the message with its current text.
Change = CancelReason | InboundMessage


async def find_changes(
    admission: AdmissionPipeline, obligations: Iterable[Obligation]
) -> Mapping[ObligationId, Change]:
    """The changes of the posts behind `obligations`, by obligation; unchanged ones are left out."""
    changes: dict[ObligationId, Change] = {}

    async def recheck(obligation: Obligation) -> None:
        async def compare() -> None:
            change = await _change(admission, obligation)
            if change is not None:
                changes[obligation.id] = change

        # A defect counts as unchanged here: the message's turn meets it, too, and reports it.
        await admission.services.boundary.contain(compare, "second look", {"post": obligation.trigger})

    with trio.move_on_after(RECHECK_SECONDS):
        await run_bounded(recheck, obligations, _CONCURRENT_READS)
    return changes


def message_of(obligation: Obligation) -> InboundMessage:
    """The message as it was admitted. Raises StoreUnusable where the journal's record can't be read."""
    with reading("obligations", f"id {obligation.id}", WRONG_SHAPE):
        return InboundMessage.from_json(obligation.payload)


async def _change(admission: AdmissionPipeline, obligation: Obligation) -> Change | None:
    message = message_of(obligation)
    if not message.post_id:
        return None
    post_id, services = PostId(message.post_id), admission.services

    async def read() -> InboundMessage:
        post = await services.api.posts.get(post_id)
        # A command was carried out, or will be, as it was written; only its deletion counts.
        return message if message.command else await admission.revised(post, obligation)

    give_up_at = trio.current_time() + _RETRY_SECONDS
    state = RetryState(MattermostUnavailable, _RETRY, services.clock.random.random, give_up_at=give_up_at)
    try:
        revised = await retrying(read, state)
    except MattermostRejected as refusal:
        # Other refusals, such as a refused token, say nothing about the post.
        return {404: CancelReason.DELETED, 403: CancelReason.REMOVED}.get(refusal.status)
    except MattermostError:
        return None
    return None if revised.text == message.text else revised
