import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.core.preview import (
    MOVES,
    Create,
    DraftState,
    Edit,
    Happening,
    Idle,
    Phase,
    PreviewRules,
    Settled,
    WaitUntil,
    Wrote,
    begun,
    next_step,
    post_deleted,
    resumed,
    seal_block,
    wants,
    wrote,
)
from oc_trio.ids import PostId

POST = PostId("p" * 26)
RULES = PreviewRules()
INTERVAL = 1.2


def written(state: DraftState, now: float, how: Wrote = Wrote.OK, rules: PreviewRules = RULES) -> DraftState:
    """The state after the write that is due now was made and ended at once."""
    step = next_step(state, now, INTERVAL, rules)
    assert isinstance(step, Create | Edit), step
    return wrote(begun(state, step), how, now, rules, post_id=POST if isinstance(step, Create) else None)


def drafted(text: str = "Hello") -> DraftState:
    return written(wants(DraftState(), text), 0.0)


def test_the_table_names_every_phase_and_nothing_leads_out_of_an_end() -> None:
    """Sealed and lost are ends."""
    assert set(MOVES) == set(Phase)
    assert [phase for phase in Phase if phase.is_over] == [Phase.SEALED, Phase.LOST]
    reached = {phase for moves in MOVES.values() for phase in moves.values()}
    assert reached == set(Phase)


def test_the_first_text_is_posted_at_once_and_later_ones_wait_for_the_interval() -> None:
    """The interval runs from the end of the last write."""
    state = wants(DraftState(), "Hel")
    assert next_step(state, 100.0, INTERVAL, RULES) == Create("Hel")
    state = begun(state, Create("Hel"))
    state = wrote(state, Wrote.OK, 100.5, RULES, post_id=POST)
    state = wants(state, "Hello")
    assert next_step(state, 100.6, INTERVAL, RULES) == WaitUntil(101.7)
    assert next_step(state, 101.7, INTERVAL, RULES) == Edit(POST, "Hello")


def test_text_that_arrives_during_a_write_waits_for_the_interval_too() -> None:
    """A write in flight is no reason to write sooner, and the newest text wins."""
    state = wants(DraftState(), "a")
    state = begun(state, Create("a"))
    state = wants(wants(state, "ab"), "abc")
    assert next_step(state, 0.2, INTERVAL, RULES) == Idle()
    state = wrote(state, Wrote.OK, 0.3, RULES, post_id=POST)
    assert next_step(state, 0.3, INTERVAL, RULES) == WaitUntil(1.5)
    assert next_step(state, 1.5, INTERVAL, RULES) == Edit(POST, "abc")


def test_the_first_post_waits_for_the_least_number_of_characters() -> None:
    """`preview.minChars` holds back the create only."""
    rules = PreviewRules(min_chars=5)
    assert next_step(wants(DraftState(), "Hell"), 0.0, INTERVAL, rules) == Idle()
    assert next_step(wants(DraftState(), "Hello"), 0.0, INTERVAL, rules) == Create("Hello")


@pytest.mark.parametrize(
    "text",
    [pytest.param("Hello", id="unchanged"), pytest.param("Hel", id="shrunk"), pytest.param("  ", id="blank")],
)
def test_a_text_that_shows_nothing_new_makes_no_call(text: str) -> None:
    """Unchanged, shrunk and blank texts are ignored."""
    state = wants(drafted("Hello"), text)
    assert next_step(state, 99.0, INTERVAL, RULES) == Idle()


def test_a_text_that_goes_back_to_what_is_shown_cancels_the_pending_edit() -> None:
    """Newest wins, even if it is the one on the server."""
    state = wants(wants(drafted("Hello"), "Hello you"), "Hello")
    assert next_step(state, 99.0, INTERVAL, RULES) == Idle()


def test_a_status_draft_may_shrink() -> None:
    """A plan that was cleared disappears from a progress draft."""
    state = wants(drafted("Working\n\n▢ a"), "Working", may_shrink=True)
    assert next_step(state, 9.0, INTERVAL, RULES) == Edit(POST, "Working")


def test_the_cap_on_edits_holds_back_previews_but_never_the_answer() -> None:
    """After `max_edits` edits only the last text is written."""
    rules = PreviewRules(max_edits=1)
    state = written(wants(drafted("a"), "ab"), 10.0, rules=rules)
    state = wants(state, "abc")
    assert next_step(state, 50.0, INTERVAL, rules) == Idle()
    assert next_step(seal_block(state, "abcd"), 50.0, INTERVAL, rules) == Edit(POST, "abcd")


def test_the_last_text_does_not_wait_for_the_interval() -> None:
    """What is complete goes first."""
    state = seal_block(drafted("Hello"), "Hello you.")
    assert next_step(state, 0.0, INTERVAL, RULES) == Edit(POST, "Hello you.")
    assert written(state, 0.0).phase is Phase.SEALED


def test_the_last_text_follows_the_write_in_flight() -> None:
    """The write in flight ends first, then exactly one edit brings the answer."""
    state = wants(drafted("Hello"), "Hello y")
    state = begun(state, Edit(POST, "Hello y"))
    state = seal_block(state, "Hello you.")
    assert next_step(state, 2.0, INTERVAL, RULES) == Idle()
    state = wrote(state, Wrote.OK, 2.1, RULES)
    assert next_step(state, 2.1, INTERVAL, RULES) == Edit(POST, "Hello you.")


def test_a_last_text_that_is_shown_already_needs_no_write() -> None:
    """An identical text is sealed at once, or when the write in flight brings it."""
    assert seal_block(drafted("Hello"), "Hello").phase is Phase.SEALED
    state = begun(wants(drafted("Hello"), "Hello you"), Edit(POST, "Hello you"))
    state = wrote(seal_block(state, "Hello you"), Wrote.OK, 3.0, RULES)
    assert (state.phase, next_step(state, 3.0, INTERVAL, RULES)) == (Phase.SEALED, Settled())


@pytest.mark.parametrize("how", [Wrote.REFUSED, Wrote.GONE])
def test_a_refused_edit_loses_the_draft(how: Wrote) -> None:
    """400, 403 and 404 end the draft, so that the answer goes out fresh."""
    state = written(wants(drafted("a"), "ab"), 5.0, how)
    assert state.phase is Phase.LOST
    assert state.lingers == (None if how is Wrote.GONE else POST)
    assert seal_block(state, "abc") == state


def test_a_draft_that_somebody_deleted_is_not_edited_again() -> None:
    """Deletion by a person cancels pending edits, and a write in flight can't revive the draft."""
    state = begun(wants(drafted("a"), "ab"), Edit(POST, "ab"))
    state = wrote(post_deleted(state), Wrote.OK, 4.0, RULES)
    assert (state.phase, state.lingers) == (Phase.LOST, None)
    assert next_step(wants(state, "abc"), 9.0, INTERVAL, RULES) == Settled()


def test_a_block_that_somebody_deleted_stays_sealed() -> None:
    """Nothing leads out of sealed."""
    state = seal_block(drafted("Hello"), "Hello")
    assert post_deleted(state) == state


def test_failures_back_off_and_recover() -> None:
    """A server that is out of reach for a while delays edits; the draft lives on."""
    state = wants(drafted("a"), "ab")
    state = written(state, 10.0, Wrote.UNAVAILABLE)
    assert next_step(state, 10.0, 0.1, RULES) == WaitUntil(11.0)
    state = written(state, 11.5, Wrote.UNAVAILABLE)
    assert next_step(state, 11.5, 0.1, RULES) == WaitUntil(13.5)
    state = written(state, 14.0)
    assert (state.phase, state.written, state.failures) == (Phase.DRAFT, "ab", 0)


def test_a_failed_create_is_repeated_and_marks_the_post_as_unsure() -> None:
    """A create without an answer may have happened."""
    state = written(wants(DraftState(), "a"), 0.0, Wrote.UNAVAILABLE)
    assert (state.phase, state.unsure) == (Phase.NONE, True)
    assert next_step(state, 2.0, INTERVAL, RULES) == Create("a")


def test_a_last_edit_is_given_up_after_some_failures() -> None:
    """The answer then goes out fresh and the old preview is what it replaces."""
    state = seal_block(drafted("a"), "answer")
    now = 1.0
    for _ in range(RULES.ending_attempts):
        state = written(state, now, Wrote.UNAVAILABLE)
        now += 60
    assert (state.phase, state.lingers) == (Phase.LOST, POST)


def test_a_complete_block_without_a_post_gets_one() -> None:
    """A block is created whole, however short, and is sealed by that one write."""
    state = seal_block(DraftState(), "Hi")
    assert next_step(state, 0.0, INTERVAL, PreviewRules(min_chars=50)) == Create("Hi")
    assert written(state, 0.0).phase is Phase.SEALED


def test_a_complete_block_replaces_its_preview() -> None:
    """The post is edited once to hold the whole block."""
    state = seal_block(drafted("Hel"), "Hello.")
    assert next_step(state, 0.0, INTERVAL, RULES) == Edit(POST, "Hello.")
    assert written(state, 0.0).phase is Phase.SEALED


def test_a_create_that_was_repeated_is_followed_by_an_edit() -> None:
    """The server answers a repeat with the post of the first try, whose text may be older."""
    state = written(wants(DraftState(), "a"), 0.0, Wrote.UNAVAILABLE)
    state = written(wants(state, "ab"), 5.0)
    assert next_step(state, 10.0, INTERVAL, RULES) == Edit(POST, "ab")


def test_the_first_ending_wins() -> None:
    """A second last text changes nothing."""
    state = seal_block(drafted("a"), "answer")
    assert seal_block(state, "another") == state


def test_a_resumed_draft_goes_on_in_the_same_post() -> None:
    """After a restart the earlier post is edited, not a new one created."""
    state = wants(resumed(POST, "Half an _(interrupted)_"), "Half an answer")
    assert next_step(state, 0.0, INTERVAL, RULES) == Edit(POST, "Half an answer")


def test_an_edit_without_an_answer_may_have_been_applied() -> None:
    """An answer equal to the text before it is written all the same."""
    state = written(wants(drafted("Hello"), "Hello wor"), 5.0, Wrote.UNAVAILABLE)
    assert next_step(seal_block(state, "Hello"), 6.0, INTERVAL, RULES) == Edit(POST, "Hello")


ACTIONS = st.one_of(
    st.tuples(st.just("want"), st.text("ab \n", max_size=6)),
    st.tuples(st.just("tick"), st.floats(0.0, 3.0)),
    st.tuples(st.just("begin"), st.none()),
    st.tuples(st.just("end"), st.sampled_from([Wrote.OK, Wrote.OK, Wrote.OK, *Wrote])),
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
            self.state = wants(self.state, str(value))
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
            self.end(Wrote.UNAVAILABLE)
        elif self.state.in_flight is not None:
            assert isinstance(value, Wrote)
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
        self.state = begun(self.state, step)

    def apply(self, step: Create | Edit) -> None:
        """A repeated create makes no second post and changes nothing."""
        if isinstance(step, Edit) or not self.applied:
            self.applied.append(step.text)

    def end(self, how: Wrote) -> None:
        step = self.state.in_flight
        assert step is not None
        if how is Wrote.OK:
            self.apply(step)
        # What a repeated create shows is not known to the writer either.
        self.certain = how is not Wrote.UNAVAILABLE and not (isinstance(step, Create) and self.state.unsure)
        self.last_end = self.now
        self.state = wrote(self.state, how, self.now, RULES, post_id=POST if isinstance(step, Create) else None)


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
        server.do("end", Wrote.OK)
    state = server.state
    assert state.in_flight is None
    assert isinstance(next_step(state, server.now, INTERVAL, RULES), Settled)
    if state.phase is Phase.SEALED:
        assert server.applied[-1] == server.promised == state.written
    else:
        assert state.phase is Phase.LOST or state.post_id is None


@given(st.sampled_from(Phase), st.sampled_from(Happening))
def test_what_the_table_does_not_name_changes_nothing(phase: Phase, happening: Happening) -> None:
    """A happening outside the table leaves the phase as it is."""
    after = MOVES[phase].get(happening, phase)
    if phase.is_over:
        assert after is phase
    if happening is Happening.DELETED:
        state = evolve(DraftState(), phase=phase, post_id=POST)
        assert post_deleted(state).phase is after
