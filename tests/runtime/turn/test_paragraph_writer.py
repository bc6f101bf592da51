"""Completed blocks as posts of their own: what is a block, when it goes out, what the final still has to say."""

from collections.abc import Awaitable, Callable, Mapping

import trio
import trio.testing
from attrs import define, field

from oc_trio.core.coalesce import CoalesceRules
from oc_trio.core.draft_view import DraftView, StreamMode, ViewStyle
from oc_trio.core.final_plan import FreshPosts, NoPost, ReplyRules, plan_final
from oc_trio.core.turn_events import Final, TextDelta, ToolStarted
from oc_trio.errors import MattermostRejected
from oc_trio.ids import PostId
from oc_trio.runtime.turn.paragraph_writer import ParagraphWriter

RULES = CoalesceRules(min_chars=10, max_chars=60, idle=1.0)


@define(eq=False)
class Channel:
    """Keeps what was posted; `problem` refuses everything."""

    posts: list[str] = field(factory=list)
    problem: MattermostRejected | None = None
    edits: dict[PostId, str] = field(factory=dict)

    seconds: float = 0.1

    async def post(self, number: int, text: str) -> PostId:
        await trio.sleep(self.seconds)
        if self.problem is not None:
            raise self.problem
        assert number == len(self.posts)
        self.posts.append(text)
        return PostId(f"p{number}")

    async def edit(self, post_id: PostId, text: str) -> None:
        await trio.sleep(0.1)
        self.edits[post_id] = text


async def write(
    channel: Channel,
    talk: Callable[[ParagraphWriter], Awaitable[None]],
    earlier_posts: Mapping[int, PostId] | None = None,
) -> ParagraphWriter:
    """Let `talk` show text to a writer, then stop it as a turn does at its end."""
    view = DraftView(ViewStyle(mode=StreamMode.OFF))
    reply = ReplyRules()
    writer = ParagraphWriter(
        view, post=channel.post, edit=channel.edit, rules=RULES, reply=reply, earlier_posts=earlier_posts
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.run)
        await talk(writer)
        nursery.cancel_scope.cancel()
    return writer


async def say(writer: ParagraphWriter, text: str, delay: float = 0.01) -> None:
    for char in text:
        await trio.sleep(delay)
        writer.show(writer.view.with_event(TextDelta(char)))


def rest(writer: ParagraphWriter, text: str) -> tuple[str, ...]:
    plan = plan_final(writer.state, Final(text), ReplyRules(), published=tuple(writer.published))
    if isinstance(plan, NoPost):
        return ()
    assert isinstance(plan, FreshPosts)
    return plan.texts


async def test_a_paragraph_goes_out_after_a_pause(autojump_clock: trio.testing.MockClock) -> None:
    """The one being written waits for its end; the final says only the rest."""
    channel, text = Channel(), "A first paragraph.\n\nA second one."

    async def talk(writer: ParagraphWriter) -> None:
        await say(writer, text[:25])
        await trio.sleep(3)
        assert channel.posts == ["A first paragraph."]
        await say(writer, text[25:])

    writer = await write(channel, talk)
    assert channel.posts == ["A first paragraph."]
    assert rest(writer, text) == ("A second one.",)


async def test_short_blocks_wait_for_more(autojump_clock: trio.testing.MockClock) -> None:
    """What is too little stays for the final."""
    channel = Channel()

    async def talk(writer: ParagraphWriter) -> None:
        await say(writer, "Yes.\n\nOr")
        await trio.sleep(5)

    writer = await write(channel, talk)
    assert channel.posts == []
    assert rest(writer, "Yes.\n\nOr no.") == ("Yes.\n\nOr no.",)


async def test_blank_lines_in_code_end_no_block(autojump_clock: trio.testing.MockClock) -> None:
    """A fence is one block with what is in it."""
    channel, text = Channel(), "Code:\n\n```\na = 1\n\nb = 2\n```\n\nThat is all."

    async def talk(writer: ParagraphWriter) -> None:
        await say(writer, text)
        await trio.sleep(5)

    writer = await write(channel, talk)
    assert channel.posts == ["Code:\n\n```\na = 1\n\nb = 2\n```"]
    assert rest(writer, text) == ("That is all.",)


async def test_a_tool_call_ends_a_block(autojump_clock: trio.testing.MockClock) -> None:
    """What was said before it is complete."""
    channel = Channel()

    async def talk(writer: ParagraphWriter) -> None:
        await say(writer, "Let me look at that.")
        writer.show(writer.view.with_event(ToolStarted("1", "search")))
        await trio.sleep(5)
        await say(writer, "Found it, here.")

    writer = await write(channel, talk)
    assert channel.posts == ["Let me look at that."]
    assert rest(writer, "Let me look at that.\n\nFound it, here.") == ("Found it, here.",)


async def test_a_block_too_long_for_one_post(autojump_clock: trio.testing.MockClock) -> None:
    """It is cut, and all of it is out before anything else."""
    channel, text = Channel(), "word " * 30 + "end.\n\nMore."

    async def talk(writer: ParagraphWriter) -> None:
        await say(writer, text)
        await trio.sleep(0.5)

    writer = await write(channel, talk)
    assert " ".join(channel.posts).split() == text.removesuffix("More.").split()
    assert all(len(post) <= RULES.max_chars for post in channel.posts)
    assert rest(writer, text) == ("More.",)


async def test_a_post_under_way_is_finished(autojump_clock: trio.testing.MockClock) -> None:
    """Ending the turn in the middle of a post loses and doubles nothing."""
    channel, text = Channel(), "A first paragraph.\n\nA second one."

    async def talk(writer: ParagraphWriter) -> None:
        await say(writer, text[:25], delay=0)
        await trio.sleep(1.05)

    writer = await write(channel, talk)
    assert channel.posts == ["A first paragraph."]
    assert rest(writer, text) == ("A second one.",)


async def test_a_refusal_leaves_it_to_the_final(autojump_clock: trio.testing.MockClock) -> None:
    """After a refused block the whole answer goes out as the final."""
    channel, text = Channel(problem=MattermostRejected("no", status=403)), "A first paragraph.\n\nA second one."

    async def talk(writer: ParagraphWriter) -> None:
        await say(writer, text)
        await trio.sleep(5)

    writer = await write(channel, talk)
    assert rest(writer, text) == (text,)


async def test_saying_nothing_is_said_by_nobody(autojump_clock: trio.testing.MockClock) -> None:
    """The silent token and reasoning are no blocks."""
    channel = Channel()

    async def talk(writer: ParagraphWriter) -> None:
        await say(writer, "<think>hm, a thought of some length\n\n</think>NO_REPLY")
        writer.show(writer.view.with_event(ToolStarted("1", "search")))
        await trio.sleep(5)

    writer = await write(channel, talk)
    assert (channel.posts, writer.published) == ([], [])
    assert not writer.post_deleted(PostId("p0"))
    assert not writer.has_post(PostId("p0"))


async def test_a_turn_that_goes_on_writes_into_its_posts(autojump_clock: trio.testing.MockClock) -> None:
    """What stands of an earlier run reads as it should and is not said again; what has no place is named."""
    channel, text = Channel(), "A first paragraph.\n\nA second one."
    earlier_posts = {0: PostId("old0"), 1: PostId("old1")}

    async def talk(writer: ParagraphWriter) -> None:
        await say(writer, text)
        await trio.sleep(3)

    writer = await write(channel, talk, earlier_posts)
    assert (channel.posts, channel.edits) == ([], {"old0": "A first paragraph."})
    assert (writer.posts, writer.stale) == (["old0"], ("old1",))
    assert rest(writer, text) == ("A second one.",)


async def test_a_post_that_takes_long_is_waited_for(autojump_clock: trio.testing.MockClock) -> None:
    """Whether it stands is known before the answer ends: it is neither lost nor said twice."""
    channel, text = Channel(seconds=50.0), "A first paragraph.\n\nA second one."

    async def talk(writer: ParagraphWriter) -> None:
        await say(writer, text)
        await trio.sleep(3)

    writer = await write(channel, talk)
    assert (channel.posts, writer.published) == ([], [])
    channel.seconds = 0.1
    await writer.finish()
    assert channel.posts == ["A first paragraph."]
    assert rest(writer, text) == ("A second one.",)


async def test_a_long_block_behind_a_waiting_one(autojump_clock: trio.testing.MockClock) -> None:
    """The waiting one goes out by itself, and all of the long one follows at once."""
    channel, text = Channel(), "A first paragraph.\n\n" + "word " * 30 + "end.\n\nMore."

    async def talk(writer: ParagraphWriter) -> None:
        await say(writer, text, delay=0)
        await trio.sleep(0.5)

    writer = await write(channel, talk)
    assert channel.posts[0] == "A first paragraph."
    assert " ".join(channel.posts).split() == text.removesuffix("More.").split()
    assert rest(writer, text) == ("More.",)


THOUGHT = "A thought of some length.\n\nMore of the thought.\n\n"


async def test_what_turns_out_to_be_a_thought_is_taken_back(autojump_clock: trio.testing.MockClock) -> None:
    """A later block is written over it, and what has no place is named; the final says only the rest."""
    channel, answer = Channel(), "A first paragraph.\n\nA second one."

    async def talk(writer: ParagraphWriter) -> None:
        await say(writer, THOUGHT[:29])
        await trio.sleep(3)
        await say(writer, THOUGHT[29:])
        await trio.sleep(3)
        assert len(channel.posts) == 2
        await say(writer, f"</think>\n\n{answer}")
        await trio.sleep(3)

    writer = await write(channel, talk)
    await writer.finish()
    assert channel.edits == {"p0": "A first paragraph."}
    assert (writer.posts, writer.stale) == (["p0"], ("p1",))
    assert rest(writer, answer) == ("A second one.",)


async def test_a_thought_that_is_found_out_at_the_very_end(autojump_clock: trio.testing.MockClock) -> None:
    """All of it goes, and the whole answer is the final's; what was said before a tool call stays."""
    channel = Channel()

    async def talk(writer: ParagraphWriter) -> None:
        await say(writer, "Let me look at that.")
        writer.show(writer.view.with_event(ToolStarted("1", "search")))
        await trio.sleep(3)
        await say(writer, THOUGHT)
        await trio.sleep(3)
        writer.show(writer.view.with_event(TextDelta("</think>Four.")))

    writer = await write(channel, talk)
    await writer.finish()
    assert (writer.posts, writer.published) == (["p0"], ["Let me look at that."])
    assert writer.stale == ("p1",)
    assert rest(writer, "Let me look at that.\n\nFour.") == ("Four.",)


async def test_a_tag_in_code_takes_nothing_back(autojump_clock: trio.testing.MockClock) -> None:
    """It looks like one for as long as the code is open."""
    channel, text = Channel(), "A first paragraph.\n\nWrite `</think>` there.\n\nSo it is."

    async def talk(writer: ParagraphWriter) -> None:
        await say(writer, text[:20])
        await trio.sleep(3)
        await say(writer, text[20:], delay=0.2)
        await trio.sleep(3)

    writer = await write(channel, talk)
    await writer.finish()
    assert (channel.posts, writer.stale) == (["A first paragraph.", "Write `</think>` there."], ())
    assert rest(writer, text) == ("So it is.",)
