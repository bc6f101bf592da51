from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from oc_trio.core.events import Post
from oc_trio.core.ledger import OUTBOX_MOVES, OutboxState
from oc_trio.core.post_marker import KEY, MARKER
from oc_trio.errors import StoreError
from oc_trio.ids import OutboxId, TurnId, UserId
from oc_trio.store.store import Store
from tests.store.rows import ACCOUNT, LAB, OTHER, TOWN, outgoing, post

O1 = OutboxId("o1")


def own_post(name: str, pending: str = "", *, key: str = "", **particulars: Any) -> Post:
    props = {MARKER: {KEY: key}} if key else {}
    given = {"channel_id": TOWN, "user_id": UserId("bot"), "message": "hi", **particulars}
    return Post(post(name), **given, pending_post_id=pending, props=props)


async def confirm(store: Store) -> bool:
    """Whether that moved the row."""
    return await store.outbox.confirm(O1, post("a1"), 30) is None


MOVES: dict[OutboxState, Callable[[Store], Awaitable[bool]]] = {
    OutboxState.SENDING: lambda store: store.outbox.mark_sending(O1, 20),
    OutboxState.CONFIRMED: confirm,
    OutboxState.QUEUED: lambda store: store.outbox.requeue(O1, "timed out"),
    OutboxState.DEAD: lambda store: store.outbox.mark_dead(O1, "403", 40),
}
WAY_TO: dict[OutboxState, tuple[OutboxState, ...]] = {
    OutboxState.QUEUED: (),
    OutboxState.SENDING: (OutboxState.SENDING,),
    OutboxState.CONFIRMED: (OutboxState.SENDING, OutboxState.CONFIRMED),
    OutboxState.DEAD: (OutboxState.DEAD,),
}


async def put_in(store: Store, state: OutboxState) -> None:
    await store.outbox.put([outgoing("o1")])
    for step in WAY_TO[state]:
        await MOVES[step](store)


@pytest.mark.parametrize("to", list(OutboxState), ids=lambda state: f"to {state.value}")
@pytest.mark.parametrize("start", list(OutboxState), ids=lambda state: f"from {state.value}")
async def test_moves_are_those_of_the_table(store: Store, start: OutboxState, to: OutboxState) -> None:
    """A move outside the table is refused and changes nothing; a move to where it is changes nothing."""
    await put_in(store, start)
    before = await store.outbox.get(O1)

    if to in OUTBOX_MOVES[start]:
        assert await MOVES[to](store)
        after = await store.outbox.get(O1)
        assert after is not None
        assert after.state is to
    else:
        if to is start:
            assert not await MOVES[to](store)
        else:
            with pytest.raises(StoreError, match=f"o1 is {start.value}, it can't become {to.value}"):
                await MOVES[to](store)
        assert await store.outbox.get(O1) == before


@pytest.mark.parametrize("start", list(OutboxState), ids=lambda state: state.value)
async def test_a_post_is_queued_and_marked_in_one_step(store: Store, start: OutboxState) -> None:
    """It tells what was known before; what is on its way or has ended stays as it is."""
    await put_in(store, start)
    before = await store.outbox.get(O1)
    assert await store.outbox.begin_sending(outgoing("o1", body="other"), 50) == before
    after, fresh = await store.outbox.get(O1), await store.outbox.begin_sending(outgoing("o2"), 60)
    assert after is not None
    assert fresh.state is OutboxState.QUEUED
    if start is OutboxState.QUEUED:
        assert (after.state, after.sending_at, after.attempts) == (OutboxState.SENDING, 50, 1)
    else:
        assert after == before


async def test_a_row_tells_its_story(store: Store) -> None:
    """Attempts, times, the error and the post id are kept with the row."""
    await store.outbox.put([outgoing("o1")])
    await store.outbox.mark_sending(O1, 20)
    await store.outbox.requeue(O1, "timed out")
    await store.outbox.mark_sending(O1, 25)
    row = await store.outbox.get(O1)
    assert row is not None
    assert (row.attempts, row.sending_at, row.error) == (2, 25, "timed out")

    await store.outbox.confirm(O1, post("a1"), 30)

    row = await store.outbox.get(O1)
    assert row is not None
    assert (row.post_id, row.error, row.state) == ("a1", "", OutboxState.CONFIRMED)


async def test_putting_a_row_again_leaves_it_alone(store: Store) -> None:
    """A restart that repeats a delivery finds the rows of the first try."""
    assert await store.outbox.put([outgoing("o1"), outgoing("o2")]) == 2
    await store.outbox.mark_sending(O1, 20)

    assert await store.outbox.put([outgoing("o1", body="other"), outgoing("o3")]) == 1

    row = await store.outbox.get(O1)
    assert row is not None
    assert (row.state, row.body) == (OutboxState.SENDING, '{"message": "hi"}')


async def test_an_idempotency_key_is_used_once(store: Store) -> None:
    """Two rows of an account can't share a key; then none of the call's rows is kept."""
    await store.outbox.put([outgoing("o1")])

    with pytest.raises(StoreError):
        await store.outbox.put([outgoing("o2"), outgoing("o3", pending_post_id="pending-o1")])

    assert [row.id for row in await store.outbox.unfinished(ACCOUNT)] == ["o1"]


async def test_unfinished_rows_come_in_order(store: Store) -> None:
    """Queued and sending rows are what a restart reconciles, in the order they were put."""
    await store.outbox.put([outgoing(name) for name in ("o3", "o1", "o2", "o4")])
    await store.outbox.put([outgoing("x1", account=OTHER)])
    await store.outbox.mark_sending(OutboxId("o1"), 20)
    await store.outbox.mark_sending(OutboxId("o2"), 20)
    await store.outbox.confirm(OutboxId("o2"), post("a2"), 21)
    await store.outbox.mark_dead(OutboxId("o4"), "gone", 22)

    assert [row.id for row in await store.outbox.unfinished(ACCOUNT)] == ["o3", "o1"]


async def test_rows_of_a_turn_come_in_sequence(store: Store) -> None:
    """A reply in several posts keeps its order."""
    turn = TurnId("t1")
    await store.outbox.put([outgoing("o2", turn=turn, seq=1), outgoing("o1", turn=turn, seq=0), outgoing("o3")])

    assert [row.id for row in await store.outbox.of_turn(turn)] == ["o1", "o2"]


@pytest.mark.parametrize("start", list(OutboxState), ids=lambda state: state.value)
async def test_the_echo_is_a_receipt(store: Store, start: OutboxState) -> None:
    """An echo confirms whatever has not ended, even a row that was queued again meanwhile."""
    await put_in(store, start)

    [row] = await store.outbox.acknowledge(ACCOUNT, [own_post("a1", "pending-o1")], 30)

    assert row is not None
    assert row == await store.outbox.get(O1)
    assert row.state is (OutboxState.DEAD if start is OutboxState.DEAD else OutboxState.CONFIRMED)
    assert row.post_id == (None if start is OutboxState.DEAD else "a1")


async def test_an_echo_of_somebody_else_is_no_receipt(store: Store) -> None:
    """Another program may post with the same bot's token."""
    assert await store.outbox.acknowledge(ACCOUNT, [own_post("a1", "unknown")], 30) == (None,)


async def test_echoes_that_come_together(store: Store) -> None:
    """Each confirms its own row, by its marker where it has no pending id, and their channels are read up to them."""
    await store.outbox.put([outgoing("o1"), outgoing("o2"), outgoing("o3", account=OTHER)])
    posts = [
        own_post("a2", "pending-o1", create_at=20),
        own_post("a1", key="o2", create_at=10),
        own_post("a3", key="o3", create_at=15, channel_id=LAB),
        own_post("a4"),
    ]
    rows = await store.outbox.acknowledge(ACCOUNT, posts, 30, are_read=True)
    assert [row and row.post_id for row in rows] == ["a2", "a1", None, None]
    marks = await store.watermarks.all(ACCOUNT)
    assert [(mark.channel_id, mark.post_id, mark.create_at) for mark in marks] == [(LAB, "a3", 15), (TOWN, "a2", 20)]
    assert await store.outbox.acknowledge(ACCOUNT, posts[:2], 40) == rows[:2]


async def test_a_row_for_a_person_is_addressed_later(store: Store) -> None:
    """The direct channel becomes known after the row was put."""
    await store.outbox.put([outgoing("o1", channel_id="", to_user="anna")])
    await store.outbox.set_channel(O1, LAB)
    await store.outbox.mark_sending(O1, 20)

    row = await store.outbox.get(O1)

    assert row is not None
    assert (row.channel_id, row.to_user, row.body) == (LAB, "anna", outgoing("o1").body)


async def test_a_move_of_an_unknown_row_is_refused(store: Store) -> None:
    """Moving what isn't there is a mistake, not a no-op."""
    with pytest.raises(StoreError, match="no outbox row o1"):
        await store.outbox.mark_sending(O1, 1)
