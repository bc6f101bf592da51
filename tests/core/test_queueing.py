import pytest

from oc_trio.core.queueing import (
    Arrival,
    Backlog,
    DropRule,
    InterruptTurn,
    Queued,
    QueuedMessage,
    QueueMode,
    QueueRules,
    StartTurn,
    SteerTurn,
    arrive,
    next_batch,
    summary_line,
    without,
)

A, B, C = (QueuedMessage(f"post-{name}", name, f"text {name}") for name in "abc")
STEER, FOLLOWUP, COLLECT, INTERRUPT = (QueueRules(mode=mode) for mode in QueueMode)


@pytest.mark.parametrize(
    ("rules", "waiting", "running", "steerable", "expected"),
    [
        pytest.param(STEER, (), False, False, StartTurn(C), id="nothing runs"),
        pytest.param(STEER, (A,), False, False, Queued(Backlog((A, C))), id="others wait"),
        pytest.param(STEER, (), True, True, SteerTurn(C), id="steer"),
        pytest.param(STEER, (), True, False, Queued(Backlog((C,))), id="an agent that can't be steered"),
        pytest.param(STEER, (A,), True, True, Queued(Backlog((A, C))), id="no overtaking"),
        pytest.param(FOLLOWUP, (A,), True, True, Queued(Backlog((A, C))), id="followup"),
        pytest.param(COLLECT, (A,), True, True, Queued(Backlog((A, C))), id="collect"),
        pytest.param(INTERRUPT, (A,), True, True, InterruptTurn(Backlog((C,)), (A,)), id="interrupt"),
    ],
)
def test_arrive(
    rules: QueueRules, waiting: tuple[QueuedMessage, ...], running: bool, steerable: bool, expected: Arrival
) -> None:
    """The mode says what happens to a post that arrives during a turn."""
    assert arrive(rules, Backlog(waiting), C, running=running, steerable=steerable) == expected


@pytest.mark.parametrize(
    ("drop", "expected"),
    [
        pytest.param(DropRule.OLD, Queued(Backlog((B, C)), (A,)), id="the oldest goes"),
        pytest.param(DropRule.NEW, Queued(Backlog((A, B)), (C,)), id="the new one goes"),
        pytest.param(DropRule.SUMMARIZE, Queued(Backlog((B, C)), (A,)), id="a line of the oldest stays"),
    ],
)
def test_a_full_queue_drops_by_its_rule(drop: DropRule, expected: Queued) -> None:
    """The dropped post is named, so that its obligation is settled."""
    rules = QueueRules(QueueMode.FOLLOWUP, cap=2, drop=drop)
    assert arrive(rules, Backlog((A, B)), C, running=True, steerable=False) == expected


def test_the_line_of_a_dropped_post_is_short() -> None:
    """Its sender and its beginning, on one line."""
    assert summary_line(QueuedMessage("1", "a", "one\n\ntwo")) == "a: one two"
    assert len(summary_line(QueuedMessage("1", "a", "word " * 100))) <= 165


@pytest.mark.parametrize(
    ("rules", "backlog", "expected"),
    [
        pytest.param(FOLLOWUP, Backlog(), None, id="nothing waits"),
        pytest.param(FOLLOWUP, Backlog((A, B)), (("post-a",), Backlog((B,))), id="followups come one by one"),
        pytest.param(COLLECT, Backlog((A, B)), (("post-a", "post-b"), Backlog()), id="collected posts are one turn"),
    ],
)
def test_next_batch(rules: QueueRules, backlog: Backlog, expected: tuple[tuple[str, ...], Backlog] | None) -> None:
    """The queued messages, one or all by the mode, become the next turn."""
    assert next_batch(rules, backlog) == expected


def test_a_deleted_post_leaves_the_queue() -> None:
    """Only the post behind the trigger goes."""
    assert without(Backlog((A, B)), "post-a") == Backlog((B,))
