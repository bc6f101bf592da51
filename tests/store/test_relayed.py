from attrs import evolve

from oc_trio.store.relayed import MAX_NOTICES, RelayedRow
from oc_trio.store.store import Store
from tests.store.rows import ACCOUNT, OTHER

ROW = RelayedRow("r1", ACCOUNT, "click", '["body"]', "p1", 1000)
MOST = 10


async def test_rows_are_read_in_the_order_in_which_they_came(store: Store) -> None:
    """Each account has its own, and what has ended is not read any more."""
    for number in range(4):
        account = OTHER if number == 2 else ACCOUNT
        assert await store.relayed.put(evolve(ROW, id=f"r{number}", account=account), MOST)
    assert await store.relayed.take("r0")
    await store.relayed.end("r3", "[1]", 1010)

    assert [(row.id, row.state) for row in await store.relayed.open_for(ACCOUNT)] == [
        ("r0", "taken"),
        ("r1", "waiting"),
    ]
    assert await store.relayed.look() == (frozenset({ACCOUNT, OTHER}), ())
    (row,) = await store.relayed.open_for(OTHER)
    assert row == evolve(ROW, id="r2", account=OTHER)
    assert [row.id for row in await store.relayed.open_for(ACCOUNT, ["r0"])] == ["r1"]


async def test_an_account_has_a_bounded_number_of_open_rows(store: Store) -> None:
    """One more of its kind is refused until another has ended."""
    assert await store.relayed.put(ROW, 1)
    assert not await store.relayed.put(evolve(ROW, id="r2"), 1)
    assert await store.relayed.put(evolve(ROW, id="r5", kind="hook"), 1)
    assert not await store.relayed.put(evolve(ROW, id="r4", account=OTHER), 1, is_wanted=lambda: False)
    assert await store.relayed.put(evolve(ROW, id="r3", account=OTHER), 1)

    await store.relayed.end("r1", "[1]", 1010)

    assert await store.relayed.put(evolve(ROW, id="r2"), 1)


async def test_a_row_ends_once_and_keeps_no_body(store: Store) -> None:
    """The first answer stays; what was asked has secrets in it, and is gone."""
    await store.relayed.put(ROW, MOST)
    assert await store.relayed.answers(["r1", "other"]) == {}

    assert not await store.relayed.end("r1", '["first"]', 1010)
    await store.relayed.end("r1", '["second"]', 1020)

    assert await store.relayed.answers(["r1"]) == {"r1": '["first"]'}
    assert not await store.relayed.take("r1")
    # As left by a crash that undid nothing: the row itself has no text of the request.
    rows = await store._engine.run(lambda tx: tx.all("SELECT body FROM relayed"))
    assert rows == [("",)]


async def test_a_row_that_was_taken_by_a_process_that_died_is_taken_again(store: Store) -> None:
    """Whoever serves the account next handles it anew, by the same keys."""
    await store.relayed.put(ROW, MOST)
    assert await store.relayed.take("r1")
    assert await store.relayed.take("r1")


async def test_who_ends_a_row_hears_that_nobody_waits(store: Store) -> None:
    """An answer that came before is given to who gives up."""
    for name in ("r1", "r2"):
        await store.relayed.put(evolve(ROW, id=name), MOST)
    await store.relayed.end("r2", "[2]", 1010)

    assert await store.relayed.give_up("r1", 1020) is None
    assert await store.relayed.give_up("r2", 1020) == "[2]"

    assert await store.relayed.end("r1", "[1]", 1030)


async def test_a_row_that_nobody_has_taken_can_be_withdrawn(store: Store) -> None:
    """It is never handled then. One that was taken goes on, and only nobody waits for it."""
    for name in ("r1", "r2"):
        await store.relayed.put(evolve(ROW, id=name), MOST)
    await store.relayed.take("r2")

    for name in ("r1", "r2"):
        assert await store.relayed.give_up(name, 1010, withdraw=True) is None

    assert [row.id for row in await store.relayed.open_for(ACCOUNT)] == ["r2"]
    assert not await store.relayed.take("r1")
    assert await store.relayed.end("r2", "[2]", 1020)


async def test_notices_are_no_requests(store: Store) -> None:
    """The latest come first, a bounded number of them; they belong to no account."""
    for number in range(MAX_NOTICES + 2):
        await store.relayed.announce(f"n{number}", "reload", "p1", 1000)
    await store.relayed.announce("n0", "reload", "p1", 1000)  # tried again

    accounts, notices = await store.relayed.look()

    assert [notice.id for notice in notices] == [f"n{number}" for number in range(MAX_NOTICES + 1, 1, -1)]
    assert (notices[0].kind, notices[0].process, notices[0].created_at) == ("reload", "p1", 1000)
    assert accounts == frozenset()


async def test_what_has_ended_is_pruned_after_an_hour_and_what_nobody_takes_after_a_week(store: Store) -> None:
    """Open rows stay for as long as somebody may still come and take them."""
    for name in ("r1", "r2"):
        await store.relayed.put(evolve(ROW, id=name), MOST)
    await store.relayed.end("r1", "[1]", 1010)
    await store.relayed.announce("n1", "reload", "p1", 1010)
    hour = 3_600_000

    assert await store.prune(1011 + hour) == 2
    assert [row.id for row in await store.relayed.open_for(ACCOUNT)] == ["r2"]
    assert await store.prune(1001 + 7 * 24 * hour) == 1
