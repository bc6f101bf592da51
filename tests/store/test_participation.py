import pytest

from oc_trio.core.ledger import delivered
from oc_trio.ids import ChannelId, PostId, ThreadRoot
from oc_trio.store.store import Store
from tests.store.rows import ACCOUNT, LAB, OTHER, ROOT, TOWN, outgoing, turn


async def test_participation_lasts_from_the_latest_answer(store: Store) -> None:
    """An answer counts at and after its time, an older record doesn't shorten it."""
    await store.participation.record(ACCOUNT, TOWN, ROOT, 100)
    await store.participation.record(ACCOUNT, TOWN, ROOT, 50)

    assert await store.participation.active(ACCOUNT, TOWN, ROOT, 100)
    assert not await store.participation.active(ACCOUNT, TOWN, ROOT, 101)

    await store.participation.record(ACCOUNT, TOWN, ROOT, 150)
    assert await store.participation.active(ACCOUNT, TOWN, ROOT, 150)


async def test_participation_is_of_one_account_channel_and_thread(store: Store) -> None:
    """Anything else is another thread."""
    await store.participation.record(ACCOUNT, TOWN, ROOT, 100)

    assert not await store.participation.active(OTHER, TOWN, ROOT, 0)
    assert not await store.participation.active(ACCOUNT, LAB, ROOT, 0)
    assert not await store.participation.active(ACCOUNT, TOWN, ThreadRoot("other"), 0)


async def test_an_answer_that_may_be_seen_counts_while_its_turn_goes_on(store: Store) -> None:
    """From the request that may have made its first post until the turn has ended."""
    begun = turn("t")
    await store.turns.begin(begun, [], 1)
    await store.outbox.put([outgoing("t.d0", turn=begun.id, root_id=ROOT)])
    assert not await store.participation.active(ACCOUNT, TOWN, ROOT, 0)

    await store.outbox.mark_sending(outgoing("t.d0").id, 2)
    assert await store.participation.active(ACCOUNT, TOWN, ROOT, 0)
    assert not await store.participation.active(OTHER, TOWN, ROOT, 0)
    assert not await store.participation.active(ACCOUNT, LAB, ROOT, 0)
    assert not await store.participation.active(ACCOUNT, TOWN, ThreadRoot("other"), 0)

    await store.outbox.confirm(outgoing("t.d0").id, PostId("p"), 3)
    assert await store.participation.active(ACCOUNT, TOWN, ROOT, 0)

    await store.turns.end(begun.id, delivered(PostId("p")), 4)
    assert not await store.participation.active(ACCOUNT, TOWN, ROOT, 0)


@pytest.mark.parametrize("particulars", [{"root_id": "other"}, {"channel_id": LAB}, {"turn": None}])
async def test_what_a_turn_writes_elsewhere_does_not_count(
    store: Store, particulars: dict[str, str | ChannelId]
) -> None:
    """Only words in the turn's own thread make it the bot's."""
    begun = turn("t")
    await store.turns.begin(begun, [], 1)
    await store.outbox.put([outgoing("x", **{"turn": begun.id, "root_id": ROOT, **particulars})])
    await store.outbox.mark_sending(outgoing("x").id, 2)
    assert not await store.participation.active(ACCOUNT, TOWN, ROOT, 0)


async def test_many_threads_are_looked_up_together(store: Store) -> None:
    """Each by its own time, and with the channel that it is in."""
    begun = turn("t")
    await store.turns.begin(begun, [], 1)
    await store.outbox.put([outgoing("t.d0", turn=begun.id, root_id=ROOT)])
    await store.outbox.mark_sending(outgoing("t.d0").id, 2)
    roots = [ThreadRoot(f"r{number}") for number in range(120)]
    for root in roots[::10]:
        await store.participation.record(ACCOUNT, LAB, root, 100)
    asked = {(LAB, root): 100 if number else 101 for number, root in enumerate(roots)}

    active = await store.participation.all_active(
        ACCOUNT, {**asked, (TOWN, ROOT): 0, (LAB, ROOT): 0, (TOWN, roots[10]): 0}
    )

    assert active == {(TOWN, ROOT), *((LAB, root) for root in roots[10::10])}
