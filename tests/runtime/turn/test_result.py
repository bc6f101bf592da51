"""The decided end of a turn: a value that survives a restart, and a delivery that can be repeated."""

from random import Random

import pytest
import trio
from attrs import define, evolve, field

from oc_trio.core.backoff import RetryPolicy
from oc_trio.core.chunking import SERVER_LIMIT
from oc_trio.core.final_plan import EditInPlace, FreshPosts, NoPost
from oc_trio.core.ledger import ObligationState, OutboxKind, OutboxRow, Outcome
from oc_trio.core.turn_events import Media
from oc_trio.errors import MattermostRejected, MattermostUnavailable
from oc_trio.ids import ChannelId, OutboxId, PostId, TurnId
from oc_trio.mattermost.post_creator import WAS_DELETED
from oc_trio.runtime.delivery.outbox_message import OutboxMessage
from oc_trio.runtime.delivery.retry import WriteRetryState
from oc_trio.runtime.delivery.uploads import SentFile
from oc_trio.runtime.turn.result import ReplyTarget, TurnResult, deliver_result, not_delivered, result_of

HERE = ReplyTarget(TurnId("t"), ChannelId("c"), "root")
DELIVERED, FAILED, CANCELLED = ObligationState.DELIVERED, ObligationState.FAILED, ObligationState.CANCELLED
GONE = MattermostRejected("gone", status=403, code="api.context.permissions.app_error")


@define(eq=False)
class Out:
    """Delivers into a log; `refuses` are the verbs that the server refuses."""

    refuses: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    log: list[str] = field(factory=list)
    messages: list[OutboxMessage] = field(factory=list)
    settled: list[tuple[PostId, str]] = field(factory=list)

    async def post_in_order(
        self, message: OutboxMessage, _begun: OutboxRow | None, _following: OutboxMessage | None
    ) -> tuple[PostId, OutboxRow | None]:
        return await self.post(message), None

    async def post(self, message: OutboxMessage) -> PostId:
        await trio.lowlevel.checkpoint()
        self._may("post")
        self.messages.append(message)
        self.log.append(f"post {message.id} {message.message!r}")
        return PostId(f"post-{message.id}")

    async def edit_until_done(self, post_id: PostId, message: str) -> None:
        await trio.lowlevel.checkpoint()
        self._may("edit")
        self.log.append(f"edit {post_id} {message!r}")

    async def delete_quietly(self, post_id: PostId) -> None:
        await trio.lowlevel.checkpoint()
        self.log.append(f"delete {post_id}")

    async def exists(self, outbox_id: OutboxId) -> bool:
        return outbox_id in self.known

    async def confirmed_post(self, outbox_id: OutboxId) -> PostId | None:
        return PostId(f"post-{outbox_id}") if outbox_id in self.known else None

    async def retract(self, outbox_id: OutboxId) -> None:
        self.log.append(f"retract {outbox_id}")

    async def abandon(self, outbox_id: OutboxId, why: str) -> str:
        self.log.append(f"abandon {outbox_id}")
        return why

    def retry_state(self, what: str) -> WriteRetryState:
        return WriteRetryState(MattermostUnavailable, RetryPolicy(), Random(1).random)

    def _may(self, verb: str) -> None:
        if verb in self.refuses:
            raise GONE


async def done(result: TurnResult, out: Out, *earlier: str) -> str:
    """How the obligation ended, after the result went through its JSON."""
    result = TurnResult.from_json(result.to_json())

    async def settled(post_id: PostId, text: str) -> None:
        out.settled.append((post_id, text))

    outcome = await deliver_result(result, HERE, out, tuple(map(PostId, earlier)), settled)  # type: ignore[arg-type]
    return f"{outcome.state.value} {' '.join(outcome.posts)} {outcome.reason}".strip()


@pytest.mark.parametrize(
    ("result", "log", "end"),
    [
        (result_of(EditInPlace(PostId("d"), "a")), ["edit d 'a'"], "delivered d"),
        (result_of(EditInPlace(PostId("d"), "a", unchanged=True)), [], "delivered d"),
        (
            result_of(EditInPlace(PostId("d"), "a", ("b", "c"))),
            ["edit d 'a'", "post t.1 'b'", "post t.2 'c'"],
            "delivered d post-t.1 post-t.2",
        ),
        (
            result_of(FreshPosts(("a", "b"), PostId("d"))),
            ["post t.0 'a'", "post t.1 'b'", "delete d"],
            "delivered post-t.0 post-t.1",
        ),
        (result_of(NoPost("empty", PostId("d"))), ["delete d"], "silent  empty"),
        (result_of(FreshPosts(("sorry",)), failure="status 500"), ["post t.0 'sorry'"], "failed post-t.0 status 500"),
        (TurnResult(CANCELLED, ("s",), "d", reason="stopped"), ["edit d 's'"], "cancelled d stopped"),
        (TurnResult(CANCELLED, reason="stopped"), [], "cancelled  stopped"),
    ],
    ids=["in place", "unchanged", "several", "fresh", "nothing", "failure", "sealed", "nothing to seal"],
)
async def test_ways_to_end(result: TurnResult, log: list[str], end: str) -> None:
    """What the server is told, in order, and how the obligation ends."""
    out = Out()
    assert (await done(result, out), out.log) == (end, log)


@pytest.mark.parametrize(
    ("result", "refuses", "log", "end"),
    [
        (
            result_of(EditInPlace(PostId("d"), "a", ("b",))),
            ("edit",),
            ["post t.0 'a'", "post t.1 'b'", "delete d"],
            "delivered post-t.0 post-t.1",
        ),
        (TurnResult(CANCELLED, ("s",), "d", reason="stopped"), ("edit",), [], "cancelled  stopped"),
        (
            TurnResult(FAILED, ("late",), "d", reason="too long"),
            ("edit",),
            ["post t.0 'late'", "delete d"],
            "failed post-t.0 too long",
        ),
        (result_of(FreshPosts(("a",), PostId("d"))), ("post",), [], "failed  not delivered: gone"),
    ],
    ids=["the draft is gone", "a seal has no other place", "a notice has", "nothing can be posted"],
)
async def test_refusals(result: TurnResult, refuses: tuple[str, ...], log: list[str], end: str) -> None:
    """The answer goes out fresh where its draft can't be written and the draft goes; it stays where nothing can be."""
    out = Out(refuses)
    assert (await done(result, out), out.log) == (end, log)


def test_an_answer_that_somebody_deleted_is_no_failure() -> None:
    """The server remembers the key of a post that is gone: whoever took it away decided so."""
    refusal = MattermostRejected("gone", status=500, code=WAS_DELETED)
    assert not_delivered(refusal) == Outcome(CANCELLED, (), "the answer was deleted")
    assert not_delivered(GONE).state is FAILED


async def test_a_fresh_answer_stays_one() -> None:
    """An answer that an earlier run sent fresh, since its draft could not be edited, goes into no draft any more."""
    out = Out(known=("t.0",))
    assert await done(result_of(EditInPlace(PostId("d"), "a")), out) == "delivered post-t.0"
    assert out.log == ["post t.0 'a'", "delete d"]


async def test_earlier_blocks_count_as_the_answer() -> None:
    """An answer that is already published is delivered, not silent."""
    assert await done(result_of(NoPost("it is out", is_in_blocks=True)), Out(), "b0", "b1") == "delivered b0 b1"
    assert await done(result_of(NoPost("nothing to say")), Out(), "b0") == "silent b0 nothing to say"
    assert await done(result_of(FreshPosts(("rest",))), Out(), "b0") == "delivered b0 post-t.0"


def with_files(count: int, *problems: str) -> TurnResult:
    sent = [SentFile(f"f{number}") for number in range(count)] + [SentFile(problem=problem) for problem in problems]
    return TurnResult(DELIVERED, ("words",), media=tuple(Media(path="/x") for _ in sent), files=tuple(sent))


@pytest.mark.parametrize(
    ("result", "posts"),
    [
        (with_files(2), [("t.0", "words", 2)]),
        (with_files(12), [("t.0", "words", 10), ("t.f1", "", 2)]),
        (with_files(0, "no x."), [("t.0", "words\n\n⚠️ no x.", 0)]),
        (evolve(with_files(1), texts=()), [("t.0", "", 1)]),
        (evolve(with_files(0, "no x."), texts=()), [("t.0", "⚠️ no x.", 0)]),
        (
            evolve(with_files(0, "no x."), texts=("w" * SERVER_LIMIT,)),
            [("t.0", "w" * SERVER_LIMIT, 0), ("t.1", "⚠️ no x.", 0)],
        ),
        (evolve(with_files(1, "no x."), texts=("a", "b")), [("t.0", "a", 1), ("t.1", "b\n\n⚠️ no x.", 0)]),
    ],
    ids=["some", "many", "none", "no words", "nothing", "no room", "two posts"],
)
async def test_files(result: TurnResult, posts: list[tuple[str, str, int]]) -> None:
    """Ten to a post; what could not be sent is said below the last words."""
    out = Out()
    await done(result, out)
    assert [(message.id, message.message, len(message.file_ids)) for message in out.messages] == posts


async def test_buttons_belong_to_the_first_post() -> None:
    """Once, and as the journal has them."""
    out = Out()
    await done(TurnResult(DELIVERED, ("a", "b"), props='{"attachments":[1]}'), out)
    assert [dict(message.props) for message in out.messages] == [{"attachments": [1]}, {}]
    assert {message.kind for message in out.messages} == {OutboxKind.FINAL}


async def test_buttons_of_an_answer_that_is_out_in_blocks() -> None:
    """They stand in a post of their own: no block can take them any more, and without them nobody could choose."""
    out = Out()
    result = TurnResult(DELIVERED, props='{"attachments":[1]}', media=(Media(path="/x"),), files=(SentFile("f0"),))
    assert await done(result, out, "b0") == "delivered b0 post-t.0"
    assert [(message.message, dict(message.props), message.file_ids) for message in out.messages] == [
        ("Please choose:", {"attachments": [1]}, ("f0",))
    ]
