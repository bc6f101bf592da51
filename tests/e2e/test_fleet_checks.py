"""The checks of a fleet find what they are for; the runs themselves are `test_fleet.py`."""

from collections.abc import Sequence

import pytest
from attrs import evolve

from oc_trio.sandbox.records import PostRecord
from tests.e2e.fleet.chat import Write
from tests.e2e.fleet.checks import Observed, problems
from tests.e2e.fleet.database import LeaseChange, Owed
from tests.e2e.fleet.faults import Fault
from tests.e2e.fleet.load import Command, Question

BOT = "bot1"
QUESTIONS = (Question(0, BOT, "mention", "t", 1000, True), Question(1, BOT, "reply", "t", 2000))
HOSTS = {7: "127.0.0.11", 8: "127.0.0.12"}


def posts(*texts: str) -> Sequence[PostRecord]:
    return [PostRecord(f"p{at}", "c", "u", 3000 + at, text) for at, text in enumerate(texts)]


def write(at: int, host: str) -> Write:
    return Write(at, host, BOT, "POST /api/v4/posts")


WHOLE = ("noted q0", "answer q0: w0 end0", "answer q1: w0 end1", "**oc_trio** as @bot1, live")
GOOD = Observed(
    questions=QUESTIONS,
    posts={BOT: posts(*WHOLE)},
    faults=(Fault("kill", "g1", 20_000, 3.0, 7),),
    writes=(write(5000, HOSTS[7]), write(26_000, HOSTS[8])),
    lease_changes=(LeaseChange(0, BOT, 1, 7), LeaseChange(25_000, BOT, 2, 8)),
    hosts=HOSTS,
    owed=(),
    commands=(Command(BOT, 0, 20, "Processing..."),),
)


def test_a_good_run() -> None:
    """Nothing is found where everything holds."""
    assert problems(GOOD) == []


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        (WHOLE[:2] + WHOLE[3:], "q1 (reply of bot1) has no answer"),
        ((*WHOLE, "answer q1: w0 end1"), "q1 (reply of bot1) is answered 2 times: ['answer q1: w0 end1', "),
        ((*WHOLE[:2], "answer q1: w0", WHOLE[3]), "q1 (reply of bot1) has half an answer: 'answer q1: w0'"),
        ((WHOLE[0], *WHOLE), "q0 (mention of bot1) was noted 2 times: a completed tool call was repeated"),
        (WHOLE[1:], "q0 (mention of bot1) was never noted"),
        ((WHOLE[0], WHOLE[2], WHOLE[1], WHOLE[3]), "q1 was answered before q0, which was asked before it"),
        ((*WHOLE, "_(interrupted, will continue)_"), "bot1: a post that answers nothing: '_(interrupted"),
        (WHOLE[:3], "bot1: 1 commands, 1 were taken, and 0 answered"),
        ((*WHOLE, WHOLE[3]), "bot1: 1 commands, 1 were taken, and 2 answered"),
    ],
)
def test_wrong_posts(texts: tuple[str, ...], problem: str) -> None:
    """What people would see is found: nothing, twice, half, in the wrong order, left over."""
    (found,) = problems(evolve(GOOD, posts={BOT: posts(*texts)}))
    assert found.startswith(problem)


def test_a_write_by_a_former_holder() -> None:
    """A request that arrives from a process after another one has the lease is found."""
    (found,) = problems(evolve(GOOD, writes=(*GOOD.writes, write(25_500, HOSTS[7]))))
    assert found.startswith("bot1: POST /api/v4/posts came from 127.0.0.11")


def test_a_late_takeover() -> None:
    """A dead holder has to be replaced within ten seconds; with more trouble at that time it is not asked for."""
    late = evolve(GOOD, lease_changes=(GOOD.lease_changes[0], LeaseChange(30_500, BOT, 2, 8)), writes=GOOD.writes[:1])
    assert problems(late) == ["after the kill of g1 its account was without a holder for 10.5 s"]
    assert problems(evolve(late, faults=(*late.faults, Fault("database", "database", 21_000, 5.0)))) == []


def test_an_open_obligation() -> None:
    """What the journal still owes is found, but for a message that was tried too often."""
    (found,) = problems(evolve(GOOD, owed=(Owed(BOT, "post1", "open", ""),)))
    assert found.startswith("bot1: post1 ended as open")


def test_several_tries() -> None:
    """That a message was given up is right where its holder died twice meanwhile, and a problem otherwise."""
    text = "answer q1:\n\nI could not answer this, after several tries."
    posted = posts(*WHOLE[:2], text, WHOLE[3])
    posted[2].update_at = 60_000
    given_up = evolve(GOOD, posts={BOT: posted})
    first = GOOD.faults[0]
    complaint = "q1 (reply of bot1) has half an answer"

    def found(*more: Fault) -> list[str]:
        return problems(evolve(given_up, faults=(first, *more)))

    assert found(evolve(first, at=40_000, pid=8)) == []
    assert found()[0].startswith(complaint)
    assert found(evolve(first, at=40_000, pid=9))[0].startswith(complaint)  # a process that did not serve the bot
    assert found(Fault("database", "database", 40_000, 3.0))[0].startswith(complaint)
    assert found(evolve(first, at=70_000, pid=8))[0].startswith(complaint)  # afterwards


def test_missing_records() -> None:
    """A run in which nothing was noted of who wrote, or of who held the lease, does not pass."""
    unknown = "bot1: no write was noted, so nobody knows which process made its posts"
    assert problems(evolve(GOOD, writes=())) == [unknown]
    assert problems(evolve(GOOD, lease_changes=())) == ["bot1: no holder of its lease was noted"]
    (stranger, *_) = problems(evolve(GOOD, writes=(*GOOD.writes, write(26_000, "127.0.0.99"))))
    assert stranger == "writes came from ['127.0.0.99'], where no gateway is"
