"""One conversation: a turn at a time, nothing lost on the way in or out."""

from collections.abc import Callable, Sequence
from functools import partial

import pytest
import trio
import trio.testing
from attrs import define, evolve, field

from oc_trio.core.queueing import DropRule, QueueMode, QueueRules
from oc_trio.ids import ChannelId, SessionKey, TurnId
from oc_trio.runtime.conversation.cancel_reason import QUEUE_OVERFLOW, CancelReason
from oc_trio.runtime.conversation.mailbox import Job
from oc_trio.runtime.conversation.session import Running, Session
from tests.runtime.conversation.test_mailbox import a_job

SECONDS = 10.0


@define(eq=False)
class Recorder:
    """The callbacks of a session: each turn takes ten seconds; a log records every call."""

    log: list[str] = field(factory=list)
    journal: list[Job] = field(factory=list)
    rules: QueueRules = QueueRules(QueueMode.FOLLOWUP, debounce=0.0)
    turns: list[Running] = field(factory=list)
    at_once: int = 0

    async def run_turn(self, running: Running) -> None:
        assert self.at_once == 0, "two turns at once"
        self.at_once += 1
        running.turn = TurnId(f"t{len(self.turns)}")
        running.is_steerable = True
        self.turns.append(running)
        with running.scope:
            await trio.sleep(SECONDS)
        self.at_once -= 1
        names = "+".join(job.trigger for job in running.batch.everyone)
        self.log.append(f"{names} {running.reason or 'answered'}")

    async def settle(self, jobs: Sequence[Job], reason: str) -> None:
        await trio.lowlevel.checkpoint()
        self.log.append(f"{'+'.join(job.trigger for job in jobs)} withdrawn: {reason}")

    async def reload(self, key: SessionKey) -> Sequence[Job]:
        return self.journal

    async def load_rules(self, key: SessionKey) -> QueueRules:
        return self.rules


class Small(Session):
    """Room for two."""

    mailbox = 2


@pytest.fixture
def recorder(no_time: None) -> Recorder:
    return Recorder()


def a_session(recorder: Recorder, make: type[Session] = Session) -> Session:
    return make(
        SessionKey("s"),
        run_turn=recorder.run_turn,
        settle=recorder.settle,
        reload=recorder.reload,
        load_rules=recorder.load_rules,
        idle_seconds=60,
    )


def put(session: Session, names: str) -> None:
    put_all(session, [a_job(name) for name in names])


def put_all(session: Session, jobs: Sequence[Job]) -> None:
    for job in jobs:
        session.enqueue(job)


async def play(session: Session, *steps: Callable[[], object] | float) -> None:
    """Put and stop at times, until the session is idle."""
    async with trio.open_nursery() as nursery:

        async def run() -> None:
            await session.run(on_idle=lambda: None)

        for step in steps[:1]:
            assert callable(step)
            step()
        nursery.start_soon(run)
        for step in steps[1:]:
            if callable(step):
                step()
            else:
                await trio.sleep(step)


async def test_one_turn_after_the_other(recorder: Recorder) -> None:
    """Serial, in order, and out when idle."""
    session = a_session(recorder)
    began = trio.current_time()
    await play(session, lambda: put(session, "abc"))
    assert recorder.log == ["a answered", "b answered", "c answered"]
    assert trio.current_time() - began == pytest.approx(3 * SECONDS + 60)
    assert not session.is_busy


async def test_the_same_message_twice(recorder: Recorder) -> None:
    """A message in hand is not taken in again."""
    session = a_session(recorder)
    await play(session, lambda: put(session, "a"), 1, lambda: put(session, "a"))
    assert recorder.log == ["a answered"]


async def test_a_stop_with_and_without_the_queue(recorder: Recorder) -> None:
    """The running turn ends for the first reason given; what waits goes with it, or stays."""
    session = a_session(recorder)

    def stop() -> None:
        assert session.stop(reason="stopped", drop_queue=False)
        assert session.stop(reason="later", drop_queue=False)

    await play(session, lambda: put(session, "ab"), 1, stop)
    assert recorder.log == ["a stopped", "b answered"]
    recorder.log.clear()
    session = a_session(recorder)
    await play(
        session,
        lambda: put(session, "abc"),
        1,
        lambda: session.stop(reason="stopped", drop_queue=True),
    )
    assert recorder.log == ["a stopped", "b+c withdrawn: stopped"]
    assert not session.stop(reason="again", drop_queue=True)


async def test_withdrawing(recorder: Recorder) -> None:
    """The running message, a waiting one, an unknown one."""
    session = a_session(recorder)
    found: list[bool] = []
    await play(
        session,
        lambda: put(session, "abc"),
        1,
        lambda: found.extend(session.withdraw(name, reason="deleted") for name in ("a", "b", "x")),
    )
    assert found == [True, True, False]
    assert recorder.log == ["a deleted", "b withdrawn: deleted", "c answered"]


async def test_withdrawing_one_of_several(recorder: Recorder) -> None:
    """The turn is run again without it, in its own draft."""
    recorder.rules = QueueRules(QueueMode.COLLECT, debounce=0.0)
    session = a_session(recorder)
    await play(
        session,
        lambda: put(session, "a"),
        1,
        lambda: put(session, "bcd"),
        SECONDS,
        lambda: session.withdraw("c", reason="deleted"),
        lambda: session.withdraw("d", reason="deleted"),
    )
    assert recorder.log == [
        "a answered",
        f"b+c+d {CancelReason.WITHDRAWN.value}",
        "c+d withdrawn: deleted",
        "b answered",
    ]
    assert [job.obligation.turn for job in recorder.turns[2].batch.jobs] == ["t1"]


async def test_replacing(recorder: Recorder) -> None:
    """New words for the running message, twice, and for a waiting one."""
    session = a_session(recorder)

    def reads(name: str, text: str) -> Job:
        job = a_job(name)
        return evolve(job, inbound=job.inbound.with_text(text))

    await play(
        session,
        lambda: put(session, "ab"),
        1,
        lambda: session.replace(reads("a", "once")),
        lambda: session.replace(reads("a", "twice")),
        lambda: session.replace(reads("b", "other")),
    )
    assert recorder.log == [f"a {CancelReason.EDITED.value}", "a answered", "b answered"]
    assert [turn.batch.jobs[0].inbound.text for turn in recorder.turns] == ["text of a", "twice", "other"]
    assert not session.replace(a_job("x"))


async def test_steered_jobs_join_or_wait(recorder: Recorder) -> None:
    """What the runner takes up is the turn's; what it does not is answered next, before what came later."""
    recorder.rules = QueueRules(QueueMode.STEER, debounce=0.0)
    session = a_session(recorder)

    def join_first() -> None:
        turn = recorder.turns[0]
        turn.joined(turn.steered[0])
        turn.is_steerable = False

    await play(
        session,
        lambda: put(session, "a"),
        1,
        lambda: put(session, "bc"),
        1,
        join_first,
        lambda: put(session, "d"),
    )
    assert recorder.log == ["a+b answered", "c answered", "d answered"]


async def test_a_steered_job_is_taken_back(recorder: Recorder) -> None:
    """A steered message can be withdrawn until the agent has taken it."""
    recorder.rules = QueueRules(QueueMode.STEER, debounce=0.0)
    session = a_session(recorder)
    await play(
        session,
        lambda: put(session, "a"),
        1,
        lambda: put(session, "b"),
        lambda: session.withdraw("b", reason="deleted"),
    )
    assert recorder.log == ["a answered", "b withdrawn: deleted"]


async def test_an_interruption(recorder: Recorder) -> None:
    """The newest message wins over the running and the waiting ones."""
    recorder.rules = QueueRules(QueueMode.INTERRUPT, debounce=0.0)
    session = a_session(recorder)
    await play(session, lambda: put(session, "a"), 1, lambda: put(session, "b"), lambda: put(session, "c"))
    replaced = CancelReason.REPLACED.value
    assert recorder.log == [f"a {replaced}", f"b withdrawn: {replaced}", "c answered"]


async def test_crowded_out(recorder: Recorder) -> None:
    """All of them are settled together."""
    recorder.rules = QueueRules(QueueMode.FOLLOWUP, cap=1, drop=DropRule.OLD, debounce=0.0)
    session = a_session(recorder)
    await play(session, lambda: put(session, "a"), 1, lambda: put(session, "bcd"))
    assert recorder.log == ["a answered", f"b+c withdrawn: {QUEUE_OVERFLOW}", "d answered"]


async def test_a_spill_is_read_back(recorder: Recorder) -> None:
    """What did not fit into memory comes from the journal once there is room."""
    session = a_session(recorder, Small)
    jobs = [a_job(name) for name in "abcd"]
    recorder.journal = jobs[2:]
    await play(session, lambda: put_all(session, jobs))
    assert recorder.log == [f"{name} answered" for name in "abcd"]


async def test_a_stop_reaches_what_spilled(recorder: Recorder) -> None:
    """What waits in the journal is withdrawn as it is read back; what was said after the stop is answered."""
    session = a_session(recorder, Small)
    jobs = [a_job(name) for name in "abcde"]
    jobs = [evolve(job, inbound=evolve(job.inbound, create_at=at)) for at, job in enumerate(jobs, 1)]
    recorder.journal = jobs[2:]
    await play(
        session, lambda: put_all(session, jobs), 1, lambda: session.stop(reason="stopped", drop_queue=True, until=4)
    )
    assert recorder.log == ["a stopped", "b withdrawn: stopped", "c+d withdrawn: stopped", "e answered"]


async def test_a_channel_that_is_left(recorder: Recorder) -> None:
    """Only what belongs to that channel ends."""
    session = a_session(recorder)
    elsewhere = a_job("b")
    elsewhere = evolve(elsewhere, inbound=evolve(elsewhere.inbound, channel_id=ChannelId("other")))
    await play(
        session,
        lambda: put_all(session, [a_job("a"), elsewhere, a_job("c")]),
        1,
        lambda: session.leave_channel(ChannelId("c"), reason="left"),
    )
    assert recorder.log == ["a left", "c withdrawn: left", "b answered"]


async def test_closing(recorder: Recorder) -> None:
    """The running turn may finish, nothing new begins."""
    session = a_session(recorder)
    await play(session, lambda: put(session, "ab"), 1, session.close)
    assert recorder.log == ["a answered"]


async def test_second_thoughts_don_t_wait_for_ever(recorder: Recorder) -> None:
    """Somebody who never stops writing is answered after some debounces."""
    recorder.rules = QueueRules(QueueMode.COLLECT, cap=100, debounce=2.0)
    session = a_session(recorder)
    chatter = [step for number in range(20) for step in (partial(session.enqueue, a_job(f"m{number}")), 1.5)]
    await play(session, lambda: put(session, "a"), 9, *chatter)
    assert recorder.log[0] == "a answered"
    assert recorder.turns[1].batch.jobs[0].trigger == "m0"
    assert len(recorder.turns) == 3


@pytest.mark.parametrize("names", ["abc", "abcdef"])
async def test_more_than_fits_while_a_command_is_carried_out(recorder: Recorder, names: str) -> None:
    """What finds no room waits in the journal, and overtakes nothing in memory. The journal is not read in vain."""
    session = a_session(recorder, Small)
    reads = 0

    async def reload(key: SessionKey) -> Sequence[Job]:
        nonlocal reads
        reads += 1
        answered = {job.trigger for turn in recorder.turns for job in turn.batch.everyone}
        return [job for job in recorder.journal if job.trigger not in answered]

    session._reload = reload
    recorder.journal = [a_job(name) for name in names]
    await play(session, session.defer, lambda: put_all(session, recorder.journal), 30.0, session.release)
    assert recorder.log == [f"{name} answered" for name in names]
    assert reads <= len(names)
