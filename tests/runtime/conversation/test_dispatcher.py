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


class Office:
    """Sessions whose turns take a while, and a diary of what became of each message."""

    def __init__(self, nursery: trio.Nursery, seconds: float = 1.0) -> None:
        self.diary: list[str] = []
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
            self.diary.append(f"{names} answered")
        if running.reason:
            self.diary.append(f"{names} cut: {running.reason}")

    async def settle(self, jobs: Sequence[Job], reason: str) -> None:
        await trio.lowlevel.checkpoint()
        self.diary += [f"{job.trigger} withdrawn: {reason}" for job in jobs]

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
def office(nursery: trio.Nursery) -> Office:
    return Office(nursery)


async def test_conversations_run_side_by_side_and_each_in_order(office: Office, autojump_clock: Clock) -> None:
    """One task per conversation."""
    office.say("a1", "a")
    office.say("b1", "b")
    assert len(office.dispatcher) == 2
    await trio.sleep(0.5)
    office.say("a2", "a")
    await trio.sleep(5)
    assert sorted(office.diary[:2]) == ["a1 answered", "b1 answered"]
    assert office.diary[2:] == ["a2 answered"]
    assert office.made == ["a", "b"]


async def test_an_idle_conversation_leaves_the_table_and_comes_back(office: Office, autojump_clock: Clock) -> None:
    """Nothing grows with the number of conversations there ever were."""
    office.say("one")
    await trio.sleep(62)
    assert len(office.dispatcher) == 0
    assert office.dispatcher.get(SessionKey("s")) is None
    office.say("two")
    assert office.dispatcher.get(SessionKey("s")) is not None
    await trio.sleep(5)
    assert office.diary == ["one answered", "two answered"]
    assert office.made == ["s", "s"]


async def test_a_message_at_the_moment_of_leaving_is_not_lost(office: Office, autojump_clock: Clock) -> None:
    """Whichever comes first, the message finds a session."""
    office.say("one")
    await trio.sleep(61.0)
    office.say("two")
    await trio.sleep(5)
    assert office.diary == ["one answered", "two answered"]


async def test_a_message_is_withdrawn_wherever_it_is(office: Office, autojump_clock: Clock) -> None:
    """From the running turn, or from nowhere at all."""
    office.say("one")
    await trio.sleep(0.5)
    assert office.dispatcher.cancel_trigger("one", reason="deleted")
    assert not office.dispatcher.cancel_trigger("unknown", reason="deleted")
    await trio.sleep(5)
    assert office.diary == ["one cut: deleted"]


async def test_a_channel_that_was_left_ends_what_runs_there(office: Office, autojump_clock: Clock) -> None:
    """Other channels go on."""
    office.say("here", "a", "left")
    office.say("there", "b", "kept")
    await trio.sleep(0.5)
    office.dispatcher.cancel_channel(ChannelId("left"), reason="removed")
    await trio.sleep(5)
    assert sorted(office.diary) == ["here cut: removed", "there answered"]


async def test_a_drain_lets_turns_finish_and_starts_none(office: Office, autojump_clock: Clock) -> None:
    """What comes later stays in the journal."""
    office.say("one")
    await trio.sleep(0.5)
    assert not office.dispatcher.is_idle
    office.dispatcher.stop_accepting()
    office.say("two")
    office.say("three", "another")
    await trio.sleep(5)
    assert office.diary == ["one answered"]
    assert office.dispatcher.is_idle
    assert len(office.dispatcher) == 0


async def test_what_still_runs_is_cut_off_with_the_reason(office: Office, autojump_clock: Clock) -> None:
    """All of it at once."""
    office.say("one", "a")
    office.say("two", "b")
    await trio.sleep(0.5)
    office.dispatcher.stop_accepting()
    office.dispatcher.cancel_all(reason="shutdown")
    await trio.sleep(0.1)
    assert sorted(office.diary) == ["one cut: shutdown", "two cut: shutdown"]


async def test_a_session_that_fails_leaves_the_table() -> None:
    """Its error is the account's; nothing of it stays behind."""

    class Failing(Office):
        async def turn(self, running: Running) -> None:
            await trio.lowlevel.checkpoint()
            raise LookupError(f"a mistake in {running.batch.jobs[0].trigger}")

    offices: list[Office] = []
    with pytest.RaisesGroup(pytest.RaisesExc(LookupError)):
        async with trio.open_nursery() as nursery:
            offices.append(Failing(nursery))
            offices[0].say("one")
    assert len(offices[0].dispatcher) == 0


async def test_what_a_conversation_held_when_it_failed_can_be_ended(autojump_clock: Clock) -> None:
    """It is taken out, and the next message begins the conversation anew."""
    async with trio.open_nursery() as nursery:
        office = Office(nursery)
        held: list[str] = []

        async def keep(session: Session, on_idle: Callable[[], object]) -> None:
            await trio.sleep(1.0)
            on_idle()
            held.extend(job.trigger for job in session.abandon())
            office.say("later")

        office.dispatcher = Dispatcher(nursery, office.make, keep)
        office.say("one")
        office.say("two")
        await trio.sleep(1.5)
        assert held == ["one", "two"]
        assert len(office.made) == 2
        assert office.dispatcher.get(SessionKey("s")) is not None
        nursery.cancel_scope.cancel()
