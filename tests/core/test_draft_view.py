from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.core.draft_view import Block, BlockKind, DraftView, StreamMode, ViewStyle
from oc_trio.core.mention_escape import ZERO_WIDTH_SPACE
from oc_trio.core.progress import ProgressStyle
from oc_trio.core.tables import TableMode
from oc_trio.core.turn_events import (
    AgentEvent,
    Failed,
    Final,
    Headline,
    PlanStep,
    PlanUpdated,
    TextDelta,
    Thinking,
    ToolEnded,
    ToolStarted,
    ToolStatus,
)

DOCS = Path(__file__).parents[2] / "docs"
PARTIAL = ViewStyle()
BLOCK = ViewStyle(mode=StreamMode.BLOCK)
PROGRESS = ViewStyle(mode=StreamMode.PROGRESS)
READ = ToolStarted("1", "read", {"path": "a.py"})
READ_DONE = ToolEnded("1", "read", ToolStatus.COMPLETED)
READ_FAILED = ToolEnded("1", "read", ToolStatus.FAILED)
EDIT = ToolStarted("2", "edit", {"path": "b.py"})
PLAN = PlanUpdated((PlanStep("look", "done"), PlanStep("act", "active")))


@pytest.mark.parametrize(("page", "form"), [("streaming.md", "## {} "), ("configuration.md", "`{}`: ")])
@pytest.mark.parametrize("mode", StreamMode)
def test_the_documentation_explains_each_mode(mode: StreamMode, page: str, form: str) -> None:
    """It has a heading on the page about streaming, and stands in the line of the key `mode`."""
    text = (DOCS / page).read_text(encoding="utf-8").replace("\n", " \n")
    assert form.format(mode.value) in text, f"docs/{page} says nothing of {mode.value}"


def after(style: ViewStyle, *events: AgentEvent) -> DraftView:
    view = DraftView(style)
    for event in events:
        view = view.with_event(event)
    return view


def shown(style: ViewStyle, *events: AgentEvent) -> list[str]:
    """Every text that is to be visible; the last is the current one."""
    visible = after(style, *events).visible()
    return [block.text for block in (*visible.sealed, *((visible.current,) if visible.current else ()))]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        pytest.param([], [], id="nothing yet"),
        pytest.param([TextDelta("Hel"), TextDelta("lo ")], ["Hello"], id="text grows"),
        pytest.param([Thinking("hm")], ["Thinking…"], id="thinking"),
        pytest.param([Thinking("hm"), TextDelta("Hi")], ["Hi"], id="text replaces thinking"),
        pytest.param([READ], ["Working\n\n📖 Read: a.py"], id="a tool"),
        pytest.param([READ, READ_FAILED], ["Working\n\n📖 Read: a.py (failed)"], id="a failed tool"),
        pytest.param([READ, EDIT], ["Working\n\n📖 Read: a.py\n📝 Edit: b.py"], id="parallel tools"),
        pytest.param([READ, READ_DONE, TextDelta("Hi")], ["Hi"], id="text replaces tools"),
        pytest.param([TextDelta("Let me look."), READ], ["Let me look.\n\nWorking\n\n📖 Read: a.py"], id="text stays"),
        pytest.param(
            [TextDelta("Let me look."), READ, READ_DONE, TextDelta("Found it.")],
            ["Let me look.\n\nFound it."],
            id="messages of a turn add up",
        ),
        pytest.param([READ, TextDelta("\n\n")], ["Working\n\n📖 Read: a.py"], id="blank text ends nothing"),
        pytest.param([Headline("Looking"), READ], ["Looking\n\n📖 Read: a.py"], id="headline"),
        pytest.param([PLAN], ["Working\n\n✅ look\n▸ act"], id="plan"),
        pytest.param([PLAN, PlanUpdated(())], [], id="a cleared plan"),
        pytest.param([ToolStarted("1", "message")], [], id="a tool that is no work"),
        pytest.param([ToolEnded("9", "read", ToolStatus.FAILED)], [], id="the end of an unknown call"),
        pytest.param([TextDelta("NO_"), TextDelta("REPLY")], [], id="the silent token"),
        pytest.param([TextDelta("<think>hm</think>Hi <th")], ["Hi"], id="think tags"),
        pytest.param([TextDelta("<think>hm"), READ, READ_DONE, TextDelta("Hi")], ["Hi"], id="a tag left open"),
        pytest.param([TextDelta("Hi"), Final("Hi!"), Failed("a", "b")], ["Hi"], id="endings change nothing"),
    ],
)
def test_partial(events: list[AgentEvent], expected: list[str]) -> None:
    """One text: work until words come, then the words so far, with work below while it lasts."""
    assert shown(PARTIAL, *events) == expected


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        pytest.param([TextDelta("Hi"), TextDelta(" there")], ["Hi there"], id="text"),
        pytest.param([Thinking(), TextDelta("Hi")], ["Hi"], id="thinking makes no block of its own"),
        pytest.param(
            [TextDelta("Let me look."), READ, EDIT, READ_DONE, TextDelta("Done.")],
            ["Let me look.", "Working\n\n📖 Read: a.py\n📝 Edit: b.py", "Done."],
            id="text, tools, text",
        ),
        pytest.param(
            [READ, TextDelta("So"), READ_FAILED], ["Working\n\n📖 Read: a.py", "So"], id="a sealed block stays as it is"
        ),
        pytest.param([TextDelta("a"), READ], ["a", "Working\n\n📖 Read: a.py"], id="text is sealed by a tool"),
        pytest.param(
            [PLAN, TextDelta("a"), READ],
            ["Working\n\n✅ look\n▸ act", "a", "Working\n\n✅ look\n▸ act\n📖 Read: a.py"],
            id="a plan belongs to the turn",
        ),
        pytest.param([TextDelta("a"), READ, Thinking("x")], ["a", "Working\n\n📖 Read: a.py"], id="thinking later"),
    ],
)
def test_block(events: list[AgentEvent], expected: list[str]) -> None:
    """Text and work take turns, each a post of its own."""
    assert shown(BLOCK, *events) == expected


@pytest.mark.parametrize(
    ("events", "rows", "expected"),
    [
        pytest.param([], False, [], id="nothing yet"),
        pytest.param([TextDelta("Hi")], False, ["Working"], id="text is not shown"),
        pytest.param([Thinking("x")], False, ["Working\n\n• Thinking…"], id="thinking"),
        pytest.param([READ], False, ["Working"], id="rows are off"),
        pytest.param([READ], True, ["Working\n\n📖 Read: a.py"], id="rows are on"),
        pytest.param([Headline("Looking"), PLAN], False, ["Looking\n\n✅ look\n▸ act"], id="headline and plan"),
    ],
)
def test_progress(events: list[AgentEvent], rows: bool, expected: list[str]) -> None:
    """A status, never the words of the answer."""
    assert shown(ViewStyle(mode=StreamMode.PROGRESS, progress_rows=rows), *events) == expected


def test_off_shows_nothing() -> None:
    """Without preview there is nothing to see."""
    assert shown(ViewStyle(mode=StreamMode.OFF), TextDelta("Hi"), READ) == []


def test_a_hidden_label_leaves_a_progress_draft_with_thinking() -> None:
    """A status draft is never blank."""
    style = ViewStyle(mode=StreamMode.PROGRESS, progress=ProgressStyle(label=""))
    assert shown(style, TextDelta("Hi")) == ["Thinking…"]


def test_tool_rows_can_be_switched_off() -> None:
    """Without `toolProgress` a tool leaves no trace."""
    assert shown(ViewStyle(tool_rows=False), READ) == []
    assert shown(ViewStyle(mode=StreamMode.BLOCK, tool_rows=False), TextDelta("a"), READ, TextDelta("b")) == ["a", "b"]


def test_a_verbose_session_keeps_the_rows_under_the_text() -> None:
    """Rows stay when words come, and a status draft shows them, too."""
    rows = "Working\n\n📖 Read: a.py"
    assert shown(ViewStyle(verbose=True), READ, READ_DONE, TextDelta("Hi")) == [f"Hi\n\n{rows}"]
    assert shown(ViewStyle(mode=StreamMode.PROGRESS, verbose=True), READ) == [rows]


def test_reasoning_is_shown_where_the_session_asked_for_it() -> None:
    """The last line of reasoning stands where `Thinking…` would, and goes when words come."""
    style = ViewStyle(reasoning=True)
    assert shown(style, Thinking("first\nthen "), Thinking("this")) == ["💭 then this"]
    assert shown(style, Thinking("x" * 500)) == ["💭 …" + "x" * 119]
    assert shown(style, Thinking("x"), TextDelta("Hi")) == ["Hi"]


def test_words_are_prepared_as_they_will_be_posted() -> None:
    """Prefix, tables and broadcasts are those of the final text."""
    style = ViewStyle(response_prefix="[bot]", tables=TableMode.BULLETS)
    assert shown(style, TextDelta("hi @all")) == [f"[bot] hi @{ZERO_WIDTH_SPACE}all"]
    assert shown(style, TextDelta("|a|\n|-|\n|b|")) == ["[bot] - b"]
    block = ViewStyle(mode=StreamMode.BLOCK, response_prefix="[bot]")
    assert shown(block, TextDelta("a"), READ, TextDelta("b")) == ["[bot] a", "Working\n\n📖 Read: a.py", "b"]


def test_a_long_text_is_cut_and_a_sealed_one_is_whole() -> None:
    """Previews end in three dots at the limit."""
    assert shown(ViewStyle(max_chars=10), TextDelta("x" * 11)) == ["xxxxxxx..."]
    assert shown(ViewStyle(max_chars=10), TextDelta("x" * 10)) == ["x" * 10]
    block = ViewStyle(mode=StreamMode.BLOCK, max_chars=30)
    assert shown(block, TextDelta("x" * 40), READ)[0] == "x" * 40


def test_a_cut_that_tears_code_open_does_not_bare_a_broadcast() -> None:
    """The cut text is escaped again."""
    text = shown(ViewStyle(max_chars=16), TextDelta("a `@all` `b cdefg hi`"))[0]
    assert text == f"a `@{ZERO_WIDTH_SPACE}all` `b ..."


def test_blocks_know_their_kind() -> None:
    """Words of the reply are told apart from signs of work."""
    visible = after(BLOCK, TextDelta("a"), READ).visible()
    assert visible.sealed == (Block(BlockKind.REPLY, "a"),)
    assert visible.current is not None
    assert visible.current.kind is BlockKind.WORK


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        pytest.param(PARTIAL, "a\n\nb", id="partial"),
        pytest.param(BLOCK, "b", id="block"),
        pytest.param(PROGRESS, "", id="progress"),
    ],
)
def test_what_was_said_is_known_without_signs_of_work(style: ViewStyle, expected: str) -> None:
    """A cancelled draft is sealed with words alone."""
    assert after(
        style, TextDelta("a"), READ, TextDelta("b"), EDIT if style is PARTIAL else Thinking()
    ).unsealed_reply() == (expected)


def test_nothing_was_said_before_the_first_word() -> None:
    """Work alone is not the reply."""
    assert after(ViewStyle(response_prefix="[bot]"), READ).unsealed_reply() == ""


@pytest.mark.parametrize(
    ("final", "expected"),
    [
        pytest.param("Found it.", "Let me look.\n\nFound it.", id="only the last message"),
        pytest.param("Let me  look.\nFound it.", "Let me  look.\nFound it.", id="all of it"),
        pytest.param("", "", id="nothing to say"),
    ],
)
def test_the_whole_reply_keeps_what_was_read(final: str, expected: str) -> None:
    """Earlier messages of the turn don't vanish with the final text."""
    view = after(PARTIAL, TextDelta("Let me look."), READ, TextDelta("Found"))
    assert view.whole_reply(final) == expected


@pytest.mark.parametrize("mode", StreamMode)
@pytest.mark.parametrize(
    ("final", "expected"),
    [
        pytest.param("Look, there it is.", "Look\n\nLook, there it is.", id="a word of it comes again"),
        pytest.param("Look\n\nThere.", "Look\n\nThere.", id="repeated by the agent"),
        pytest.param("", "Look", id="nothing more to say"),
    ],
)
def test_what_was_said_before_a_restart_leads_the_answer(mode: StreamMode, final: str, expected: str) -> None:
    """An agent that goes on says what it had not said; people get all of it."""
    view = DraftView(ViewStyle(mode=mode)).resumed((TextDelta("Look"), READ))
    assert view.whole_reply(final) == expected


def test_only_mode_block_shows_earlier_work_again() -> None:
    """There it stands in posts of its own, which are the same posts as before."""
    earlier = (TextDelta("Let me look."), READ, TextDelta("And"))
    shown = DraftView(BLOCK).resumed(earlier).visible()
    assert [block.text for block in shown.sealed][:1] == ["Let me look."]
    assert len(shown.sealed) == 2
    again = DraftView(PARTIAL).resumed(earlier).visible()
    assert again.current is not None
    assert again.current.text == "Let me look."


def test_work_at_the_end_is_a_block() -> None:
    """Signs of work after the last word stay in the channel, as those before it do; thinking does not."""
    view = after(BLOCK, TextDelta("Let me look."), READ).finished()
    assert [block.kind for block in view.visible().sealed] == [BlockKind.REPLY, BlockKind.WORK]
    assert view.finished() == view
    assert after(BLOCK, Thinking()).finished().visible().sealed == ()
    assert after(PARTIAL, READ).finished() == after(PARTIAL, READ)


def test_rows_are_bounded() -> None:
    """A turn of a thousand calls stays small; failures are kept longest."""
    events: list[AgentEvent] = [READ, READ_FAILED]
    events += [ToolStarted(str(at), "read", {"path": str(at)}) for at in range(10, 1000)]
    rows = after(PARTIAL, *events).work.rows
    assert len(rows) == 64
    assert rows[0].went_wrong


EVENTS = st.lists(
    st.one_of(
        st.builds(TextDelta, st.text("ab `@\n", max_size=8)),
        st.sampled_from([READ, READ_DONE, EDIT, PLAN, PlanUpdated(()), Headline("h"), Thinking("x")]),
    ),
    max_size=25,
)


@given(EVENTS, st.sampled_from(StreamMode))
def test_sealed_text_never_changes_and_the_current_one_is_bounded(events: list[AgentEvent], mode: StreamMode) -> None:
    """Later events only append to what is sealed."""
    view = DraftView(ViewStyle(mode=mode, max_chars=40))
    before = view.visible()
    for event in events:
        view = view.with_event(event)
        visible = view.visible()
        assert visible.sealed[: len(before.sealed)] == before.sealed
        assert all(block.text.strip() for block in visible.sealed)
        assert visible.current is None or 0 < len(visible.current.text) <= 40
        before = visible


@given(EVENTS)
def test_in_partial_mode_a_message_that_was_read_stays_visible(events: list[AgentEvent]) -> None:
    """The text of completed messages is a prefix of everything shown later."""
    view = DraftView(ViewStyle(max_chars=100_000, allow_channel_mentions=True))
    sealed = ""
    for event in events:
        view = view.with_event(event)
        current = view.visible().current
        assert (current.text if current else "").startswith(sealed)
        sealed = "\n\n".join(text.strip() for text in view.messages)
