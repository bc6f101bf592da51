"""Sends messages other than answers (of tools and schedules) through the outbox, in the background.

Each message is durable before its first post goes out. The caller may stop waiting, or be cancelled: the delivery goes
on, and what a shutdown interrupts is finished by the next start.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import trio
from attrs import field

from oc_trio.classes import define, frozen
from oc_trio.core.ledger import OutboxKind
from oc_trio.errors import MattermostRejected, MattermostUnavailable
from oc_trio.ids import OutboxId, PostId
from oc_trio.runtime.delivery.compose import ComposedMessage
from oc_trio.runtime.delivery.delivery import Delivery
from oc_trio.runtime.delivery.fallback import send_with_fallback
from oc_trio.runtime.delivery.outbox_message import OutboxMessage
from oc_trio.runtime.error_boundary import DEFECT, ErrorBoundary

# Beyond this something sends in a loop: refusing it keeps the journal from filling up.
MAX_PENDING = 200


@frozen
class SendResult:
    """`posts` that are in the channel; `problems` says what the server refused for good."""

    posts: tuple[PostId, ...] = ()
    problems: tuple[str, ...] = ()


@define(eq=False)
class _Pending:
    done: trio.Event = field(factory=trio.Event)
    posts: list[PostId] = field(factory=list)
    problems: list[str] = field(factory=list)


@define(eq=False)
class MessageSender:
    """One account's; deliveries run as children of `nursery`."""

    delivery: Delivery
    nursery: trio.Nursery
    boundary: ErrorBoundary
    _pending_count: int = 0

    async def send(
        self, composed: ComposedMessage, name: str, *, queued: Callable[[], Awaitable[None]] | None = None
    ) -> SendResult:
        """Deliver all parts in order, for as long as it takes. `name` is unique: the same name is sent once. `queued`
        is called when the message is durable.

        Cancelling the call does not cancel the delivery. Raises MattermostUnavailable when too many are.
        """
        messages = outbox_messages_of(composed, name)
        # Before anything is recorded: a refused message must not be posted by the next start.
        if self._pending_count >= MAX_PENDING:
            raise MattermostUnavailable(f"{MAX_PENDING} messages are waiting to be sent already")
        await self.delivery.queue(messages)
        if queued is not None:
            # Here the caller records that its job is done: from now on the outbox repeats it, not the caller.
            await queued()
        pending = _Pending()
        self._pending_count += 1
        self.nursery.start_soon(self._deliver, messages, pending)
        await pending.done.wait()
        return SendResult(tuple(pending.posts), tuple(pending.problems))

    async def _deliver(self, messages: Sequence[OutboxMessage], pending: _Pending) -> None:
        try:
            deliver = partial(self._deliver_each, messages, pending)
            if (
                await self.boundary.contain(deliver, "message", {"outbox": messages[0].id if messages else ""})
                is not None
            ):
                pending.problems.append(DEFECT)
        # Also when the account stops: the waiting caller must not wait for a delivery that has ended.
        finally:
            self._pending_count -= 1
            pending.done.set()

    async def _deliver_each(self, messages: Sequence[OutboxMessage], pending: _Pending) -> None:
        for message in messages:
            try:
                sent = await send_with_fallback(self.delivery, message)
            except MattermostRejected as refusal:
                pending.problems.append(str(refusal))
                continue
            # A fallback notice is no part of the message: the sender learns why that part is missing.
            if sent.problem:
                pending.problems.append(sent.problem)
            else:
                pending.posts.append(sent.post_id)


def outbox_messages_of(composed: ComposedMessage, name: str) -> tuple[OutboxMessage, ...]:
    """A message as outbox messages, one per post; addressed to a person while the direct channel is not open."""
    return tuple(
        OutboxMessage(
            id=OutboxId(f"{name}.{number}"),
            channel_id=composed.channel_id,
            message=part.text,
            kind=OutboxKind.MESSAGE,
            root_id=composed.root_id,
            seq=number,
            props=part.props,
            file_ids=part.file_ids,
            to_user=composed.place.user_id,
        )
        for number, part in enumerate(composed.parts)
    )
