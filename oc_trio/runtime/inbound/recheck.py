"""Re-reads unanswered posts after downtime, to find edits and deletions that produced no event.

That is after a start, after a connection that was not resumed, and with polling. A post that can't be read counts as
unchanged: an answer to an old text is better than none.
"""

from collections.abc import Iterable, Mapping

import trio

from oc_trio.core.inbound import InboundMessage
from oc_trio.core.ledger import Obligation
from oc_trio.errors import MattermostError, MattermostRejected
from oc_trio.ids import ObligationId, PostId
from oc_trio.mattermost.concurrency import run_bounded
from oc_trio.runtime.conversation.cancel_reason import CancelReason
from oc_trio.runtime.inbound.admission import AdmissionPipeline
from oc_trio.store.damage import WRONG_SHAPE, reading

_CONCURRENT_READS = 8
# After this, posts that a slow server has not shown yet count as unchanged.
RECHECK_SECONDS = 30.0

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
    try:
        post = await admission.services.api.posts.get(PostId(message.post_id))
        # A command was carried out, or will be, as it was written; its deletion is noticed above.
        if message.command:
            return None
        revised = await admission.revised(post, obligation)
    except MattermostRejected as refusal:
        # Other refusals, such as a refused token, say nothing about the post.
        return {404: CancelReason.DELETED, 403: CancelReason.REMOVED}.get(refusal.status)
    except MattermostError:
        return None
    return None if revised.text == message.text else revised
