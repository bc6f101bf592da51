from attrs import evolve

from oc_trio.ids import AgentId, PostId, SessionKey, TurnId
from oc_trio.store.sessions import SessionRow, SessionUse
from oc_trio.store.store import Store
from tests.store.rows import ACCOUNT, LAB, OTHER, SESSION, TOWN

MAIN = AgentId("main")


async def test_touching_makes_and_keeps(store: Store) -> None:
    """The first touch makes the session, later ones move its last use and its agent."""
    made = await store.sessions.touch(SessionUse(SESSION, ACCOUNT, TOWN, "root", MAIN, 100))
    assert made == SessionRow(SESSION, ACCOUNT, TOWN, "root", MAIN, 100, 100)

    again = await store.sessions.touch(SessionUse(SESSION, ACCOUNT, LAB, "elsewhere", AgentId("other"), 200))

    assert again == evolve(made, agent=AgentId("other"), last_at=200)
    assert await store.sessions.get(SESSION) == again
    assert await store.sessions.get(SessionKey("none")) is None


async def test_sessions_are_listed_latest_first(store: Store) -> None:
    """For one account or for all."""
    for key, account, at in (("s1", ACCOUNT, 1), ("s2", OTHER, 3), ("s3", ACCOUNT, 2)):
        await store.sessions.touch(SessionUse(SessionKey(key), account, TOWN, "", MAIN, at))

    assert [row.key for row in await store.sessions.list()] == ["s2", "s3", "s1"]
    assert [row.key for row in await store.sessions.list(ACCOUNT)] == ["s3", "s1"]


async def test_a_reset_begins_a_new_generation(store: Store) -> None:
    """The transcript and the waiting context are gone from view, the settings stay."""
    await store.sessions.touch(SessionUse(SESSION, ACCOUNT, TOWN, "root", MAIN, 100))
    await store.sessions.set_settings(SESSION, '{"model": "big"}')
    await store.transcripts.append(SESSION, TurnId("t1"), ["one"], 110)
    await store.context.add(SESSION, PostId("p1"), "{}", 110, 50)

    assert await store.sessions.reset(SESSION, 120) == 1

    assert await store.transcripts.load(SESSION, 10) == ()
    assert await store.context.take(SESSION, 999) == ()
    assert await store.sessions.settings(SESSION) == '{"model": "big"}'
    assert await store.transcripts.of_turn(TurnId("t1")) == ("one",)


async def test_settings_of_several_sessions_are_read_together(store: Store) -> None:
    """In the order in which they are asked for."""
    await store.sessions.touch(SessionUse(SESSION, ACCOUNT, TOWN, "root", MAIN, 100))
    await store.sessions.set_settings(SESSION, '{"model": "big"}')
    assert await store.sessions.settings_of(SessionKey("other"), SESSION) == ("{}", '{"model": "big"}')


async def test_an_unknown_session_has_no_settings(store: Store) -> None:
    """Settings belong to a session that was touched."""
    assert await store.sessions.settings(SESSION) == "{}"
    assert not await store.sessions.set_settings(SESSION, '{"model": "big"}')
    assert await store.sessions.reset(SESSION, 1) == 0
