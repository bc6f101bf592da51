import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.core.preview import (
    MOVES,
    Create,
    DraftEvent,
    DraftPhase,
    DraftState,
    Edit,
    Finished,
    Idle,
    PreviewRules,
    WaitUntil,
    WriteResult,
    next_step,
    post_deleted,
    resumed,
    seal_block,
    with_text,
    write_ended,
    write_started,
)
from oc_trio.ids import PostId

POST = PostId("p" * 26)
RULES = PreviewRules()
INTERVAL = 1.2


def written(
    state: DraftState, now: float, how: WriteResult = WriteResult.OK, rules: PreviewRules = RULES
) -> DraftState:
    """The state after the write that is due now was made and ended at once."""
    step = next_step(state, now, INTERVAL, rules)
    assert isinstance(step, Create | Edit), step
    return write_ended(write_started(state, step), how, now, rules, post_id=POST if isinstance(step, Create) else None)


def drafted(text: str = "Hello") -> DraftState:
    return written(with_text(DraftState(), text), 0.0)


def test_the_table_names_every_phase_and_nothing_leads_out_of_an_end() -> None:
    """Sealed and lost are ends."""
    assert set(MOVES) == set(DraftPhase)
    assert [phase for phase in DraftPhase if phase.is_over] == [DraftPhase.SEALED, DraftPhase.LOST]
    reached = {phase for moves in MOVES.values() for phase in moves.values()}
    assert reached == set(DraftPhase)


def test_the_first_text_is_posted_at_once_and_later_ones_wait_for_the_interval() -> None:
    """The interval runs from the end of the last write."""
    state = with_text(DraftState(), "Hel")
    assert next_step(state, 100.0, INTERVAL, RULES) == Create("Hel")
    state = write_started(state, Create("Hel"))
    state = write_ended(state, WriteResult.OK, 100.5, RULES, post_id=POST)
    state = with_text(state, "Hello")
    assert next_step(state, 100.6, INTERVAL, RULES) == WaitUntil(101.7)
    assert next_step(state, 101.7, INTERVAL, RULES) == Edit(POST, "Hello")


def test_text_that_arrives_during_a_write_waits_for_the_interval_too() -> None:
    """A write in flight is no reason to write sooner, and the newest text wins."""
    state = with_text(DraftState(), "a")
    state = write_started(state, Create("a"))
    state = with_text(with_text(state, "ab"), "abc")
    assert next_step(state, 0.2, INTERVAL, RULES) == Idle()
    state = write_ended(state, WriteResult.OK, 0.3, RULES, post_id=POST)
    assert next_step(state, 0.3, INTERVAL, RULES) == WaitUntil(1.5)
    assert next_step(state, 1.5, INTERVAL, RULES) == Edit(POST, "abc")


def test_the_first_post_waits_for_the_least_number_of_characters() -> None:
    """`preview.minChars` holds back the create only."""
    rules = PreviewRules(min_chars=5)
    assert next_step(with_text(DraftState(), "Hell"), 0.0, INTERVAL, rules) == Idle()
    assert next_step(with_text(DraftState(), "Hello"), 0.0, INTERVAL, rules) == Create("Hello")


@pytest.mark.parametrize(
    "text",
    [pytest.param("Hello", id="unchanged"), pytest.param("Hel", id="shrunk"), pytest.param("  ", id="blank")],
)
def test_a_text_that_shows_nothing_new_makes_no_call(text: str) -> None:
    """Unchanged, shrunk and blank texts are ignored."""
    state = with_text(drafted("Hello"), text)
    assert next_step(state, 99.0, INTERVAL, RULES) == Idle()


def test_a_text_that_goes_back_to_what_is_shown_cancels_the_pending_edit() -> None:
    """Newest wins, even if it is the one on the server."""
    state = with_text(with_text(drafted("Hello"), "Hello you"), "Hello")
    assert next_step(state, 99.0, INTERVAL, RULES) == Idle()


def test_a_status_draft_may_shrink() -> None:
    """A plan that was cleared disappears from a progress draft."""
    state = with_text(drafted("Working\n\n▢ a"), "Working", may_shrink=True)
    assert next_step(state, 9.0, INTERVAL, RULES) == Edit(POST, "Working")


def test_the_cap_on_edits_holds_back_previews_but_never_the_answer() -> None:
    """After `max_edits` edits only the last text is written."""
    rules = PreviewRules(max_edits=1)
    state = written(with_text(drafted("a"), "ab"), 10.0, rules=rules)
    state = with_text(state, "abc")
    assert next_step(state, 50.0, INTERVAL, rules) == Idle()
    assert next_step(seal_block(state, "abcd"), 50.0, INTERVAL, rules) == Edit(POST, "abcd")


def test_the_last_text_does_not_wait_for_the_interval() -> None:
    """A complete text is written at once, before the interval is over."""
    state = seal_block(drafted("Hello"), "Hello you.")
    assert next_step(state, 0.0, INTERVAL, RULES) == Edit(POST, "Hello you.")
    assert written(state, 0.0).phase is DraftPhase.SEALED


def test_the_last_text_follows_the_write_in_flight() -> None:
    """The write in flight ends first, then exactly one edit brings the answer."""
    state = with_text(drafted("Hello"), "Hello y")
    state = write_started(state, Edit(POST, "Hello y"))
    state = seal_block(state, "Hello you.")
    assert next_step(state, 2.0, INTERVAL, RULES) == Idle()
    state = write_ended(state, WriteResult.OK, 2.1, RULES)
    assert next_step(state, 2.1, INTERVAL, RULES) == Edit(POST, "Hello you.")


def test_a_last_text_that_is_shown_already_needs_no_write() -> None:
    """An identical text is sealed at once, or when the write in flight brings it."""
    assert seal_block(drafted("Hello"), "Hello").phase is DraftPhase.SEALED
    state = write_started(with_text(drafted("Hello"), "Hello you"), Edit(POST, "Hello you"))
    state = write_ended(seal_block(state, "Hello you"), WriteResult.OK, 3.0, RULES)
    assert (state.phase, next_step(state, 3.0, INTERVAL, RULES)) == (DraftPhase.SEALED, Finished())


@pytest.mark.parametrize("how", [WriteResult.REFUSED, WriteResult.GONE])
def test_a_refused_edit_loses_the_draft(how: WriteResult) -> None:
    """400, 403 and 404 end the draft, so that the answer goes out fresh."""
    state = written(with_text(drafted("a"), "ab"), 5.0, how)
    assert state.phase is DraftPhase.LOST
    assert state.leftover_post == (None if how is WriteResult.GONE else POST)
    assert seal_block(state, "abc") == state


def test_a_draft_that_somebody_deleted_is_not_edited_again() -> None:
    """Deletion by a person cancels pending edits, and a write in flight can't revive the draft."""
    state = write_started(with_text(drafted("a"), "ab"), Edit(POST, "ab"))
    state = write_ended(post_deleted(state), WriteResult.OK, 4.0, RULES)
    assert (state.phase, state.leftover_post) == (DraftPhase.LOST, None)
    assert next_step(with_text(state, "abc"), 9.0, INTERVAL, RULES) == Finished()


def test_a_block_that_somebody_deleted_stays_sealed() -> None:
    """A deletion does not change the phase of a sealed block."""
    state = seal_block(drafted("Hello"), "Hello")
    assert post_deleted(state) == state


def test_failures_back_off_and_recover() -> None:
    """A server that is out of reach for a while delays edits; the draft lives on."""
    state = with_text(drafted("a"), "ab")
    state = written(state, 10.0, WriteResult.UNAVAILABLE)
    assert next_step(state, 10.0, 0.1, RULES) == WaitUntil(11.0)
    state = written(state, 11.5, WriteResult.UNAVAILABLE)
    assert next_step(state, 11.5, 0.1, RULES) == WaitUntil(13.5)
    state = written(state, 14.0)
    assert (state.phase, state.written, state.failures) == (DraftPhase.DRAFT, "ab", 0)


def test_a_failed_create_is_repeated_and_marks_the_post_as_unsure() -> None:
    """A create without an answer may have happened."""
    state = written(with_text(DraftState(), "a"), 0.0, WriteResult.UNAVAILABLE)
    assert (state.phase, state.unsure) == (DraftPhase.NONE, True)
    assert next_step(state, 2.0, INTERVAL, RULES) == Create("a")


def test_a_last_edit_is_given_up_after_some_failures() -> None:
    """The answer then goes out fresh and the old preview is what it replaces."""
    state = seal_block(drafted("a"), "answer")
    now = 1.0
    for _ in range(RULES.ending_attempts):
        state = written(state, now, WriteResult.UNAVAILABLE)
        now += 60
    assert (state.phase, state.leftover_post) == (DraftPhase.LOST, POST)


def test_a_complete_block_without_a_post_gets_one() -> None:
    """A block is created whole, however short, and is sealed by that one write."""
    state = seal_block(DraftState(), "Hi")
    assert next_step(state, 0.0, INTERVAL, PreviewRules(min_chars=50)) == Create("Hi")
    assert written(state, 0.0).phase is DraftPhase.SEALED


def test_a_complete_block_replaces_its_preview() -> None:
    """The post is edited once to hold the whole block."""
    state = seal_block(drafted("Hel"), "Hello.")
    assert next_step(state, 0.0, INTERVAL, RULES) == Edit(POST, "Hello.")
    assert written(state, 0.0).phase is DraftPhase.SEALED


def test_a_create_that_was_repeated_is_followed_by_an_edit() -> None:
    """The server answers a repeat with the post of the first try, whose text may be older."""
    state = written(with_text(DraftState(), "a"), 0.0, WriteResult.UNAVAILABLE)
    state = written(with_text(state, "ab"), 5.0)
    assert next_step(state, 10.0, INTERVAL, RULES) == Edit(POST, "ab")


def test_the_first_ending_wins() -> None:
    """A second last text changes nothing."""
    state = seal_block(drafted("a"), "answer")
    assert seal_block(state, "another") == state


def test_a_resumed_draft_goes_on_in_the_same_post() -> None:
    """After a restart the earlier post is edited, not a new one created."""
    state = with_text(resumed(POST, "Half an _(interrupted)_"), "Half an answer")
    assert next_step(state, 0.0, INTERVAL, RULES) == Edit(POST, "Half an answer")


def test_an_edit_without_an_answer_may_have_been_applied() -> None:
    """An answer equal to the text before it is written all the same."""
    state = written(with_text(drafted("Hello"), "Hello wor"), 5.0, WriteResult.UNAVAILABLE)
    assert next_step(seal_block(state, "Hello"), 6.0, INTERVAL, RULES) == Edit(POST, "Hello")


ACTIONS = st.one_of(
    st.tuples(st.just("want"), st.text("ab \n", max_size=6)),
    st.tuples(st.just("tick"), st.floats(0.0, 3.0)),
    st.tuples(st.just("begin"), st.none()),
    st.tuples(st.just("end"), st.sampled_from([WriteResult.OK, WriteResult.OK, WriteResult.OK, *WriteResult])),
    st.tuples(st.just("block"), st.text("abe", min_size=1, max_size=6)),
    st.tuples(st.just("lose answer"), st.none()),
    st.tuples(st.just("delete"), st.none()),
)


class Server:
    """Drives one draft by the rules of its users and records what a server would see."""

    def __init__(self) -> None:
        self.state = DraftState()
        self.now = 0.0
        self.applied: list[str] = []
        self.certain = True
        self.last_end: float | None = None
        self.promised: str | None = None

    def do(self, what: str, value: object) -> None:
        before = self.state
        if what == "tick":
            assert isinstance(value, float)
            self.now += value
        elif what == "want":
            self.state = with_text(self.state, str(value))
        elif what == "block":
            self.state = seal_block(self.state, str(value))
            if not before.is_complete and self.state.is_complete:
                self.promised = str(value)
        elif what == "delete":
            self.state = post_deleted(self.state)
        elif what == "begin":
            self.begin()
        elif what == "lose answer" and self.state.in_flight is not None:
            self.apply(self.state.in_flight)
            self.end(WriteResult.UNAVAILABLE)
        elif self.state.in_flight is not None:
            assert isinstance(value, WriteResult)
            self.end(value)
        if before.phase.is_over:
            assert self.state.phase is before.phase

    def begin(self) -> None:
        step = next_step(self.state, self.now, INTERVAL, RULES)
        if not isinstance(step, Create | Edit):
            return
        assert self.state.in_flight is None
        assert not self.state.phase.is_over
        assert isinstance(step, Create) == (self.state.post_id is None)
        if self.certain and self.applied:
            assert step.text != self.applied[-1], "a write that changes nothing"
        if not self.state.is_complete and self.last_end is not None:
            assert self.now >= self.last_end + INTERVAL
        self.state = write_started(self.state, step)

    def apply(self, step: Create | Edit) -> None:
        """A repeated create makes no second post and changes nothing."""
        if isinstance(step, Edit) or not self.applied:
            self.applied.append(step.text)

    def end(self, how: WriteResult) -> None:
        step = self.state.in_flight
        assert step is not None
        if how is WriteResult.OK:
            self.apply(step)
        # What a repeated create shows is not known to the writer either.
        self.certain = how is not WriteResult.UNAVAILABLE and not (isinstance(step, Create) and self.state.unsure)
        self.last_end = self.now
        self.state = write_ended(self.state, how, self.now, RULES, post_id=POST if isinstance(step, Create) else None)


@pytest.mark.slow
@given(st.lists(ACTIONS, max_size=40))
def test_whatever_happens_the_last_write_is_the_promised_text(actions: list[tuple[str, object]]) -> None:
    """Never two writes in flight, none without change, none within the interval, and the last is the block's."""
    server = Server()
    for what, value in actions:
        server.do(what, value)
    server.do("block", "the end")
    for _ in range(10):
        server.do("tick", 60.0)
        server.do("begin", None)
        server.do("end", WriteResult.OK)
    state = server.state
    assert state.in_flight is None
    assert isinstance(next_step(state, server.now, INTERVAL, RULES), Finished)
    if state.phase is DraftPhase.SEALED:
        assert server.applied[-1] == server.promised == state.written
    else:
        assert state.phase is DraftPhase.LOST or state.post_id is None


@given(st.sampled_from(DraftPhase), st.sampled_from(DraftEvent))
def test_what_the_table_does_not_name_changes_nothing(phase: DraftPhase, event: DraftEvent) -> None:
    """An event outside the table leaves the phase as it is."""
    after = MOVES[phase].get(event, phase)
    if phase.is_over:
        assert after is phase
    if event is DraftEvent.DELETED:
        state = evolve(DraftState(), phase=phase, post_id=POST)
        assert post_deleted(state).phase is after
