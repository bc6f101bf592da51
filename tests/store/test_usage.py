from oc_trio.core.turn_events import Usage
from oc_trio.ids import TurnId
from oc_trio.store.store import Store
from tests.store import rows
from tests.store.rows import ACCOUNT, OTHER, SESSION


async def test_usage_adds_up(store: Store) -> None:
    """Runs of one turn are added, models are kept apart."""
    for turn, account, usage, at in (
        ("t0", ACCOUNT, Usage(900, 900, "big"), 50),
        ("t1", ACCOUNT, Usage(10, 1, "big"), 100),
        ("t1", ACCOUNT, Usage(5, 2, "big"), 110),
        ("t1", ACCOUNT, Usage(7, 7, "small"), 120),
        ("t2", ACCOUNT, Usage(1, 1, "big"), 130),
        ("t3", OTHER, Usage(3, 4, "big"), 140),
    ):
        await store.turns.decide(rows.turn(turn, account=account), "", usage, at)

    assert await store.usage.of_turn(TurnId("t1")) == (Usage(15, 3, "big"), Usage(7, 7, "small"))
    assert await store.usage.of_session(SESSION) == (Usage(919, 908, "big"), Usage(7, 7, "small"))
