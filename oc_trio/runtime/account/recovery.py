"""Finishes what an earlier run left undone: posts in flight, drafts without an answer, messages without a turn.

Runs before anything new is taken in. Unanswered messages go to their sessions in the order of admission; a message that
was deleted meanwhile is not answered.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence, Set
from functools import partial
from typing import TypeVar

import trio
from attrs import evolve

from oc_trio.classes import frozen
from oc_trio.core.ledger import Obligation, OutboxRow, cancelled, failed
from oc_trio.errors import MattermostRejected
from oc_trio.ids import ChannelId, OutboxId, PostId, SessionKey, TurnId
from oc_trio.runtime.conversation.cancel_reason import CancelReason
from oc_trio.runtime.conversation.mailbox import Job
from oc_trio.runtime.delivery.fallback import original_of, send_with_fallback
from oc_trio.runtime.delivery.outbox_message import outbox_message_of
from oc_trio.runtime.error_boundary import DEFECT
from oc_trio.runtime.inbound.chat_commands import reply_id
from oc_trio.runtime.inbound.post_handler import PostHandler
from oc_trio.runtime.inbound.recheck import find_changes, message_of
from oc_trio.runtime.services import AccountServices
from oc_trio.runtime.turn.end_without_agent import end_orphan
from oc_trio.store.turns import Turn
from oc_trio.telemetry.log import get_logger

# So long the start waits for posts in flight to be found or sent; those that take longer go on beside it.
SETTLE_SECONDS = 10.0

T = TypeVar("T")

log = get_logger(part="recovery")


@frozen(eq=False)
class Recovery:
    """Continues from what the journal holds of an earlier run; what waits for the server runs in `nursery`."""

    services: AccountServices
    posts: PostHandler
    nursery: trio.Nursery

    async def run(self) -> None:
        services = self.services
        await self._settle_answered()
        # First of all: a message that was deleted while nothing ran must not be answered, nor its turn go on.
        obligations = await self._recheck(await services.store.obligations.open_for(services.account))
        await self._settle_rows(await self._open_turns(), {reply_id(each) for each in obligations})
        for obligation in obligations:
            resubmit = partial(self.posts.resubmit, obligation)
            # Ended as failed, or each start would meet the same defect again.
            if await services.boundary.contain(resubmit, "message", {"post": obligation.trigger}) is not None:
                await services.store.obligations.close([obligation.id], failed(DEFECT), services.clock.now_ms())
        if obligations:
            log.info("went on with unanswered messages", account=services.account, count=len(obligations))

    async def _settle_answered(self) -> None:
        """After a restored backup: end what has been answered since it was made."""
        services = self.services
        if not services.earlier_answers.restored_at:
            return  # nearly always: the start has no need to read the open messages twice
        for obligation in await services.store.obligations.open_for(services.account):
            posts = await services.earlier_answers.find(
                PostId(obligation.trigger), ChannelId(obligation.channel_id), obligation.root_id, obligation.admitted_at
            )
            if posts:
                await services.store.restored.settle(obligation, posts, services.clock.now_ms())
                log.info("answered before the journal was restored", account=services.account, post=obligation.trigger)

    async def _open_turns(self) -> frozenset[TurnId]:
        """The turns that go on. Those without an open obligation are ended: a crash between the end of the obligations
        and the end of their turn leaves such orphans.
        """
        turns = await self.services.store.turns.unfinished(self.services.account)
        open_turns = {turn.id for turn in turns}

        async def end_if_orphan(turn: Turn) -> None:
            services = self.services

            async def end() -> None:
                if await end_orphan(services, turn, "nothing was owed any more"):
                    open_turns.discard(turn.id)

            if await services.boundary.contain(end, "end of a turn", {"turn": turn.id}) is not None:
                await services.store.turns.end(turn.id, failed(DEFECT), services.clock.now_ms())

        await self._run_beside(end_if_orphan, turns)
        return frozenset(open_turns)

    async def _settle_rows(self, open_turns: frozenset[TurnId], replies: Set[OutboxId]) -> None:
        """Finish the outbox rows that nobody else will: a turn that goes on finishes its own, and the command handler
        its replies.
        """
        by_conversation: dict[tuple[str, str], list[OutboxRow]] = {}
        for row in await self.services.store.outbox.unfinished(self.services.account):
            if row.turn not in open_turns and not {row.id, original_of(row.id)} & replies:
                # By conversation, so that one channel that takes no posts delays only its own.
                by_conversation.setdefault((row.channel_id or row.to_user, row.root_id), []).append(row)
        await self._run_beside(self._settle_in_order, by_conversation.values())

    async def _run_beside(self, work: Callable[[T], Awaitable[None]], items: Iterable[T]) -> None:
        """Run `work` for each item at the same time; returns when all are done, or after SETTLE_SECONDS: what takes
        longer goes on in the nursery.
        """
        left, done = 0, trio.Event()

        async def one(item: T) -> None:
            nonlocal left
            await work(item)
            left -= 1
            if not left:
                done.set()

        for item in items:
            left += 1
            self.nursery.start_soon(one, item)
        if left:
            with trio.move_on_after(SETTLE_SECONDS):
                await done.wait()

    async def _recheck(self, obligations: Sequence[Obligation]) -> list[Obligation]:
        """The obligations whose message was not deleted meanwhile, with the text that it has now; others are closed."""
        services, remaining = self.services, list[Obligation]()
        # All at once and within one limit of time: the start waits for it.
        changes = await find_changes(self.posts.admission, obligations)
        for obligation in obligations:
            change = changes.get(obligation.id)
            if isinstance(change, CancelReason):
                await services.store.obligations.close(
                    [obligation.id], cancelled(change.value), services.clock.now_ms()
                )
                log.info("not answered after the restart", account=services.account, reason=change.value)
                continue
            if change is not None:
                obligation = evolve(obligation, payload=change.to_json())
                # In the journal, too: the turn reads its messages from there when it is run again.
                await services.store.obligations.revise(obligation.id, obligation.payload)
            remaining.append(obligation)
        return remaining

    async def _settle_in_order(self, rows: Sequence[OutboxRow]) -> None:
        """Settle one conversation's rows one after the other: the parts of a long message keep their order."""
        for row in rows:
            settle = partial(self._settle, row)
            await self.services.boundary.contain(settle, "post", {"outbox": row.id})

    async def _settle(self, row: OutboxRow) -> None:
        """Retract a post of a turn that has ended; deliver any other one, or its fallback."""
        if row.turn is not None:
            await self.services.delivery.retract(row.id)
            return
        # Of a fallback the original is tried: which of the two is posted is then decided as in the run before.
        original_id = original_of(row.id)
        row = (await self.services.store.outbox.get(original_id) if original_id else None) or row
        try:
            await send_with_fallback(self.services.delivery, outbox_message_of(row))
        except MattermostRejected as refusal:
            log.warning(
                "a message could not be posted", account=self.services.account, outbox=row.id, problem=str(refusal)
            )


async def open_jobs(services: AccountServices, session: SessionKey) -> Sequence[Job]:
    """The unanswered messages of one conversation from the journal, without commands: their handler has those."""
    obligations = [
        each for each in await services.store.obligations.open_for(services.account) if each.session == session
    ]
    return [Job(each, message) for each in obligations if not (message := message_of(each)).command]
