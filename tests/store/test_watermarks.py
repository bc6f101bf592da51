import pytest

from oc_trio.store.store import Store
from oc_trio.store.watermarks import WatermarkRow
from tests.store.rows import ACCOUNT, LAB, OTHER, TOWN, post

MOVES = [
    pytest.param("p5", 50, False, id="the same post"),
    pytest.param("p4", 50, False, id="an id before it in the same millisecond"),
    pytest.param("p6", 50, True, id="an id after it in the same millisecond"),
    pytest.param("p9", 49, False, id="an older post"),
    pytest.param("p1", 51, True, id="a younger post"),
]


@pytest.mark.parametrize(("name", "at", "moves"), MOVES)
async def test_a_watermark_only_moves_forward(store: Store, name: str, at: int, moves: bool) -> None:
    """Order is (create_at, post id)."""
    await store.watermarks.advance(ACCOUNT, TOWN, post("p5"), 50)

    assert await store.watermarks.advance(ACCOUNT, TOWN, post(name), at) is moves

    expected = WatermarkRow(TOWN, post(name), at) if moves else WatermarkRow(TOWN, post("p5"), 50)
    assert await store.watermarks.all(ACCOUNT) == (expected,)


async def test_a_channel_starts_once(store: Store) -> None:
    """Starting a channel that is known leaves its watermark where it was."""
    assert await store.watermarks.start(ACCOUNT, TOWN, 100)
    assert not await store.watermarks.start(ACCOUNT, TOWN, 200)

    assert await store.watermarks.all(ACCOUNT) == (WatermarkRow(TOWN, post(""), 100),)
    assert await store.watermarks.advance(ACCOUNT, TOWN, post("p1"), 100)


async def test_a_channel_can_be_forgotten(store: Store) -> None:
    """A channel that we were removed from has no watermark; other channels and accounts keep theirs."""
    for account in (ACCOUNT, OTHER):
        await store.watermarks.start(account, TOWN, 1)
        await store.watermarks.start(account, LAB, 2)

    await store.watermarks.forget(ACCOUNT, TOWN)

    assert [mark.channel_id for mark in await store.watermarks.all(ACCOUNT)] == [LAB]
    assert [mark.channel_id for mark in await store.watermarks.all(OTHER)] == [LAB, TOWN]


async def test_what_was_read_moves_several_forward(store: Store) -> None:
    """None of them back, and only this account's."""
    await store.watermarks.advance(ACCOUNT, TOWN, post("p5"), 50)
    await store.watermarks.advance(ACCOUNT, LAB, post("p9"), 90)
    await store.watermarks.start(OTHER, TOWN, 1)

    await store.watermarks.read_until(ACCOUNT, {TOWN: 70, LAB: 70})

    assert await store.watermarks.all(ACCOUNT) == (WatermarkRow(LAB, post("p9"), 90), WatermarkRow(TOWN, post(""), 70))
    assert await store.watermarks.all(OTHER) == (WatermarkRow(TOWN, post(""), 1),)


async def test_what_came_before_the_first_start_is_known_for_a_month(store: Store) -> None:
    """By channel and account; of posts that nobody would read any more nothing is kept."""
    day = 24 * 3600 * 1000
    now = 100 * day
    await store.watermarks.start_all(ACCOUNT, {TOWN: now, LAB: 1}, {TOWN: now - 1, LAB: 0}, now)
    assert await store.watermarks.began_at(ACCOUNT, now + 30 * day) == {TOWN: now - 1}
    assert await store.watermarks.began_at(OTHER, now) == {}
    assert await store.watermarks.began_at(ACCOUNT, now + 32 * day) == {}
