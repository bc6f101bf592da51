"""Whether messages that are owed an answer still stand as they were admitted.

No event tells what was deleted or edited while nobody listened: after a start, a connection that did not resume, or
with polling, each is read once more. What can't be read counts as unchanged: better answered in vain than not at all.
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
from oc_trio.store.damage import ODD_SHAPE, reading

_LOOKS_AT_ONCE = 8
# Whoever waits goes on without what a slow server has not told by then.
LOOK_SECONDS = 30.0

# Why it is not to be answered any more, or the message as it reads now.
Change = CancelReason | InboundMessage


async def find_changes(intake: AdmissionPipeline, obligations: Iterable[Obligation]) -> Mapping[ObligationId, Change]:
    """What became of the messages behind `obligations`; those that stand unchanged are left out."""
    found: dict[ObligationId, Change] = {}

    async def look(obligation: Obligation) -> None:
        async def compare() -> None:
            change = await _change(intake, obligation)
            if change is not None:
                found[obligation.id] = change

        # What can't even be compared counts as unchanged: it is the turn's to fail at.
        await intake.services.boundary.contain(compare, "second look", {"post": obligation.trigger})

    with trio.move_on_after(LOOK_SECONDS):
        await run_bounded(look, obligations, _LOOKS_AT_ONCE)
    return found


def message_of(obligation: Obligation) -> InboundMessage:
    """The message as the journal has it. Raises StoreUnusable where its record can't be read."""
    with reading("obligations", f"id {obligation.id}", ODD_SHAPE):
        return InboundMessage.from_json(obligation.payload)


async def _change(intake: AdmissionPipeline, obligation: Obligation) -> Change | None:
    message = message_of(obligation)
    if not message.post_id:
        return None
    try:
        post = await intake.services.api.posts.get(PostId(message.post_id))
        if message.command:
            return None
        reworded = await intake.reworded(post, obligation)
    except MattermostRejected as refusal:
        return {404: CancelReason.DELETED, 403: CancelReason.REMOVED}.get(refusal.status)
    except MattermostError:
        return None
    return None if reworded.text == message.text else reworded
