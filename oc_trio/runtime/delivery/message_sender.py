"""Messages that the gateway sends besides answers (a tool's, a schedule's): through the journal, by the account itself.

Each message is durable before its first post goes out. Whoever sends may stop waiting, or be cancelled: the delivery
goes on, and what a shutdown interrupts is finished by the next start.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import trio
from attrs import define, field, frozen

from oc_trio.core.ledger import OutboxKind
from oc_trio.errors import MattermostRejected, MattermostUnavailable
from oc_trio.ids import OutboxId, PostId
from oc_trio.runtime.delivery.compose import ComposedMessage
from oc_trio.runtime.delivery.delivery import Delivery
from oc_trio.runtime.delivery.fallback import send_with_fallback
from oc_trio.runtime.delivery.outbox_message import OutboxMessage
from oc_trio.runtime.error_boundary import DEFECT, ErrorBoundary

# Beyond this something sends in a loop: the sender is told instead of the journal filled.
MOST_UNDER_WAY = 200


@frozen
class SendResult:
    """`posts` that stand; `problems` names what the server refused for good."""

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
    _under_way: int = 0

    async def send(
        self, parcel: ComposedMessage, name: str, *, queued: Callable[[], Awaitable[None]] | None = None
    ) -> SendResult:
        """Deliver all pieces in order, for as long as it takes. `name` is unique: the same name is sent once. `queued`
        is called when the message is durable.

        Cancelling the call leaves the delivery under way. Raises MattermostUnavailable when too many are.
        """
        letters = outbox_messages_of(parcel, name)
        if self._under_way >= MOST_UNDER_WAY:
            raise MattermostUnavailable(f"{MOST_UNDER_WAY} messages are waiting to be sent already")
        await self.delivery.queue(letters)
        if queued is not None:
            await queued()
        journey = _Pending()
        self._under_way += 1
        self.nursery.start_soon(self._carry, letters, journey)
        await journey.done.wait()
        return SendResult(tuple(journey.posts), tuple(journey.problems))

    async def _carry(self, letters: Sequence[OutboxMessage], journey: _Pending) -> None:
        boundary = ErrorBoundary(self.delivery.account, self.delivery.metrics)
        try:
            carry = partial(self._carry_each, letters, journey)
            if await boundary.contain(carry, "message", {"outbox": letters[0].id if letters else ""}) is not None:
                journey.problems.append(DEFECT)
        finally:
            self._under_way -= 1
            journey.done.set()

    async def _carry_each(self, letters: Sequence[OutboxMessage], journey: _Pending) -> None:
        for letter in letters:
            try:
                sent = await send_with_fallback(self.delivery, letter)
            except MattermostRejected as refusal:
                journey.problems.append(str(refusal))
                continue
            # A stand-in is no part of the message: who sent it learns why that part is missing.
            if sent.problem:
                journey.problems.append(sent.problem)
            else:
                journey.posts.append(sent.post_id)


def outbox_messages_of(parcel: ComposedMessage, name: str) -> tuple[OutboxMessage, ...]:
    """A message as the outbox keeps it: one row per post, addressed to a person while the channel is not open."""
    return tuple(
        OutboxMessage(
            id=OutboxId(f"{name}.{number}"),
            channel_id=parcel.channel_id,
            message=piece.text,
            kind=OutboxKind.MESSAGE,
            root_id=parcel.root_id,
            seq=number,
            props=piece.props,
            file_ids=piece.file_ids,
            to_user=parcel.place.user_id,
        )
        for number, piece in enumerate(parcel.parts)
    )
