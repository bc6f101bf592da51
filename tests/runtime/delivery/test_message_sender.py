"""Deliveries through the outbox: order, refusals, cancelled senders and their bound, with sends that are recorded."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from random import Random

import pytest
import trio
from attrs import define, field

from oc_trio.core.backoff import RetryPolicy
from oc_trio.core.entities import Channel, NewPost, User
from oc_trio.core.events import ChannelType, Post
from oc_trio.core.ledger import OutboxState
from oc_trio.core.ratelimit import Lane
from oc_trio.errors import MattermostError, MattermostRejected, MattermostUnavailable
from oc_trio.ids import AccountId, ChannelId, OutboxId, PostId, UserId
from oc_trio.runtime.clock import Clock
from oc_trio.runtime.delivery import message_sender
from oc_trio.runtime.delivery.compose import ComposedMessage
from oc_trio.runtime.delivery.delivery import Delivery
from oc_trio.runtime.delivery.message_sender import MessageSender
from oc_trio.runtime.delivery.post_parts import PostPart
from oc_trio.runtime.delivery.targets import Place
from oc_trio.runtime.error_boundary import ErrorBoundary
from oc_trio.store.store import Store, open_store
from oc_trio.telemetry.metrics import Metrics
from tests.journals import empty_journal
from tests.runtime.outbound_world import in_no_time

NOT_POSTED = "⚠️ A message could not be posted here: the server does not take it. The log of the gateway says why."
SQUARE = Channel(ChannelId("square"), ChannelType.OPEN, name="square")
BOB = User(UserId("bob"), "bob")


@define(eq=False)
class FakeServer:
    """A sender whose server is a list; `failures` are raised first, each once, `poison` is never taken; `latency` is
    per send.
    """

    nursery: trio.Nursery
    store: Store
    failures: list[MattermostError] = field(factory=list)
    refusals: list[MattermostError] = field(factory=list)
    sent: list[tuple[str, str]] = field(factory=list)
    opened: list[str] = field(factory=list)
    poison: frozenset[str] = frozenset()
    latency: float = 0.0
    sender: MessageSender = field(init=False)

    def __attrs_post_init__(self) -> None:
        delivery = Delivery(
            AccountId("default"),
            UserId("bot"),
            self.store,
            Clock(lambda: int(trio.current_time() * 1000), Random(1)),
            Metrics(),
            self._send,
            self._patch,
            self._remove,
            RetryPolicy(initial=1.0),
            open_direct=self._open,
        )
        self.sender = MessageSender(delivery, self.nursery, ErrorBoundary(delivery.account, delivery.metrics))

    async def state(self, name: str) -> OutboxState | None:
        row = await self.store.outbox.get(OutboxId(name))
        return row.state if row else None

    async def _send(self, new: NewPost, lane: Lane, in_doubt: bool) -> Post:
        await trio.sleep(self.latency)
        if new.message in self.poison:
            raise MattermostUnavailable("internal error", status=500)
        if self.failures:
            raise self.failures.pop(0)
        self.sent.append((new.channel_id, new.message))
        return Post(PostId(f"post{len(self.sent)}"), new.channel_id, UserId("bot"), new.message)

    async def _open(self, user_id: UserId) -> ChannelId:
        await trio.lowlevel.checkpoint()
        self.opened.append(user_id)
        if self.refusals:
            raise self.refusals.pop(0)
        return ChannelId(f"direct-{user_id}")

    async def _patch(self, post_id: PostId, message: str, lane: Lane) -> Post:
        raise NotImplementedError

    async def _remove(self, post_id: PostId) -> None:
        raise NotImplementedError


@asynccontextmanager
async def a_server() -> AsyncGenerator[FakeServer, None]:
    async with empty_journal() as journal, open_store(journal) as store, trio.open_nursery() as nursery:
        yield FakeServer(nursery, store)
        nursery.cancel_scope.cancel()


def composed(*texts: str) -> ComposedMessage:
    return ComposedMessage(Place(SQUARE), SQUARE.id, "", tuple(PostPart(text) for text in texts))


def to_bob(text: str) -> ComposedMessage:
    return ComposedMessage(Place(user=BOB), ChannelId(""), "", (PostPart(text),))


@in_no_time
async def test_pieces_go_out_in_order_after_all_are_durable() -> None:
    """Every row is there before the first is sent, whatever happens between them."""
    async with a_server() as server:
        states: list[OutboxState | None] = []

        async def queued() -> None:
            states.extend([await server.state("a.0"), await server.state("a.1")])

        server.failures = [MattermostUnavailable("busy"), MattermostUnavailable("busy")]
        result = await server.sender.send(composed("one", "two"), "a", queued=queued)
        assert states == [OutboxState.QUEUED, OutboxState.QUEUED]
        assert server.sent == [("square", "one"), ("square", "two")]
        assert result.posts == ("post1", "post2")


@in_no_time
async def test_a_refused_piece_leaves_the_others() -> None:
    """The refusal is told to the sender and said in its place; its row is dead, the rest goes out."""
    async with a_server() as server:
        server.failures = [MattermostRejected("too long", status=400)]
        result = await server.sender.send(composed("one", "two"), "a")
        assert (result.posts, result.problems) == (("post2",), ("too long",))
        assert server.sent == [("square", NOT_POSTED), ("square", "two")]
        assert await server.state("a.0") is OutboxState.DEAD


@in_no_time
async def test_a_piece_that_the_server_fails_at_holds_nobody_for_ever() -> None:
    """It is given up once something else is taken in its place."""
    async with a_server() as server:
        server.poison = frozenset({"one"})
        result = await server.sender.send(composed("one", "two"), "a")
        assert (result.posts, result.problems) == (("post2",), ("internal error",))
        assert server.sent == [("square", NOT_POSTED), ("square", "two")]


@in_no_time
async def test_the_same_name_is_sent_once() -> None:
    """A repeat gives the same posts."""
    async with a_server() as server:
        first = await server.sender.send(composed("one"), "a")
        assert await server.sender.send(composed("one"), "a") == first
        assert len(server.sent) == 1


@in_no_time
async def test_a_cancelled_sender_does_not_take_the_message_along() -> None:
    """Cancelling ends the wait, not the delivery."""
    async with a_server() as server:
        server.latency = 1.0
        with trio.move_on_after(0.5) as scope:
            await server.sender.send(composed("one"), "a")
        assert scope.cancelled_caught
        await trio.sleep(1)
        assert server.sent == [("square", "one")]


@in_no_time
async def test_a_loop_of_sends_is_stopped() -> None:
    """Too many under way are refused before they fill the journal."""
    async with a_server() as server:
        server.latency = 10.0
        async with trio.open_nursery() as nursery:
            for number in range(message_sender.MAX_PENDING):
                nursery.start_soon(server.sender.send, composed("x"), f"loop{number}")
            await trio.sleep(1)
            with pytest.raises(MattermostUnavailable, match="waiting to be sent"):
                await server.sender.send(composed("x"), "one too many")
            nursery.cancel_scope.cancel()
        assert await server.state("one too many.0") is None


@in_no_time
async def test_a_row_names_the_person_until_the_direct_channel_is_open() -> None:
    """A server that is away is asked again; then the channel is noted with the row."""
    async with a_server() as server:
        server.refusals = [MattermostUnavailable("away")]
        result = await server.sender.send(to_bob("psst"), "a")
        row = await server.store.outbox.get(OutboxId("a.0"))
        assert row is not None
        assert (row.to_user, row.channel_id, row.state) == ("bob", "direct-bob", OutboxState.CONFIRMED)
        assert server.opened == ["bob", "bob"]
        assert result.posts == ("post1",)


@in_no_time
async def test_a_person_who_cannot_be_written_to() -> None:
    """A refused direct channel is final: the row is dead, the sender is told."""
    async with a_server() as server:
        server.refusals = [MattermostRejected("no such user", status=400)]
        result = await server.sender.send(to_bob("psst"), "a")
        assert (result.posts, result.problems) == ((), ("no such user",))
        assert await server.state("a.0") is OutboxState.DEAD
