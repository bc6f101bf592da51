import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.core.chunking import SERVER_LIMIT, chunk
from oc_trio.core.final_plan import (
    INTERRUPTED,
    STOPPED,
    EditInPlace,
    FinalPlan,
    FreshPosts,
    NoPost,
    Notify,
    ReplyRules,
    failed_text,
    interrupted_text,
    plan_final,
    remaining_text,
    split_reply,
    without_mark,
)
from oc_trio.core.mention_escape import ZERO_WIDTH_SPACE
from oc_trio.core.preview import DraftPhase, DraftState
from oc_trio.core.tables import TableMode
from oc_trio.core.turn_events import Button, Failed, Final, Media
from oc_trio.ids import PostId

POST = PostId("p" * 26)
RULES = ReplyRules()
NONE = DraftState()
DRAFT = DraftState(phase=DraftPhase.DRAFT, post_id=POST, written="Hel", wanted="Hello")
SEALED = DraftState(phase=DraftPhase.SEALED, post_id=POST, written="Hello")
LOST = DraftState(phase=DraftPhase.LOST, post_id=POST, written="Hello")
DELETED = DraftState(phase=DraftPhase.LOST, post_id=POST, written="Hello", deleted=True)
MEDIA = Final("Look", media=(Media(path="/tmp/a.png"),))
BUTTONS = Final("Choose", buttons=((Button("Yes"),),))


@pytest.mark.parametrize(
    ("state", "end", "rules", "expected"),
    [
        pytest.param(DRAFT, Final("Hello."), RULES, EditInPlace(POST, "Hello."), id="text goes into the draft"),
        pytest.param(DRAFT, Final("Hel"), RULES, EditInPlace(POST, "Hel", unchanged=True), id="identical text"),
        pytest.param(NONE, Final("Hello."), RULES, FreshPosts(("Hello.",)), id="no draft"),
        pytest.param(LOST, Final("Hello."), RULES, FreshPosts(("Hello.",), POST), id="a draft that refused edits"),
        pytest.param(DELETED, Final("Hello."), RULES, FreshPosts(("Hello.",)), id="a draft that is gone"),
        pytest.param(SEALED, Final("More."), RULES, FreshPosts(("More.",)), id="a second final leaves the first"),
        pytest.param(SEALED, Final("More."), RULES, FreshPosts(("More.",)), id="a sealed draft stays"),
        pytest.param(
            DRAFT,
            Final("one two"),
            ReplyRules(limit=3),
            EditInPlace(POST, "one", ("two",)),
            id="long text goes on below",
        ),
        pytest.param(NONE, Final("one two"), ReplyRules(limit=3), FreshPosts(("one", "two")), id="long and fresh"),
        pytest.param(DRAFT, MEDIA, RULES, FreshPosts(("Look",), POST), id="media"),
        pytest.param(DRAFT, BUTTONS, RULES, FreshPosts(("Choose",), POST), id="buttons"),
        pytest.param(DRAFT, Final("", media=MEDIA.media), RULES, FreshPosts((), POST), id="media without text"),
        pytest.param(DRAFT, Failed("Sorry.", "x"), RULES, FreshPosts(("Sorry.",), POST), id="an error"),
        pytest.param(
            SEALED, Failed("Sorry.", "x"), RULES, FreshPosts(("Sorry.",)), id="a later error keeps the answer"
        ),
        pytest.param(DRAFT, Final("", silent_reason="hush"), RULES, NoPost("hush", POST), id="deliberately nothing"),
        pytest.param(NONE, Final(""), RULES, NoPost("the agent returned an empty answer"), id="empty"),
        pytest.param(NONE, Final("NO_REPLY"), RULES, NoPost("the agent chose to say nothing"), id="the silent token"),
        pytest.param(
            DRAFT,
            Final("> Reasoning: x"),
            RULES,
            NoPost("the answer held only reasoning", POST),
            id="reasoning",
        ),
        pytest.param(
            DRAFT, Final("<think>x</think>Hi"), RULES, EditInPlace(POST, "Hi"), id="reasoning before the answer"
        ),
        pytest.param(
            DRAFT, Final("Hi"), ReplyRules(response_prefix="[b]"), EditInPlace(POST, "[b] Hi"), id="response prefix"
        ),
        pytest.param(
            DRAFT, Final("@all"), RULES, EditInPlace(POST, f"@{ZERO_WIDTH_SPACE}all"), id="channel mentions are escaped"
        ),
        pytest.param(
            DRAFT, Final("@all"), ReplyRules(allow_channel_mentions=True), EditInPlace(POST, "@all"), id="or allowed"
        ),
        pytest.param(
            DRAFT, Final("|a|\n|-|\n|b|"), ReplyRules(tables=TableMode.BULLETS), EditInPlace(POST, "- b"), id="tables"
        ),
        pytest.param(
            DRAFT, Final("Hi"), ReplyRules(notify=Notify.FINAL), FreshPosts(("Hi",), POST), id="notify by a fresh final"
        ),
        pytest.param(
            DRAFT,
            Final("Hi"),
            ReplyRules(notify=Notify.BOTH, done_notice="Done."),
            EditInPlace(POST, "Hi", ("Done.",)),
            id="notify by a notice",
        ),
    ],
)
def test_plan_final(state: DraftState, end: Final | Failed, rules: ReplyRules, expected: FinalPlan) -> None:
    """Each end of a turn has one plan."""
    assert plan_final(state, end, rules) == expected


@pytest.mark.parametrize(
    ("text", "published", "expected"),
    [
        pytest.param("One.\n\nTwo.", ("One.",), EditInPlace(POST, "Two."), id="only the rest"),
        pytest.param("One.\nTwo.", ("[b] One.",), EditInPlace(POST, "Two."), id="behind the response prefix"),
        pytest.param(
            "One.\n\nTwo.",
            ("One.", "Two."),
            NoPost("the answer is already published in blocks", POST, is_in_blocks=True),
        ),
        pytest.param("One. Two.", ("One.",), EditInPlace(POST, "[b] One. Two."), id="no line end between"),
        pytest.param("Other.", ("One.",), EditInPlace(POST, "[b] Other."), id="blocks don't line up"),
        pytest.param(
            "hi @all\n\nTwo.", (f"hi @{ZERO_WIDTH_SPACE}all",), EditInPlace(POST, "Two."), id="blocks were escaped"
        ),
    ],
)
def test_published_blocks_are_not_sent_again(text: str, published: tuple[str, ...], expected: FinalPlan) -> None:
    """The final text loses what blocks hold, where they line up."""
    assert plan_final(DRAFT, Final(text), ReplyRules(response_prefix="[b]"), published=published) == expected


def test_blocks_line_up_without_a_prefix() -> None:
    """A prefix is taken off only where one is configured."""
    assert plan_final(DRAFT, Final("One.\n\nTwo."), RULES, published=("One.",)) == EditInPlace(POST, "Two.")


def test_a_torn_code_span_does_not_bare_a_broadcast() -> None:
    """Each chunk is escaped by itself, since a cut code span no longer hides a mention."""
    assert split_reply("`aa @all b`", ReplyRules(limit=8)) == (f"`aa @{ZERO_WIDTH_SPACE}all", "b`")


def test_zero_width_spaces_never_push_a_post_over_the_limit() -> None:
    """A code span full of broadcasts that is torn gets shorter chunks."""
    posts = split_reply(f"`{'@all ' * 4000}`", ReplyRules(limit=SERVER_LIMIT))
    assert max(map(len, posts)) <= SERVER_LIMIT
    assert "".join(posts).count(f"@{ZERO_WIDTH_SPACE}all") == 4000


@given(st.lists(st.sampled_from(["@all ", "`", "x" * 50, "\n"]), max_size=60).map(lambda parts: "".join(parts) * 40))
def test_prepared_posts_fit_the_server(text: str) -> None:
    """Zero-width spaces don't push a post over the limit."""
    assert all(len(piece) <= SERVER_LIMIT for piece in split_reply(text, ReplyRules(limit=SERVER_LIMIT)))


@given(
    st.one_of(st.text(), st.text("|- \n\0<think>/`@al", max_size=30)),
    st.sampled_from([NONE, DRAFT, SEALED, LOST]),
    st.sampled_from(TableMode),
)
def test_any_answer_has_a_plan_with_visible_posts(text: str, state: DraftState, tables: TableMode) -> None:
    """Whatever a model says ends in posts that show something or in none at all."""
    plan = plan_final(state, Final(text), ReplyRules(limit=10, tables=tables))
    if isinstance(plan, NoPost):
        assert plan.reason
        return
    posts = plan.texts if isinstance(plan, FreshPosts) else (plan.text, *plan.then)
    assert posts
    assert all(post.strip() for post in posts)


def test_an_error_without_words_gets_some() -> None:
    """A failed turn never ends in silence."""
    assert plan_final(NONE, Failed(" ", "x"), RULES) == FreshPosts(("Sorry, I could not answer this.",))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("Half", f"Half\n\n{STOPPED}", id="words"),
        pytest.param("", STOPPED, id="no text"),
        pytest.param("```py\nx", f"```py\nx\n```\n\n{STOPPED}", id="an open fence"),
        pytest.param(f"Half\n\n{INTERRUPTED}", f"Half\n\n{STOPPED}", id="an earlier mark"),
    ],
)
def test_interrupted_text(text: str, expected: str) -> None:
    """The text so far stays, with a mark below it."""
    assert interrupted_text(text, STOPPED) == expected
    assert interrupted_text(expected, STOPPED) == expected
    assert STOPPED not in without_mark(expected)


def test_an_interrupted_text_fits_the_server() -> None:
    """A text at the limit gives way to the mark."""
    text = interrupted_text("x" * 20_000, STOPPED)
    assert len(text) <= SERVER_LIMIT
    assert text.endswith(STOPPED)


def test_blocks_of_one_table_line_up_with_the_answer() -> None:
    """Header rows that a block repeats count once: what is out already is not said again."""
    rows = "\n".join(f"| row {number} | {number} |" for number in range(40))
    text = f"| name | n |\n|------|---|\n{rows}\n\nThat was it."
    rules = ReplyRules(limit=200)
    blocks = chunk(text.removesuffix("That was it."), 200)
    assert len(blocks) > 3
    assert remaining_text(text, blocks, rules) == "That was it."


@pytest.mark.parametrize(
    ("state", "words", "published", "plan"),
    [
        (DRAFT, "Half", (), EditInPlace(POST, "Half\n\nSorry.")),
        (NONE, "Half", (), FreshPosts(("Half\n\nSorry.",))),
        (DRAFT, "One.\n\nTwo", ("One.",), EditInPlace(POST, "Two\n\nSorry.")),
        (DRAFT, "One.", ("One.",), EditInPlace(POST, "Sorry.")),
        (DRAFT, " \n", (), FreshPosts(("Sorry.",), POST)),
        (DRAFT, "```\nx", (), EditInPlace(POST, "```\nx\n```\n\nSorry.")),
    ],
)
def test_words_that_were_said_stay_above_a_failure(
    state: DraftState, words: str, published: tuple[str, ...], plan: FinalPlan
) -> None:
    """What a block holds is not said again."""
    assert plan_final(state, Failed("Sorry.", "x"), RULES, published=published, streamed_text=words) == plan


def test_the_sentence_is_a_post_of_its_own_where_the_words_leave_no_room() -> None:
    """An error sentence that does not fit below the text becomes a post."""
    plan = plan_final(NONE, Failed("Sorry.", "x"), evolve(RULES, limit=20), streamed_text="word " * 11)
    assert isinstance(plan, FreshPosts)
    assert plan.texts[-1].endswith("Sorry.")
    assert "".join("".join(plan.texts).split()) == "word" * 11 + "Sorry."
    assert failed_text("Half", Failed("", "x")) == "Half\n\nSorry, I could not answer this."
