"""What an earlier run left undone: rows in flight, drafts without an answer, messages without a turn.

Runs before anything new is taken in. What is still to be answered goes to its session, in the order of admission;
a message that was deleted meanwhile is not answered.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence, Set
from functools import partial
from typing import TypeVar

import trio
from attrs import evolve, frozen

from oc_trio.core.ledger import Obligation, OutboxRow, cancelled, failed
from oc_trio.errors import MattermostRejected
from oc_trio.ids import OutboxId, SessionKey, TurnId
from oc_trio.runtime.conversation.cancel_reason import CancelReason
from oc_trio.runtime.conversation.mailbox import Job
from oc_trio.runtime.delivery.fallback import original_of, send_with_fallback
from oc_trio.runtime.delivery.outbox_message import outbox_message_of
from oc_trio.runtime.error_boundary import DEFECT
from oc_trio.runtime.inbound.chat_commands import reply_id
from oc_trio.runtime.inbound.event_handler import EventHandler
from oc_trio.runtime.inbound.recheck import find_changes, message_of
from oc_trio.runtime.services import AccountServices
from oc_trio.runtime.turn.end_without_agent import end_orphan
from oc_trio.store.turns import Turn
from oc_trio.telemetry.log import get_logger

# Posts in flight are found or sent before anything new is said; what takes longer goes on beside it.
SETTLE_SECONDS = 10.0

T = TypeVar("T")

log = get_logger(part="recovery")


@frozen(eq=False)
class Recovery:
    """Goes on where the journal says an earlier run stopped."""

    services: AccountServices
    inbox: EventHandler
    nursery: trio.Nursery

    async def run(self) -> None:
        services = self.services
        obligations = await self._still_wanted(await services.store.obligations.open_for(services.account))
        await self._settle_rows(await self._open_turns(), {reply_id(each) for each in obligations})
        for obligation in obligations:
            again, about = partial(self.inbox.resubmit, obligation), {"post": obligation.trigger}
            if await services.boundary.contain(again, "message", about) is not None:
                await services.store.obligations.close([obligation.id], failed(DEFECT), services.clock.now_ms())
        if obligations:
            log.info("went on with unanswered messages", account=services.account, count=len(obligations))

    async def _open_turns(self) -> frozenset[TurnId]:
        """The turns that go on. A crash between the end of the obligations and that of their turn leaves orphans."""
        turns = await self.services.store.turns.unfinished(self.services.account)
        found = {turn.id for turn in turns}

        async def look(turn: Turn) -> None:
            services = self.services

            async def end() -> None:
                if await end_orphan(services, turn, "nothing was owed any more"):
                    found.discard(turn.id)

            if await services.boundary.contain(end, "end of a turn", {"turn": turn.id}) is not None:
                await services.store.turns.end(turn.id, failed(DEFECT), services.clock.now_ms())

        await self._beside(look, turns)
        return frozenset(found)

    async def _settle_rows(self, open_turns: frozenset[TurnId], replies: Set[OutboxId]) -> None:
        """Rows of a turn that goes on are that turn's to finish, replies to commands the desk's; others have nobody."""
        waiting: dict[tuple[str, str], list[OutboxRow]] = {}
        for row in await self.services.store.outbox.unfinished(self.services.account):
            if row.turn not in open_turns and not {row.id, original_of(row.id)} & replies:
                waiting.setdefault((row.channel_id or row.to_user, row.root_id), []).append(row)
        await self._beside(self._settle_in_order, waiting.values())

    async def _beside(self, work: Callable[[T], Awaitable[None]], items: Iterable[T]) -> None:
        """Work on all of them; returns when they are done, or after a while: what takes longer goes on."""
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

    async def open_jobs(self, session: SessionKey) -> Sequence[Job]:
        """The unanswered messages of one conversation that the journal has; commands are the desk's to carry out."""
        found = [
            item
            for item in await self.services.store.obligations.open_for(self.services.account)
            if item.session == session
        ]
        return [Job(item, message) for item in found if not (message := message_of(item)).command]

    async def _still_wanted(self, obligations: Sequence[Obligation]) -> list[Obligation]:
        """Those whose message still stands, with the words that it has now."""
        services, wanted = self.services, list[Obligation]()
        found = await find_changes(self.inbox.intake, obligations)
        for obligation in obligations:
            change = found.get(obligation.id)
            if isinstance(change, CancelReason):
                await services.store.obligations.close(
                    [obligation.id], cancelled(change.value), services.clock.now_ms()
                )
                log.info("not answered after the restart", account=services.account, reason=change.value)
                continue
            if change is not None:
                obligation = evolve(obligation, payload=change.to_json())
                await services.store.obligations.revise(obligation.id, obligation.payload)
            wanted.append(obligation)
        return wanted

    async def _settle_in_order(self, rows: Sequence[OutboxRow]) -> None:
        """One conversation's: the parts of a long message stay in their order."""
        for row in rows:
            settle = partial(self._settle, row)
            await self.services.boundary.contain(settle, "post", {"outbox": row.id})

    async def _settle(self, row: OutboxRow) -> None:
        """A post of a turn that has ended is nobody's answer; any other is still to be delivered, or stood in for."""
        if row.turn is not None:
            await self.services.delivery.retract(row.id)
            return
        letter = original_of(row.id)
        # Which of the two is to stand is decided as if nothing had come between.
        row = (await self.services.store.outbox.get(letter) if letter else None) or row
        try:
            await send_with_fallback(self.services.delivery, outbox_message_of(row))
        except MattermostRejected as refusal:
            log.warning(
                "a message could not be posted", account=self.services.account, outbox=row.id, problem=str(refusal)
            )
