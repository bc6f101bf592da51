"""A connection's life, told by its inputs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.core.connection import (
    Admit,
    CatchUpDone,
    ConnectionState,
    Greeted,
    Input,
    Intent,
    Lost,
    Numbered,
    Opened,
    PingAnswered,
    ResumePoint,
    Retry,
    RunCatchUp,
    TokenRefused,
    Unreadable,
    Woke,
    step,
)
from oc_trio.core.connection import (
    ConnectionPhase as ConnectionPhase,
)

DOWN = Lost("dropped")
FRESH = (Woke(), Opened(), Greeted("c1"))


def play(*inputs: Input, link: ConnectionState | None = None) -> tuple[ConnectionState, list[Intent]]:
    state, all_intents = link or ConnectionState(), list[Intent]()
    for input_ in inputs:
        state, intents = step(state, input_)
        all_intents += intents
    return state, all_intents


def live(*, next_seq: int = 3) -> ConnectionState:
    return ConnectionState(ConnectionPhase.LIVE, ResumePoint("c1", next_seq))


def greeting(*, next_seq: int = 3) -> ConnectionState:
    return ConnectionState(ConnectionPhase.GREETING, ResumePoint("c1", next_seq), asked_resume=True)


def test_first_connection() -> None:
    """Dial, hello, catch up while events come in, live."""
    link, intents = play(*FRESH, Numbered(1), CatchUpDone(), Numbered(2), PingAnswered())
    assert intents == [
        Admit(),
        RunCatchUp(lost=True),
        Admit(),
        Admit(),
    ]
    assert link == live()


def test_resumed_by_an_event() -> None:
    """The event we asked for proves the resume; catch-up runs all the same."""
    link, intents = play(DOWN, Woke(), Opened(), Numbered(3), CatchUpDone(), link=live())
    assert intents == [
        Retry(0, "dropped"),
        Admit(),
        RunCatchUp(lost=False),
    ]
    assert link == live(next_seq=4)


def test_resumed_in_silence() -> None:
    """Where nothing was missed the answer to the ping proves the resume."""
    link, intents = play(PingAnswered(), CatchUpDone(), Numbered(3), link=greeting())
    assert intents == [RunCatchUp(lost=False), Admit()]
    assert link == live(next_seq=4)


def test_not_resumed() -> None:
    """A hello after a resume means that the queue is gone."""
    link, intents = play(Greeted("c2"), link=greeting())
    assert intents == [Admit(), RunCatchUp(lost=True)]
    assert link.resume == ResumePoint("c2", 1)


def test_a_late_hello_is_believed() -> None:
    """A hello on a connection thought resumed closes the gap with one more catch-up."""
    link, intents = play(Greeted("c2"), Numbered(1), CatchUpDone(), link=live())
    assert intents == [Admit(), RunCatchUp(lost=True), Admit()]
    assert link == ConnectionState(ConnectionPhase.LIVE, ResumePoint("c2", 2))


@pytest.mark.parametrize(
    ("link", "event", "resume", "intent"),
    [
        pytest.param(live(), Numbered(5), ResumePoint("c1", 3), Retry(0, "sequence_gap"), id="gap-asks-for-the-rest"),
        pytest.param(live(), Numbered(2), ResumePoint("c1", 3), Retry(0, "sequence_gap"), id="repeated-number"),
        pytest.param(greeting(), Numbered(5), None, Retry(0, "sequence_gap"), id="gap-in-the-replay-gives-up"),
        pytest.param(greeting(), DOWN, None, Retry(0, "dropped"), id="dropped-after-the-upgrade"),
        pytest.param(live(), DOWN, ResumePoint("c1", 3), Retry(0, "dropped"), id="dropped-when-live"),
        pytest.param(live(), Lost("silent"), ResumePoint("c1", 3), Retry(0, "silent"), id="half-open"),
        pytest.param(live(), Unreadable(), None, Retry(0, "unreadable_frame"), id="unreadable-frame"),
        pytest.param(live(), PingAnswered(refused=True), None, Retry(0, "auth_failed", auth=True), id="token-revoked"),
        pytest.param(greeting(), PingAnswered(refused=True), None, Retry(0, "auth_failed", auth=True), id="at-once"),
        pytest.param(live(), TokenRefused(), None, Retry(0, "auth_failed", auth=True), id="rest-says-401"),
        pytest.param(
            ConnectionState(ConnectionPhase.DIALING, ResumePoint("c1", 3)),
            DOWN,
            ResumePoint("c1", 3),
            Retry(0, "dropped"),
            id="no-upgrade",
        ),
        pytest.param(
            ConnectionState(ConnectionPhase.GREETING),
            Numbered(0),
            None,
            Retry(0, "event_before_hello"),
            id="event-before-hello",
        ),
        pytest.param(
            ConnectionState(ConnectionPhase.GREETING), Lost("no_hello"), None, Retry(0, "no_hello"), id="no-hello"
        ),
    ],
)
def test_what_goes_wrong(link: ConnectionState, event: Input, resume: ResumePoint | None, intent: Intent) -> None:
    """Every failure leads to a wait, and keeps the resume point unless that would loop."""
    after, intents = step(link, event)
    assert (after.phase, after.resume, intents) == (ConnectionPhase.WAITING, resume, (intent,))


def test_unreadable_content_is_counted_not_admitted() -> None:
    """An event whose content can't be read does not stop the numbering."""
    link, intents = play(Numbered(3, readable=False), Numbered(4), link=live())
    assert intents == [Admit()]
    assert link.phase is ConnectionPhase.LIVE


def test_a_gap_stays_open_until_caught_up() -> None:
    """A resume of a connection that began with a gap does not close that gap."""
    _, intents = play(*FRESH, DOWN, Woke(), Opened(), Numbered(1), CatchUpDone(), Numbered(2))
    assert intents[-3:] == [Admit(), RunCatchUp(lost=True), Admit()]


def test_backoff_starts_anew_only_when_live() -> None:
    """A server that greets and drops is not asked faster and faster."""
    link, intents = play(*FRESH, DOWN, Woke(), Opened(), Greeted("c2"), DOWN, Woke(), DOWN)
    assert [intent.attempt for intent in intents if isinstance(intent, Retry)] == [0, 1, 2]
    link, intents = play(Woke(), Opened(), Greeted("c3"), CatchUpDone(), DOWN, link=link)
    assert [intent.attempt for intent in intents if isinstance(intent, Retry)] == [0]


def test_auth_failures_count_for_themselves() -> None:
    """A refused token after a bad network starts the slow policy at its beginning, and stays visible while dialling."""
    link, intents = play(Woke(), DOWN, Woke(), DOWN, Woke(), TokenRefused(), Woke(), TokenRefused())
    retries = [intent for intent in intents if isinstance(intent, Retry)]
    assert [(retry.attempt, retry.auth) for retry in retries] == [(0, False), (1, False), (0, True), (1, True)]
    link, _ = play(Woke(), link=link)
    assert link.auth_failed
    link, _ = play(Opened(), Greeted("c1"), link=link)
    assert not link.auth_failed


def test_a_hello_is_still_due_after_a_ping() -> None:
    """On a fresh connection an answered ping proves nothing."""
    assert step(ConnectionState(ConnectionPhase.GREETING), PingAnswered()) == (
        ConnectionState(ConnectionPhase.GREETING),
        (),
    )


HAPPENINGS = st.one_of(
    st.sampled_from([Woke(), Opened(), CatchUpDone(), TokenRefused(), DOWN, Unreadable(), PingAnswered()]),
    st.sampled_from([PingAnswered(refused=True), Greeted("c1"), Greeted("c2")]),
    st.builds(Numbered, st.integers(0, 4), st.booleans()),
)


@given(st.lists(HAPPENINGS, max_size=30))
def test_nothing_is_admitted_out_of_order(inputs: list[Input]) -> None:
    """Whatever happens: events are admitted by number without a gap, live follows a catch-up, waits are asked for."""
    link, expected = ConnectionState(), 0
    for input_ in inputs:
        before = link
        link, intents = step(link, input_)
        if isinstance(input_, Greeted) and intents:
            expected = 1
        if isinstance(input_, Numbered) and any(isinstance(intent, Admit) for intent in intents):
            assert before.resume is not None
            assert input_.seq == before.resume.next_seq == expected
        if link.resume is not None:
            assert link.resume.next_seq >= 1
            expected = link.resume.next_seq
        if link.phase is ConnectionPhase.LIVE and before.phase is not ConnectionPhase.LIVE:
            assert before.phase is ConnectionPhase.CATCHING_UP
        retried = any(isinstance(intent, Retry) for intent in intents)
        assert retried == (link.phase is ConnectionPhase.WAITING and before.phase is not ConnectionPhase.WAITING)
