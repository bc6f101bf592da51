from oc_trio.core.ledger import delivered
from oc_trio.ids import AccountId, AgentId, SessionKey, TurnId
from oc_trio.store.sessions import SessionUse
from oc_trio.store.store import Store
from oc_trio.store.turns import Turn
from tests.store.rows import ACCOUNT, SESSION, TOWN

T1, T2 = TurnId("t1"), TurnId("t2")


async def test_the_last_entries_come_oldest_first(store: Store) -> None:
    """The limit keeps the latest entries, in the order they were said."""
    await store.transcripts.append(SESSION, T1, ["1", "2"], 10)
    await store.transcripts.append(SessionKey("elsewhere"), T1, ["x"], 11)
    await store.transcripts.append(SESSION, T2, ["3", "4"], 12)

    assert await store.transcripts.load(SESSION, 10) == ("1", "2", "3", "4")
    assert await store.transcripts.load(SESSION, 3) == ("2", "3", "4")
    assert await store.transcripts.load(SESSION, 10, without=T2) == ("1", "2")


async def test_an_unfinished_turn_keeps_what_it_did(store: Store) -> None:
    """Tool calls that completed before a crash are read back, or dropped when the turn starts over."""
    await store.transcripts.append(SESSION, T1, ["call"], 10)
    await store.transcripts.append(SESSION, T1, ["result"], 11)
    assert await store.transcripts.of_turn(T1) == ("call", "result")

    assert await store.transcripts.drop_turn(T1) == 2

    assert await store.transcripts.of_turn(T1) == ()
    assert await store.transcripts.load(SESSION, 10) == ()


async def test_a_turn_is_rewritten(store: Store) -> None:
    """What it did is told anew, in the generation that it began in."""
    await store.sessions.touch(SessionUse(SESSION, ACCOUNT, TOWN, "root", AgentId("main"), 1))
    await store.transcripts.append(SESSION, T1, ["asked", "call"], 10)
    await store.sessions.reset(SESSION, 20)

    use = SessionUse(SESSION, ACCOUNT, TOWN, "root", AgentId("other"), 30)
    await store.transcripts.rewrite(use, T1, ["asked otherwise", "call"])

    assert await store.transcripts.of_turn(T1) == ("asked otherwise", "call")
    assert await store.transcripts.load(SESSION, 10) == ()
    [row] = await store.sessions.list()
    assert (row.agent, row.last_at) == ("other", 30)


async def test_a_turn_stays_in_the_generation_it_began_in(store: Store) -> None:
    """What a turn says after its session was reset doesn't leak into the new conversation."""
    await store.sessions.touch(SessionUse(SESSION, ACCOUNT, TOWN, "root", AgentId("main"), 1))
    await store.transcripts.append(SESSION, T1, ["before"], 10)
    await store.sessions.reset(SESSION, 20)

    await store.transcripts.append(SESSION, T1, ["after"], 30)
    await store.transcripts.append(SESSION, T2, ["new"], 40)

    assert await store.transcripts.load(SESSION, 10) == ("new",)
    assert await store.transcripts.of_turn(T1) == ("before", "after")


async def test_a_turn_of_another_account_is_told_when_it_has_ended(store: Store) -> None:
    """Two accounts may share an agent and a channel: what one of them is just being asked is not for the other."""
    await store.turns.begin(Turn(T1, AccountId("other"), SESSION, TOWN, ""), [], 1)
    await store.transcripts.append(SESSION, T1, ["asked of the other"], 10)
    await store.transcripts.append(SESSION, T2, ["asked of us"], 11)
    assert await store.transcripts.load(SESSION, 10, without=T2) == ()
    assert await store.transcripts.load(SESSION, 10) == ("asked of the other", "asked of us")

    await store.transcripts.append(SESSION, T1, ["answered by the other"], 12)
    await store.turns.end(T1, delivered(), 13)

    assert await store.transcripts.load(SESSION, 10, without=T2) == ("asked of the other", "answered by the other")
