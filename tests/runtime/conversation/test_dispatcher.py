"""The session table: made on demand, removed when idle, closed by the drain."""

from collections.abc import Callable, Sequence

import pytest
import trio
import trio.testing

from oc_trio.core.events import ChannelType
from oc_trio.core.inbound import InboundMessage
from oc_trio.core.ledger import Obligation, Source
from oc_trio.core.queueing import QueueRules
from oc_trio.ids import AccountId, AgentId, ChannelId, ObligationId, SessionKey, UserId
from oc_trio.runtime.conversation.dispatcher import Dispatcher
from oc_trio.runtime.conversation.mailbox import Job
from oc_trio.runtime.conversation.session import Running, Session

ACCOUNT = AccountId("default")
Clock = trio.testing.MockClock


class SlowSessions:
    """Sessions whose turns take a while, and a record of what became of each message."""

    def __init__(self, nursery: trio.Nursery, seconds: float = 1.0) -> None:
        self.outcomes: list[str] = []
        self.made: list[SessionKey] = []
        self.seconds = seconds
        self.dispatcher = Dispatcher(nursery, self.make)

    def make(self, key: SessionKey) -> Session:
        self.made.append(key)
        return Session(
            key, run_turn=self.turn, settle=self.settle, reload=self.reload, load_rules=self.rules, idle_seconds=60.0
        )

    async def turn(self, running: Running) -> None:
        names = "+".join(job.trigger for job in running.batch.jobs)
        with running.scope:
            await trio.sleep(self.seconds)
            self.outcomes.append(f"{names} answered")
        if running.reason:
            self.outcomes.append(f"{names} cut: {running.reason}")

    async def settle(self, jobs: Sequence[Job], reason: str) -> None:
        await trio.lowlevel.checkpoint()
        self.outcomes += [f"{job.trigger} withdrawn: {reason}" for job in jobs]

    async def reload(self, _key: SessionKey) -> Sequence[Job]:
        await trio.lowlevel.checkpoint()
        return ()

    async def rules(self, _key: SessionKey) -> QueueRules:
        await trio.lowlevel.checkpoint()
        return QueueRules(debounce=0.0)

    def say(self, trigger: str, session: str = "s", channel: str = "town") -> None:
        place, key = ChannelId(channel), SessionKey(session)
        alice = UserId("alice")
        obligation = Obligation(
            ObligationId(f"ob-{trigger}"), ACCOUNT, trigger, place, alice, "", key, Source.LIVE, "mention", "{}", 1
        )
        message = InboundMessage(
            ACCOUNT, trigger, Source.LIVE, place, ChannelType.OPEN, alice, "alice", "hi", key, AgentId("main")
        )
        self.dispatcher.submit(obligation, message)


@pytest.fixture
def sessions(nursery: trio.Nursery) -> SlowSessions:
    return SlowSessions(nursery)


async def test_conversations_run_side_by_side_and_each_in_order(sessions: SlowSessions, autojump_clock: Clock) -> None:
    """One task per conversation."""
    sessions.say("a1", "a")
    sessions.say("b1", "b")
    assert len(sessions.dispatcher) == 2
    await trio.sleep(0.5)
    sessions.say("a2", "a")
    await trio.sleep(5)
    assert sorted(sessions.outcomes[:2]) == ["a1 answered", "b1 answered"]
    assert sessions.outcomes[2:] == ["a2 answered"]
    assert sessions.made == ["a", "b"]


async def test_an_idle_conversation_leaves_the_table_and_comes_back(
    sessions: SlowSessions, autojump_clock: Clock
) -> None:
    """Nothing grows with the number of conversations there ever were."""
    sessions.say("one")
    await trio.sleep(62)
    assert len(sessions.dispatcher) == 0
    assert sessions.dispatcher.get(SessionKey("s")) is None
    sessions.say("two")
    assert sessions.dispatcher.get(SessionKey("s")) is not None
    await trio.sleep(5)
    assert sessions.outcomes == ["one answered", "two answered"]
    assert sessions.made == ["s", "s"]


async def test_a_message_at_the_moment_of_leaving_is_not_lost(sessions: SlowSessions, autojump_clock: Clock) -> None:
    """Whichever comes first, the message finds a session."""
    sessions.say("one")
    await trio.sleep(61.0)
    sessions.say("two")
    await trio.sleep(5)
    assert sessions.outcomes == ["one answered", "two answered"]


async def test_a_message_is_withdrawn_wherever_it_is(sessions: SlowSessions, autojump_clock: Clock) -> None:
    """From the running turn, or from nowhere at all."""
    sessions.say("one")
    await trio.sleep(0.5)
    assert sessions.dispatcher.cancel_trigger("one", reason="deleted")
    assert not sessions.dispatcher.cancel_trigger("unknown", reason="deleted")
    await trio.sleep(5)
    assert sessions.outcomes == ["one cut: deleted"]


async def test_a_channel_that_was_left_ends_what_runs_there(sessions: SlowSessions, autojump_clock: Clock) -> None:
    """Other channels go on."""
    sessions.say("here", "a", "left")
    sessions.say("there", "b", "kept")
    await trio.sleep(0.5)
    sessions.dispatcher.cancel_channel(ChannelId("left"), reason="removed")
    await trio.sleep(5)
    assert sorted(sessions.outcomes) == ["here cut: removed", "there answered"]


async def test_a_drain_lets_turns_finish_and_starts_none(sessions: SlowSessions, autojump_clock: Clock) -> None:
    """What comes later stays in the journal."""
    sessions.say("one")
    await trio.sleep(0.5)
    assert not sessions.dispatcher.is_idle
    sessions.dispatcher.stop_accepting()
    sessions.say("two")
    sessions.say("three", "another")
    await trio.sleep(5)
    assert sessions.outcomes == ["one answered"]
    assert sessions.dispatcher.is_idle
    assert len(sessions.dispatcher) == 0


async def test_what_still_runs_is_cut_off_with_the_reason(sessions: SlowSessions, autojump_clock: Clock) -> None:
    """All of it at once."""
    sessions.say("one", "a")
    sessions.say("two", "b")
    await trio.sleep(0.5)
    sessions.dispatcher.stop_accepting()
    sessions.dispatcher.cancel_all(reason="shutdown")
    await trio.sleep(0.1)
    assert sorted(sessions.outcomes) == ["one cut: shutdown", "two cut: shutdown"]


async def test_a_session_that_fails_leaves_the_table() -> None:
    """Its error is the account's; nothing of it stays behind."""

    class Failing(SlowSessions):
        async def turn(self, running: Running) -> None:
            await trio.lowlevel.checkpoint()
            raise LookupError(f"a mistake in {running.batch.jobs[0].trigger}")

    offices: list[SlowSessions] = []
    with pytest.RaisesGroup(pytest.RaisesExc(LookupError)):
        async with trio.open_nursery() as nursery:
            offices.append(Failing(nursery))
            offices[0].say("one")
    assert len(offices[0].dispatcher) == 0


async def test_what_a_conversation_held_when_it_failed_can_be_ended(autojump_clock: Clock) -> None:
    """It is taken out, and the next message begins the conversation anew."""
    async with trio.open_nursery() as nursery:
        sessions = SlowSessions(nursery)
        held: list[str] = []

        async def keep(session: Session, on_idle: Callable[[], object]) -> None:
            await trio.sleep(1.0)
            on_idle()
            held.extend(job.trigger for job in session.abandon())
            sessions.say("later")

        sessions.dispatcher = Dispatcher(nursery, sessions.make, keep)
        sessions.say("one")
        sessions.say("two")
        await trio.sleep(1.5)
        assert held == ["one", "two"]
        assert len(sessions.made) == 2
        assert sessions.dispatcher.get(SessionKey("s")) is not None
        nursery.cancel_scope.cancel()
