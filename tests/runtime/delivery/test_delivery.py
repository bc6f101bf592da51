"""Delivery: each message becomes one post, whatever the server, the network or a crash does in between."""

import itertools
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from random import Random
from typing import Any

import pytest
import structlog
import trio
from attrs import define, evolve, field

from oc_trio.core.backoff import RetryPolicy
from oc_trio.core.entities import NewPost
from oc_trio.core.events import Post
from oc_trio.core.ledger import OutboxKind, OutboxRow, OutboxState
from oc_trio.core.ratelimit import Lane
from oc_trio.errors import MattermostError, MattermostRejected, MattermostUnavailable, PayloadError, StoreError
from oc_trio.ids import AccountId, ChannelId, FileId, OutboxId, PostId, TurnId, UserId
from oc_trio.mattermost.post_creator import WAS_DELETED
from oc_trio.runtime.clock import Clock
from oc_trio.runtime.delivery.delivery import AUTH_SECONDS, EDIT_SECONDS, MAX_SERVER_ERRORS, Delivery, Receipt
from oc_trio.runtime.delivery.outbox_message import OutboxMessage
from oc_trio.store.store import Store, open_store
from oc_trio.telemetry.metrics import Metrics
from tests.journals import Journal, empty_journal
from tests.runtime.conftest import run_in_no_time

ACCOUNT, BOT, TOWN = AccountId("default"), UserId("bot"), ChannelId("town")
DOWN = MattermostUnavailable("no connection")
LOST = MattermostUnavailable("no answer", ambiguous=True)
FAULT = MattermostUnavailable("internal error", status=500)
BUSY = MattermostUnavailable("slow down", status=429, retry_after=40.0)
FORBIDDEN = MattermostRejected("you may not", status=403)
GONE = MattermostRejected("no such post", status=404)
EXPIRED = MattermostRejected("session expired", status=401)

no_time = pytest.mark.trio(run=run_in_no_time)


@define(eq=False)
class FakeServer:
    """Keeps posts by their key. `plan` says how the next calls end: an error, a function to await, None for well.

    `LOST` is applied before it fails. `hook` runs while a call is under way.
    """

    posts: dict[str, Post] = field(factory=dict)
    plan: list[MattermostError | None] = field(factory=list)
    calls: list[str] = field(factory=list)
    hook: Callable[[str], Awaitable[None]] | None = None
    numbers: Any = field(factory=lambda: itertools.count(1))
    hang: float = 0.0

    async def send(self, new: NewPost, lane: Lane, in_doubt: bool) -> Post:
        self.calls.append(f"create {new.message!r} {lane.name}{' in doubt' if in_doubt else ''}")
        await trio.lowlevel.checkpoint()
        problem = self._next()
        if new.pending_post_id not in self.posts and (problem is None or getattr(problem, "ambiguous", False)):
            self.posts[new.pending_post_id] = Post(
                PostId(f"post{next(self.numbers)}"),
                new.channel_id,
                BOT,
                new.message,
                new.root_id,
                pending_post_id=new.pending_post_id,
                props=new.props,
                file_ids=new.file_ids,
            )
        if self.hook is not None:
            await self.hook(new.pending_post_id)
        if problem is not None:
            raise problem
        return self.posts[new.pending_post_id]

    async def patch(self, post_id: PostId, message: str, lane: Lane) -> Post:
        self.calls.append(f"edit {post_id} {message!r} {lane.name}")
        await trio.sleep(self.hang)
        problem = self._next()
        if problem is not None:
            raise problem
        return Post(post_id, TOWN, BOT, message)

    async def remove(self, post_id: PostId) -> None:
        self.calls.append(f"delete {post_id}")
        await trio.lowlevel.checkpoint()
        problem = self._next()
        if problem is not None:
            raise problem

    def _next(self) -> MattermostError | None:
        return self.plan.pop(0) if self.plan else None


@pytest.fixture
async def connection() -> AsyncGenerator[Journal, None]:
    async with empty_journal() as journal:
        yield journal


@pytest.fixture
async def store(connection: Journal) -> AsyncGenerator[Store, None]:
    async with open_store(connection) as opened:
        yield opened


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


@pytest.fixture
def delivery(store: Store, server: FakeServer) -> Delivery:
    clock = Clock(lambda: 1_000_000 + round(trio.current_time() * 1000), Random(7))
    retries = RetryPolicy(initial=0.5, maximum=30.0, jitter=0.0)
    return Delivery(ACCOUNT, BOT, store, clock, Metrics(), server.send, server.patch, server.remove, retries)


def message(name: str = "turn.0", message: str = "hello", **more: Any) -> OutboxMessage:
    return OutboxMessage(OutboxId(name), TOWN, message, more.pop("kind", OutboxKind.FINAL), **more)


async def row(store: Store, name: str = "turn.0") -> OutboxRow:
    found = await store.outbox.get(OutboxId(name))
    assert found is not None
    return found


# a message


@no_time
async def test_a_message_is_written_down_sent_and_confirmed(
    delivery: Delivery, server: FakeServer, store: Store
) -> None:
    """Row, request, confirmation; the post carries the message's name as its marker."""
    sent = message(root_id="root", turn=TurnId("turn"), seq=3, props={"attachments": []}, file_ids=(FileId("f1"),))
    assert await delivery.post(sent) == "post1"
    [post] = server.posts.values()
    assert (post.message, post.root_id, post.file_ids) == ("hello", "root", ("f1",))
    assert post.props == {"attachments": [], "oc_trio": {"k": "turn.0"}}
    assert post.pending_post_id == "bot:turn.0"
    stored = await row(store)
    assert (stored.state, stored.post_id, stored.turn, stored.seq, stored.attempts) == (
        OutboxState.CONFIRMED,
        "post1",
        "turn",
        3,
        1,
    )


@no_time
async def test_the_row_is_there_before_the_request(delivery: Delivery, server: FakeServer, store: Store) -> None:
    """A crash in the middle of the request finds it in flight."""
    states: list[OutboxState] = []

    async def look(_key: str) -> None:
        states.append((await row(store)).state)

    server.hook = look
    await delivery.post(message())
    assert states == [OutboxState.SENDING]


@no_time
async def test_the_same_message_is_the_same_post(delivery: Delivery, server: FakeServer) -> None:
    """Asked again, before or after a restart, it is not sent again."""
    first = await delivery.post(message())
    assert await delivery.post(message(message="other words")) == first
    assert len(server.calls) == 1


@no_time
async def test_a_queued_message_is_sent_by_whoever_comes(delivery: Delivery, server: FakeServer, store: Store) -> None:
    """Written down first, sent later, with the words it has then."""
    await delivery.queue([message()])
    assert (await row(store)).state is OutboxState.QUEUED
    assert server.calls == []
    await delivery.post(message(message="hello there"))
    assert server.calls == ["create 'hello there' FINAL"]


@pytest.mark.parametrize(
    ("kind", "lane"),
    [pytest.param(kind, "CREATE" if kind is OutboxKind.DRAFT else "FINAL", id=kind.value) for kind in OutboxKind],
)
@no_time
async def test_drafts_give_way_to_final_words(
    delivery: Delivery, server: FakeServer, kind: OutboxKind, lane: str
) -> None:
    """Under a rate limit an answer goes before a preview."""
    await delivery.post(message(kind=kind))
    assert server.calls == [f"create 'hello' {lane}"]


@no_time
async def test_messages_in_order_share_their_writes(
    delivery: Delivery, server: FakeServer, connection: Journal
) -> None:
    """Each is in flight before its request, and the one before is confirmed: the two are one write to the journal."""
    messages = [message(f"turn.{number}") for number in range(3)]
    states: list[str] = []
    statements: list[str] = []

    async def look(_key: str) -> None:
        await trio.lowlevel.checkpoint()
        states.append(" ".join(state for (state,) in connection.execute("SELECT state FROM outbox ORDER BY id")))

    server.hook = look
    connection.set_trace_callback(statements.append)
    begun: OutboxRow | None = None
    for sent, following in zip(messages, [*messages[1:], None]):
        _, begun = await delivery.post_in_order(sent, begun, following)
    connection.set_trace_callback(None)
    assert states == ["sending", "confirmed sending", "confirmed confirmed sending"]
    assert statements.count("COMMIT") == len(messages) + 1
    assert server.calls == ["create 'hello' FINAL"] * 3


# failures


@no_time
async def test_a_message_that_never_left_waits_in_the_queue(
    delivery: Delivery, server: FakeServer, store: Store
) -> None:
    """The next try need not look for an earlier one."""
    server.plan = [DOWN]
    with pytest.raises(MattermostUnavailable, match="no connection"):
        await delivery.post(message())
    assert ((await row(store)).state, (await row(store)).error) == (OutboxState.QUEUED, "no connection")
    await delivery.post(message())
    assert server.calls == ["create 'hello' FINAL"] * 2


@no_time
async def test_a_lost_answer_leaves_the_message_in_doubt(delivery: Delivery, server: FakeServer, store: Store) -> None:
    """The next try knows that there may be a post, and there is one in the end."""
    server.plan = [LOST, DOWN]
    for _ in range(2):
        with pytest.raises(MattermostUnavailable):
            await delivery.post(message())
        assert (await row(store)).state is OutboxState.SENDING
    assert await delivery.post(message()) == "post1"
    assert server.calls[1:] == ["create 'hello' FINAL in doubt"] * 2
    assert len(server.posts) == 1


@no_time
async def test_an_answer_that_can_not_be_read_leaves_it_in_doubt_too(
    delivery: Delivery, server: FakeServer, store: Store
) -> None:
    """A proxy's page instead of JSON says nothing about the post: no error of the program comes of it."""
    server.plan = [PayloadError("not JSON")]
    with pytest.raises(MattermostUnavailable, match="not JSON") as raised:
        await delivery.post(message())
    assert raised.value.ambiguous
    assert (await row(store)).state is OutboxState.SENDING


@no_time
async def test_a_refusal_is_final(delivery: Delivery, server: FakeServer, store: Store) -> None:
    """The message is dead, and stays dead without asking again."""
    server.plan = [FORBIDDEN]
    for _ in range(2):
        with pytest.raises(MattermostRejected, match="you may not"):
            await delivery.post_until_done(message())
    assert (await row(store)).state is OutboxState.DEAD
    assert len(server.calls) == 1


@no_time
async def test_a_refused_token_is_no_refusal_of_the_message(
    delivery: Delivery, server: FakeServer, store: Store
) -> None:
    """The answer waits, unhurried, until the token is good again."""
    server.plan = [EXPIRED, EXPIRED]
    began = trio.current_time()
    assert await delivery.post_until_done(message()) == "post1"
    assert trio.current_time() - began == 2 * AUTH_SECONDS
    assert (await row(store)).state is OutboxState.CONFIRMED


@no_time
async def test_it_is_tried_for_as_long_as_it_takes(delivery: Delivery, server: FakeServer) -> None:
    """Pauses grow to half a minute; where the server names a time, that is kept."""
    server.plan = [*[DOWN] * 10, BUSY]
    with structlog.testing.capture_logs() as lines:
        assert await delivery.post_until_done(message()) == "post1"
    pauses = [line["seconds"] for line in lines]
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0, 30.0, 40.0]


@no_time
async def test_waiting_for_the_server_can_be_cancelled(delivery: Delivery, server: FakeServer, store: Store) -> None:
    """The message stays for the next start."""
    server.plan = [DOWN] * 100
    with trio.move_on_after(5.0) as patience:
        await delivery.post_until_done(message())
    assert patience.cancelled_caught
    assert (await row(store)).state is OutboxState.QUEUED


# our own event


async def acknowledge(delivery: Delivery, server: FakeServer) -> None:
    [post] = server.posts.values()
    await delivery.acknowledge(post)


@no_time
async def test_our_own_event_is_the_receipt_where_the_answer_was_lost(
    delivery: Delivery, server: FakeServer, store: Store
) -> None:
    """The post was seen: nothing needs to be asked again."""
    server.hook = lambda _key: acknowledge(delivery, server)
    server.plan = [LOST]
    assert await delivery.post(message()) == "post1"
    assert len(server.calls) == 1
    assert (await row(store)).state is OutboxState.CONFIRMED


@pytest.mark.parametrize(
    "failure",
    [pytest.param(DOWN, id="another try that did not leave"), pytest.param(FORBIDDEN, id="another try was refused")],
)
@no_time
async def test_a_receipt_wins_over_any_later_failure(
    delivery: Delivery, server: FakeServer, store: Store, failure: MattermostError
) -> None:
    """What stands in the channel is delivered, whatever a repeated request was answered."""
    server.plan = [LOST]
    with pytest.raises(MattermostUnavailable):
        await delivery.post(message())
    server.hook = lambda _key: acknowledge(delivery, server)
    server.plan = [failure]
    assert await delivery.post(message()) == "post1"
    assert (await row(store)).state is OutboxState.CONFIRMED


@no_time
async def test_a_receipt_between_two_steps_is_no_error(delivery: Delivery, server: FakeServer, store: Store) -> None:
    """The event may come between reading the row and marking it: then there is nothing left to send."""
    server.plan = [LOST]
    with pytest.raises(MattermostUnavailable):
        await delivery.post(message())
    stale = await row(store)
    await acknowledge(delivery, server)
    assert await delivery.resume(stale) == "post1"
    assert len(server.calls) == 1


@no_time
@no_time
async def test_a_post_that_was_deleted_stays_so(delivery: Delivery, server: FakeServer) -> None:
    """Who asks once more, as after a failure of the journal, gets the same answer."""
    server.plan = [MattermostRejected(f"it is gone ({WAS_DELETED})", status=500, code=WAS_DELETED), None]
    for _ in range(2):
        with pytest.raises(MattermostRejected) as refusal:
            await delivery.post(message())
        assert refusal.value.code == WAS_DELETED
    assert len(server.calls) == 1


@no_time
async def test_a_second_post_for_one_message(delivery: Delivery, server: FakeServer, store: Store) -> None:
    """A held-up request made another post: the first one that was seen stands, and the other one is known for a
    duplicate.
    """
    twin: list[Post] = []

    async def arrives_first(key: str) -> None:
        twin.append(evolve(server.posts[key], id=PostId("earlier")))
        assert await delivery.acknowledge(twin[0]) is Receipt.SENT

    server.hook = arrives_first
    assert await delivery.post(message()) == "earlier"
    [post] = server.posts.values()
    assert server.calls[-1] == f"delete {post.id}"
    assert await delivery.acknowledge(post) is Receipt.SENT_TWICE
    assert await delivery.acknowledge(evolve(post, pending_post_id="")) is Receipt.SENT_TWICE
    assert await delivery.acknowledge(twin[0]) is Receipt.SENT
    assert (await row(store)).post_id == "earlier"


async def test_a_journal_that_fails_is_no_receipt(delivery: Delivery) -> None:
    """A move that the journal refuses for another reason comes out."""
    unknown = OutboxRow(OutboxId("nowhere"), ACCOUNT, TOWN, "", OutboxKind.FINAL, '{"message":"x"}', "bot:x", 1)
    with pytest.raises(StoreError, match="nowhere"):
        await delivery.resume(unknown)


@no_time
async def test_catch_up_gives_receipts_by_the_marker(delivery: Delivery, server: FakeServer, store: Store) -> None:
    """Over REST a post has no pending id, but its props name the message."""
    server.plan = [LOST]
    with pytest.raises(MattermostUnavailable):
        await delivery.post(message())
    [post] = server.posts.values()
    await delivery.acknowledge(evolve(post, pending_post_id=""))
    assert (await row(store)).state is OutboxState.CONFIRMED


@pytest.mark.parametrize(
    "props",
    [
        pytest.param({}, id="no marker"),
        pytest.param({"oc_trio": {"k": "never-written"}}, id="a marker of nothing we know"),
        pytest.param({"oc_trio": "odd"}, id="an odd marker"),
        pytest.param({"oc_trio": {"k": "turn.0"}}, id="another account's message"),
    ],
)
@no_time
async def test_other_posts_of_ours_are_no_receipts(delivery: Delivery, store: Store, props: dict[str, Any]) -> None:
    """Somebody may have used the bot's token elsewhere, and accounts may share a journal."""
    await evolve_account(delivery, "other").queue([message()])
    post = Post(PostId("p"), TOWN, BOT, "hi", props=props)
    assert await delivery.acknowledge(post) is Receipt.NOT_SENT
    assert (await row(store)).state is OutboxState.QUEUED


def evolve_account(delivery: Delivery, account: str) -> Delivery:
    return evolve(delivery, account=AccountId(account))


# what an earlier run left


@no_time
async def test_a_row_from_before_is_sent_as_it_was_written(
    delivery: Delivery, server: FakeServer, store: Store
) -> None:
    """Text, thread, props and files come from the journal."""
    await delivery.queue([message(root_id="root", props={"a": 1}, file_ids=(FileId("f1"),))])
    assert await delivery.resume(await row(store)) == "post1"
    [post] = server.posts.values()
    assert (post.message, post.root_id, post.file_ids) == ("hello", "root", ("f1",))
    assert post.props == {"a": 1, "oc_trio": {"k": "turn.0"}}


@no_time
async def test_a_row_in_flight_is_looked_for_until_it_is_found(
    delivery: Delivery, server: FakeServer, store: Store
) -> None:
    """The server being away only delays it."""
    server.plan = [LOST]
    with pytest.raises(MattermostUnavailable):
        await delivery.post(message())
    server.plan = [DOWN, DOWN]
    assert await delivery.resume(await row(store)) == "post1"
    assert server.calls[1:] == ["create 'hello' FINAL in doubt"] * 3
    assert len(server.posts) == 1


@no_time
async def test_a_row_that_is_refused_is_nobodys_error(delivery: Delivery, server: FakeServer, store: Store) -> None:
    """A channel that was archived meanwhile takes no posts; the start goes on."""
    await delivery.queue([message()])
    server.plan = [FORBIDDEN]
    assert await delivery.resume(await row(store)) is None
    assert (await row(store)).state is OutboxState.DEAD


@no_time
async def test_a_body_without_props_can_be_sent(delivery: Delivery, server: FakeServer, store: Store) -> None:
    """Only the message is required of a row."""
    body = json.dumps({"message": "plain"})
    plain = OutboxRow(OutboxId("plain"), ACCOUNT, TOWN, "", OutboxKind.MESSAGE, body, "bot:plain", 1)
    await store.outbox.put([plain])
    assert await delivery.resume(plain) == "post1"


# posts that something else can take the place of


@no_time
async def test_a_post_that_the_server_fails_at_is_given_up(
    delivery: Delivery, server: FakeServer, store: Store
) -> None:
    """An answer that tells nothing says nothing about the post; a clear failure at it does."""
    server.plan = [DOWN, MattermostUnavailable("who knows", status=500, ambiguous=True), FAULT, None]
    server.posts.clear()
    with pytest.raises(MattermostRejected, match="internal error"):
        await delivery.post_or_abandon(message())
    assert (await row(store)).state is OutboxState.DEAD
    assert len(server.calls) == 3


@no_time
async def test_a_failing_post_whose_event_comes_nevertheless(delivery: Delivery, server: FakeServer) -> None:
    """A post whose event arrives counts as sent, though its request failed."""
    server.plan = [LOST]
    with pytest.raises(MattermostUnavailable):
        await delivery.post(message())
    server.plan = [FAULT]
    server.hook = lambda _key: acknowledge(delivery, server)
    assert await delivery.post_or_abandon(message()) == "post1"


@no_time
async def test_a_post_that_comes_when_it_was_given_up(delivery: Delivery, server: FakeServer) -> None:
    """A request that was held up brings it: something else stands in its place, so it is to be removed."""
    server.plan = [LOST]
    with pytest.raises(MattermostUnavailable):
        await delivery.post(message())
    [post] = server.posts.values()
    assert await delivery.abandon(OutboxId("turn.0"), "the server failed at it") == "the server failed at it"
    assert await delivery.acknowledge(post) is Receipt.SENT_TWICE


@no_time
async def test_a_message_that_somebody_else_gives_up_meanwhile(delivery: Delivery, server: FakeServer) -> None:
    """A message that another task gave up raises the refusal for its sender."""

    async def give_up(_key: str) -> None:
        await delivery.abandon(OutboxId("turn.0"), "enough of it")

    server.hook, server.plan = give_up, [FAULT]
    with pytest.raises(MattermostRejected, match="enough of it"):
        await delivery.post(message())


# to a person whose channel is not known yet


@no_time
@pytest.mark.parametrize(
    ("failure", "state"),
    [
        pytest.param(None, OutboxState.CONFIRMED, id="opened at once"),
        pytest.param(DOWN, OutboxState.CONFIRMED, id="opened in the end"),
        pytest.param(EXPIRED, OutboxState.CONFIRMED, id="opened once the token is good again"),
        pytest.param(PayloadError("not JSON"), OutboxState.CONFIRMED, id="opened after an odd answer"),
        pytest.param(FORBIDDEN, OutboxState.DEAD, id="refused"),
    ],
)
async def test_a_direct_channel_is_opened_first(
    delivery: Delivery, server: FakeServer, store: Store, failure: MattermostError | None, state: OutboxState
) -> None:
    """For as long as it takes; the channel is noted with the message."""
    failures = [failure] if failure else []

    async def open_direct(user: UserId) -> ChannelId:
        await trio.lowlevel.checkpoint()
        if failures:
            raise failures.pop()
        return ChannelId(f"dm-{user}")

    sender = evolve(delivery, open_direct=open_direct)
    direct_message = OutboxMessage(
        OutboxId("turn.0"), ChannelId(""), "hello", OutboxKind.MESSAGE, to_user=UserId("alice")
    )
    if state is OutboxState.DEAD:
        with pytest.raises(MattermostRejected):
            await sender.post_until_done(direct_message)
    else:
        assert await sender.post_until_done(direct_message) == "post1"
        assert (await row(store)).channel_id == "dm-alice"
    assert (await row(store)).state is state
    assert await sender.exists(OutboxId("turn.0"))


# edits and deletions


@no_time
async def test_a_drafts_edit_is_tried_once(delivery: Delivery, server: FakeServer) -> None:
    """The next edit makes good for it."""
    server.plan = [DOWN]
    with pytest.raises(MattermostUnavailable):
        await delivery.edit_draft(PostId("p"), "text")
    assert server.calls == ["edit p 'text' EDIT"]


@pytest.mark.parametrize(
    ("failure", "raised"),
    [
        pytest.param(GONE, MattermostRejected, id="the draft is gone"),
        pytest.param(EXPIRED, MattermostUnavailable, id="the token is refused"),
    ],
)
@no_time
async def test_what_an_edit_of_a_draft_may_meet(
    delivery: Delivery, server: FakeServer, failure: MattermostError, raised: type[MattermostError]
) -> None:
    """A refused token says nothing about the draft."""
    server.plan = [failure]
    with pytest.raises(raised):
        await delivery.edit_draft(PostId("p"), "text")


@pytest.mark.parametrize(
    "failures",
    [
        pytest.param([], id="at once"),
        pytest.param([DOWN, LOST, BUSY, PayloadError("odd")], id="after everything that may pass"),
        pytest.param([EXPIRED], id="after a refused token"),
        pytest.param([FAULT] * (MAX_SERVER_ERRORS - 1), id="after most faults"),
        pytest.param([*[FAULT] * 6, DOWN] * 3, id="after faults with an outage between"),
    ],
)
@no_time
async def test_a_final_edit_is_made_for_as_long_as_it_takes(
    delivery: Delivery, server: FakeServer, failures: list[MattermostError]
) -> None:
    """The last write is the final text."""
    server.plan = list(failures)
    await delivery.edit_until_done(PostId("p"), "final")
    assert server.calls == ["edit p 'final' FINAL"] * (len(failures) + 1)


@no_time
async def test_an_edit_that_the_server_can_not_make_is_given_up(delivery: Delivery, server: FakeServer) -> None:
    """A server that answers 500 every time can't edit this post: the answer has to go out another way."""
    server.plan = [FAULT] * 100
    with pytest.raises(MattermostRejected, match="failed 8 times: internal error"):
        await delivery.edit_until_done(PostId("p"), "final")
    assert len(server.calls) == MAX_SERVER_ERRORS


@no_time
async def test_an_edit_without_an_answer_is_made_again(delivery: Delivery, server: FakeServer) -> None:
    """A hanging request is cut off; the same text twice does no harm."""
    server.hang, began = EDIT_SECONDS + 1, trio.current_time()

    async def heal() -> None:
        await trio.sleep(EDIT_SECONDS + 0.25)
        server.hang = 0.0

    async with trio.open_nursery() as nursery:
        nursery.start_soon(heal)
        await delivery.edit_until_done(PostId("p"), "final")
    assert len(server.calls) == 2
    assert trio.current_time() - began == EDIT_SECONDS + 0.5


@no_time
async def test_an_edit_of_a_post_that_is_gone_is_refused(delivery: Delivery, server: FakeServer) -> None:
    """The caller says it afresh."""
    server.plan = [DOWN, GONE]
    with pytest.raises(MattermostRejected, match="no such post"):
        await delivery.edit_until_done(PostId("p"), "final")


@no_time
async def test_a_preview_is_deleted_for_as_long_as_it_takes(delivery: Delivery, server: FakeServer) -> None:
    """A short outage leaves no stale preview behind."""
    server.plan = [DOWN, LOST, EXPIRED]
    await delivery.delete_quietly(PostId("p"))
    assert server.calls == ["delete p"] * 4


@pytest.mark.parametrize(
    ("failures", "warned"),
    [
        pytest.param([GONE], False, id="it is gone already"),
        pytest.param([FORBIDDEN], True, id="it may not be deleted"),
        pytest.param([FAULT] * MAX_SERVER_ERRORS, True, id="the server can't delete it"),
    ],
)
@no_time
async def test_a_preview_that_can_not_be_deleted_ends_nothing(
    delivery: Delivery, server: FakeServer, failures: list[MattermostError], warned: bool
) -> None:
    """The answer is out; what remains is said to the operator."""
    server.plan = list(failures)
    with structlog.testing.capture_logs() as lines:
        await delivery.delete_quietly(PostId("p"))
    assert any(line["event"] == "a stale preview may remain" for line in lines) is warned


@no_time
async def test_ambiguous_writes_and_retries_are_counted(delivery: Delivery, server: FakeServer) -> None:
    """Ambiguous writes are counted by account, retries by status as well."""
    server.plan = [LOST, BUSY, EXPIRED]
    await delivery.post_until_done(message())
    text = delivery.metrics.render().decode()
    assert 'oc_trio_rest_retries_total{account="default",why="no answer"} 1.0' in text
    assert 'oc_trio_rest_retries_total{account="default",why="429"} 1.0' in text
    assert 'oc_trio_rest_retries_total{account="default",why="401"} 1.0' in text
    assert 'oc_trio_outbox_ambiguous_total{account="default"} 3.0' in text
