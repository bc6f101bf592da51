from oc_trio.core.ledger import delivered
from oc_trio.ids import SessionKey, TurnId
from oc_trio.store.store import Store
from oc_trio.store.turns import Turn, TurnEnd
from tests.store.rows import ACCOUNT, SESSION, TOWN, post


async def test_the_oldest_fall_out(store: Store) -> None:
    """Of a few no more than `limit` wait, counted by their own time and not by their arrival."""
    for name, at in (("p2", 20), ("p1", 10), ("p3", 30), ("p0", 5)):
        await store.context.add(SESSION, post(name), name, at, 2)
    await store.context.add(SessionKey("elsewhere"), post("x"), "x", 1, 2)

    assert await store.context.take(SESSION, 99) == ("p2", "p3")


async def test_of_many_the_oldest_fall_out_together(store: Store) -> None:
    """A fifth more than `limit` may wait; what goes beyond that goes with all the rest."""
    counts = []
    for at in range(14):
        await store.context.add(SESSION, post(f"p{at}"), f"p{at}", at, 10)
        counts.append(len(await store.context.take(SESSION, 99)))

    assert counts == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 10, 11]
    assert (await store.context.take(SESSION, 99))[-1] == "p13"


async def test_taking_deletes_nothing_and_the_end_of_a_turn_what_was_taken(store: Store) -> None:
    """A turn that fails leaves the context for the next; a post of the border time is in both or in none."""
    turn = Turn(TurnId("t1"), ACCOUNT, SESSION, TOWN, "")
    await store.turns.begin(turn, [], 10)
    for name, at in (("p1", 10), ("p2", 20), ("p3", 30)):
        await store.context.add(SESSION, post(name), name, at, 50)

    assert await store.context.take(SESSION, 20) == ("p1", "p2")
    assert await store.context.take(SESSION, 20) == ("p1", "p2")
    await store.turns.finish(TurnEnd(turn, delivered(), 40, lambda _rows: "", context_until=20))
    assert await store.context.take(SESSION, 99) == ("p3",)


async def test_an_edited_post_replaces_itself(store: Store) -> None:
    """A post is there once, with its latest text."""
    await store.context.add(SESSION, post("p1"), "old", 10, 50)
    await store.context.add(SESSION, post("p1"), "new", 10, 50)

    assert await store.context.take(SESSION, 99) == ("new",)


async def test_a_deleted_post_is_dropped(store: Store) -> None:
    """One post can be forgotten without the others."""
    await store.context.add(SESSION, post("p1"), "p1", 10, 50)
    await store.context.add(SESSION, post("p2"), "p2", 20, 50)

    assert await store.context.drop(SESSION, post("p1"))
    assert not await store.context.drop(SESSION, post("p1"))
    assert await store.context.take(SESSION, 99) == ("p2",)


async def test_a_limit_of_nothing_keeps_nothing(store: Store) -> None:
    """`historyLimit = 0` turns context off."""
    await store.context.add(SESSION, post("p1"), "p1", 10, 0)

    assert await store.context.take(SESSION, 99) == ()
