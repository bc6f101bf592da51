"""The writer of drafts: one write at a time, the newest text wins, and a write that has begun is finished."""

from collections.abc import Mapping

import pytest
import trio
import trio.testing
from attrs import define, evolve, field

from oc_trio.core.draft_view import DraftView, StreamMode, ViewStyle
from oc_trio.core.pacing import PacingRules
from oc_trio.core.preview import DraftPhase, DraftState, PreviewRules, resumed
from oc_trio.core.turn_events import AgentEvent, TextDelta, Thinking, ToolEnded, ToolStarted, ToolStatus
from oc_trio.errors import MattermostError, MattermostRejected, MattermostUnavailable
from oc_trio.ids import PostId
from oc_trio.runtime.task_slot import TaskSlot
from oc_trio.runtime.turn.edit_pacer import EditPacer
from oc_trio.runtime.turn.previewer import WRITE_SECONDS, Previewer

INTERVAL = 1.0
RULES = PreviewRules(retry_base=1.0, ending_attempts=2)


@define(eq=False)
class Server:
    """Keeps the posts and when each write began and ended; `problems` are raised by the next writes."""

    seconds: float = 0.1
    posts: dict[PostId, str] = field(factory=dict)
    log: list[str] = field(factory=list)
    problems: list[MattermostError | None] = field(factory=list)
    throttles: int = 0
    doubts: list[PostId] = field(factory=list)
    settled: dict[PostId, str] = field(factory=dict)
    drafts: list[PostId | None] = field(factory=list)
    busy: int = 0
    is_full: float = 0.0

    async def create(self, number: int, text: str) -> PostId:
        post_id = PostId(f"p{number}")
        await self._write(post_id, text, "create")
        return post_id

    async def edit(self, post_id: PostId, text: str) -> None:
        await self._write(post_id, text, "edit")

    async def _write(self, post_id: PostId, text: str, verb: str) -> None:
        assert self.busy == 0, "two writes at once"
        self.busy += 1
        try:
            await trio.sleep(self.seconds)
        finally:
            self.busy -= 1
        problem = self.problems.pop(0) if self.problems else None
        if problem is not None:
            raise problem
        self.posts[post_id] = text
        self.log.append(f"{trio.current_time():.1f} {verb} {post_id} {text!r}")

    async def edit_uncertain(self, post_id: PostId) -> None:
        self.doubts.append(post_id)

    async def final_written(self, post_id: PostId, text: str) -> None:
        self.settled[post_id] = text

    async def record_draft(self, post_id: PostId | None) -> None:
        self.drafts.append(post_id)

    async def room(self) -> bool:
        if not self.is_full:
            return False
        await trio.sleep(self.is_full)
        return True


@define(eq=False)
class SteadyPacer(EditPacer):
    """Always the same interval; refusals are counted by the server."""

    server: Server = field(kw_only=True)

    def interval(self, length: int) -> float:
        return INTERVAL

    def throttled(self) -> None:
        self.server.throttles += 1


def a_previewer(
    server: Server,
    *,
    rules: PreviewRules = RULES,
    style: ViewStyle | None = None,
    earlier_posts: Mapping[int, DraftState] | None = None,
) -> Previewer:
    return Previewer(
        DraftView(style or ViewStyle()),
        create=server.create,
        edit=server.edit,
        record_draft=server.record_draft,
        split=lambda text: (text,),
        pacer=SteadyPacer(PacingRules(), server.room, server=server),
        rules=rules,
        edit_uncertain=server.edit_uncertain,
        final_written=server.final_written,
        earlier_posts=earlier_posts,
    )


def show(previewer: Previewer, *events: AgentEvent) -> None:
    for event in events:
        previewer.show(previewer.view.with_event(event))


@pytest.fixture
async def slot(no_time: None, nursery: trio.Nursery) -> TaskSlot:
    return TaskSlot(nursery)


async def test_the_first_text_at_once_and_then_at_intervals(slot: TaskSlot) -> None:
    """The interval runs from the end of a write, also for text that came during it."""
    server = Server()
    previewer = a_previewer(server)
    await slot.start(previewer.run)
    for word in ("a", "b", "c", "d", "e", "f"):
        show(previewer, TextDelta(word))
        await trio.sleep(0.4)
    await trio.sleep(3)
    assert server.log == ["0.1 create p0 'a'", "1.2 edit p0 'abc'", "2.3 edit p0 'abcdef'"]


async def test_unchanged_text_makes_no_call(slot: TaskSlot) -> None:
    """Neither unchanged text nor text that rendering removes makes a request."""
    server = Server()
    previewer = a_previewer(server)
    await slot.start(previewer.run)
    show(previewer, TextDelta("a"))
    await trio.sleep(5)
    show(previewer, TextDelta(" "), Thinking("hm"))
    await trio.sleep(5)
    assert len(server.log) == 1


@pytest.mark.parametrize("seconds", [0.5, WRITE_SECONDS + 5], ids=["it ends", "it hangs"])
async def test_stopping_finishes_the_write(slot: TaskSlot, seconds: float) -> None:
    """Joining waits for the write in flight, for a bounded time, and nothing is written afterwards."""
    server = Server()
    previewer = a_previewer(server)
    await slot.start(previewer.run)
    show(previewer, TextDelta("a"))
    await trio.sleep(1.15)
    server.seconds = seconds
    show(previewer, TextDelta("b"))
    await trio.sleep(0.1)
    began = trio.current_time()
    await slot.cancel_and_join(reason="over")
    assert trio.current_time() - began == pytest.approx(min(seconds, WRITE_SECONDS) - 0.1, abs=0.02)
    assert previewer.state.in_flight is None
    show(previewer, TextDelta("c"))
    await trio.sleep(60)
    assert server.posts == {"p0": "ab" if seconds < WRITE_SECONDS else "a"}
    assert server.doubts == ([] if seconds < WRITE_SECONDS else ["p0"])


async def test_stopping_does_not_wait_for_the_interval(slot: TaskSlot) -> None:
    """The pause between two edits is left at once."""
    server = Server()
    previewer = a_previewer(server)
    await slot.start(previewer.run)
    show(previewer, TextDelta("a"))
    await trio.sleep(0.2)
    show(previewer, TextDelta("b"))
    began = trio.current_time()
    await slot.cancel_and_join(reason="over")
    assert trio.current_time() == began
    assert server.posts == {"p0": "a"}


async def test_failures_back_off_and_recover(slot: TaskSlot) -> None:
    """A refused moment costs edits, not the draft."""
    server = Server(
        problems=[None, MattermostUnavailable("busy", status=429), MattermostUnavailable("lost", ambiguous=True)]
    )
    previewer = a_previewer(server)
    await slot.start(previewer.run)
    show(previewer, TextDelta("a"))
    await trio.sleep(2)
    show(previewer, TextDelta("b"))
    await trio.sleep(10)
    assert server.posts == {"p0": "ab"}
    assert (server.throttles, server.doubts) == (1, ["p0"])


@pytest.mark.parametrize("status", [400, 403, 404])
async def test_a_refused_edit_loses_the_draft(slot: TaskSlot, status: int) -> None:
    """It is not tried again: the answer will go out fresh."""
    server = Server(problems=[None, MattermostRejected("no", status=status)])
    previewer = a_previewer(server)
    await slot.start(previewer.run)
    show(previewer, TextDelta("a"))
    await trio.sleep(2)
    show(previewer, TextDelta("b"))
    await trio.sleep(60)
    assert previewer.state.phase is DraftPhase.LOST
    assert len(server.log) == 1
    assert previewer.state.leftover_post == (None if status == 404 else "p0")


async def test_a_deleted_draft_is_left_alone(slot: TaskSlot) -> None:
    """Only the draft's own deletion counts."""
    server = Server()
    previewer = a_previewer(server)
    await slot.start(previewer.run)
    show(previewer, TextDelta("a"))
    await trio.sleep(0.5)
    assert previewer.has_post(PostId("p0"))
    assert not previewer.post_deleted(PostId("other"))
    assert previewer.post_deleted(PostId("p0"))
    show(previewer, TextDelta("b"))
    await trio.sleep(60)
    assert len(server.log) == 1


async def test_blocks_are_sealed_in_order(slot: TaskSlot) -> None:
    """Each is whole on the server before the next one begins, and the journal forgets it as a draft."""
    server = Server()
    previewer = a_previewer(server, style=ViewStyle(mode=StreamMode.BLOCK))
    await slot.start(previewer.run)
    show(previewer, TextDelta("first "), TextDelta("block"), ToolStarted("1", "search"))
    show(previewer, ToolEnded("1", "search", ToolStatus.COMPLETED), TextDelta("second"))
    await trio.sleep(20)
    assert list(server.posts) == ["p0", "p1", "p2"]
    assert (server.posts[PostId("p0")], server.posts[PostId("p2")]) == ("first block", "second")
    assert previewer.published == ["first block"]
    assert previewer.posts == ["p0", "p1"]
    assert server.drafts == ["p0", None, "p1", None, "p2"]
    assert server.settled[PostId("p0")] == "first block"


async def test_the_least_length_is_for_words(slot: TaskSlot) -> None:
    """Signs of work are shown at once; a draft that exists grows as it likes."""
    server = Server()
    previewer = a_previewer(server, rules=evolve(RULES, min_chars=10))
    await slot.start(previewer.run)
    show(previewer, TextDelta("short"))
    await trio.sleep(5)
    assert server.log == []
    show(previewer, ToolStarted("1", "search"))
    await trio.sleep(5)
    assert len(server.log) == 1


@pytest.mark.parametrize(
    ("event", "at"),
    [(Thinking("hm"), 1.5), (TextDelta("word"), 1.5), (ToolStarted("1", "search"), 0.0)],
    ids=["thought", "words", "tool"],
)
async def test_progress_begins_late_unless_a_tool_does(slot: TaskSlot, event: AgentEvent, at: float) -> None:
    """A status post for quick answers would only flicker."""
    server = Server()
    previewer = a_previewer(server, style=ViewStyle(mode=StreamMode.PROGRESS))
    await slot.start(previewer.run)
    began = trio.current_time()
    show(previewer, event)
    await trio.sleep(5)
    assert float(server.log[0].split()[0]) - began == pytest.approx(at + 0.1, abs=0.06)


async def test_a_tool_ends_the_wait_of_progress(slot: TaskSlot) -> None:
    """A tool call makes the status post at once, without the usual wait."""
    server = Server()
    previewer = a_previewer(server, style=ViewStyle(mode=StreamMode.PROGRESS))
    await slot.start(previewer.run)
    show(previewer, Thinking("hm"))
    await trio.sleep(0.5)
    show(previewer, ToolStarted("1", "search"))
    await trio.sleep(0.2)
    assert len(server.log) == 1


async def test_waiting_for_room_can_be_cancelled(slot: TaskSlot) -> None:
    """A server without room for edits does not hold up the end of a turn; with room, the newest text goes out."""
    server = Server()
    previewer = a_previewer(server)
    await slot.start(previewer.run)
    show(previewer, TextDelta("a"))
    await trio.sleep(2)
    server.is_full = 10.0
    show(previewer, TextDelta("b"))
    await trio.sleep(1)
    show(previewer, TextDelta("c"))
    server.is_full = 0.0
    await trio.sleep(10)
    assert server.posts == {"p0": "abc"}
    server.is_full = 1000.0
    show(previewer, TextDelta("d"))
    await trio.sleep(1)
    began = trio.current_time()
    await slot.cancel_and_join(reason="over")
    assert trio.current_time() == began


async def test_a_block_that_can_t_be_completed(slot: TaskSlot) -> None:
    """It is not counted as said, what follows is left to the final, and that replaces its post."""
    busy = MattermostUnavailable("busy", status=503)
    server = Server(problems=[None, busy, busy])
    previewer = a_previewer(server, style=ViewStyle(mode=StreamMode.BLOCK))
    await slot.start(previewer.run)
    show(previewer, TextDelta("first "))
    await trio.sleep(0.5)
    show(previewer, TextDelta("block"), ToolStarted("1", "search"))
    await trio.sleep(20)
    show(previewer, ToolEnded("1", "search", ToolStatus.COMPLETED), TextDelta("second"))
    await trio.sleep(20)
    await slot.cancel_and_join(reason="over")
    await previewer.finish()
    assert (previewer.published, previewer.posts, previewer.stale) == ([], [], ())
    assert (previewer.state.leftover_post, previewer.unpublished()) == ("p0", "first block\n\nsecond")
    assert server.posts == {"p0": "first"}


async def test_the_end_seals_what_is_complete(slot: TaskSlot) -> None:
    """Blocks that were waiting for their turn are out before the answer ends, and only once."""
    server = Server(seconds=1.0)
    previewer = a_previewer(server, style=ViewStyle(mode=StreamMode.BLOCK))
    await slot.start(previewer.run)
    show(previewer, TextDelta("first"), ToolStarted("1", "search"))
    show(previewer, ToolEnded("1", "search", ToolStatus.COMPLETED), TextDelta("second"))
    await trio.sleep(0.5)
    await slot.cancel_and_join(reason="the answer is complete")
    with trio.move_on_after(0.5):
        await previewer.finish()
    await previewer.finish()
    assert previewer.unpublished() == "second"
    assert (previewer.published, previewer.posts) == (["first"], ["p0", "p1"])
    assert list(server.posts) == ["p0", "p1"]


async def test_a_turn_that_goes_on_writes_into_its_posts(slot: TaskSlot) -> None:
    """Block number n is post number n, before and after a restart; posts without a block are named."""
    server = Server()
    earlier_posts = {number: resumed(PostId(f"old{number}")) for number in range(4)}
    previewer = a_previewer(server, style=ViewStyle(mode=StreamMode.BLOCK), earlier_posts=earlier_posts)
    await slot.start(previewer.run)
    show(previewer, TextDelta("first"), ToolStarted("1", "search"), TextDelta("second"))
    await trio.sleep(20)
    assert (server.posts[PostId("old0")], server.posts[PostId("old2")]) == ("first", "second")
    assert list(server.posts) == ["old0", "old1", "old2"]
    assert previewer.stale == ("old3",)
