import pytest

from oc_trio.core.queueing import (
    Arrival,
    Backlog,
    DropRule,
    InterruptTurn,
    Prompt,
    Queued,
    QueueMode,
    QueueRules,
    StartTurn,
    SteerTurn,
    Waiting,
    arrive,
    next_prompt,
    without,
)

A, B, C = (Waiting(f"post-{name}", name, f"text {name}") for name in "abc")
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
    rules: QueueRules, waiting: tuple[Waiting, ...], running: bool, steerable: bool, expected: Arrival
) -> None:
    """The mode says what happens to a post that arrives during a turn."""
    assert arrive(rules, Backlog(waiting), C, running=running, steerable=steerable) == expected


@pytest.mark.parametrize(
    ("drop", "expected"),
    [
        pytest.param(DropRule.OLD, Queued(Backlog((B, C)), (A,)), id="the oldest goes"),
        pytest.param(DropRule.NEW, Queued(Backlog((A, B)), (C,)), id="the new one goes"),
        pytest.param(
            DropRule.SUMMARIZE, Queued(Backlog((B, C), ("a: text a",)), (A,)), id="a line of the oldest stays"
        ),
    ],
)
def test_a_full_queue_drops_by_its_rule(drop: DropRule, expected: Queued) -> None:
    """The dropped post is named, so that its obligation is settled."""
    rules = QueueRules(QueueMode.FOLLOWUP, cap=2, drop=drop)
    assert arrive(rules, Backlog((A, B)), C, running=True, steerable=False) == expected


def test_the_lines_of_dropped_posts_are_bounded_and_short() -> None:
    """A flood leaves no more lines than the queue holds posts."""
    rules = QueueRules(QueueMode.COLLECT, cap=2)
    backlog = Backlog()
    for at in range(10):
        arrival = arrive(rules, backlog, Waiting(str(at), "a", "word " * 100), running=True, steerable=False)
        assert isinstance(arrival, Queued)
        backlog = arrival.backlog
    assert len(backlog.posts) == len(backlog.dropped) == 2
    assert all(len(line) <= 165 for line in backlog.dropped)


@pytest.mark.parametrize(
    ("rules", "backlog", "expected"),
    [
        pytest.param(FOLLOWUP, Backlog(), None, id="nothing waits"),
        pytest.param(
            FOLLOWUP, Backlog((A, B)), (Prompt("text a", ("post-a",)), Backlog((B,))), id="followups come one by one"
        ),
        pytest.param(COLLECT, Backlog((A,)), (Prompt("text a", ("post-a",)), Backlog()), id="one post is just itself"),
        pytest.param(
            COLLECT,
            Backlog((A, B)),
            (
                Prompt(
                    "[Queued messages while the agent was busy]\n\n"
                    "---\nQueued #1 (from a)\ntext a\n\n---\nQueued #2 (from b)\ntext b",
                    ("post-a", "post-b"),
                ),
                Backlog(),
            ),
            id="collected posts make one prompt",
        ),
        pytest.param(
            FOLLOWUP,
            Backlog((B,), ("a: text a",)),
            (Prompt("[Dropped because the queue was full]\n- a: text a\n\ntext b", ("post-b",)), Backlog()),
            id="dropped posts are mentioned once",
        ),
    ],
)
def test_next_prompt(rules: QueueRules, backlog: Backlog, expected: tuple[Prompt, Backlog] | None) -> None:
    """What waits becomes the next turn."""
    assert next_prompt(rules, backlog) == expected


def test_a_deleted_post_leaves_the_queue() -> None:
    """Only the post behind the trigger goes."""
    assert without(Backlog((A, B)), "post-a") == Backlog((B,))
