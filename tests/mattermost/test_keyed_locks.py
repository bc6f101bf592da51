"""One holder per key, in order of arrival, and no entry left behind."""

import trio

from oc_trio.mattermost.keyed_locks import KeyedLocks


async def test_keys_exclude_only_themselves(autojump_clock: trio.testing.MockClock) -> None:
    """Holders of one key take turns, holders of others do not wait, and the table empties again."""
    locks, entered = KeyedLocks(), list[tuple[str, float]]()

    async def hold(key: str, name: str, patience: float) -> None:
        with trio.move_on_after(patience):
            async with locks.hold(key):
                entered.append((name, trio.current_time()))
                await trio.sleep(1)

    async with trio.open_nursery() as nursery:
        for key, name, patience in [("a", "1", 9), ("a", "gives up", 0.5), ("a", "2", 9), ("b", "3", 9)]:
            nursery.start_soon(hold, key, name, patience)
            await trio.testing.wait_all_tasks_blocked()
        assert len(locks) == 2
    assert entered == [("1", 0.0), ("3", 0.0), ("2", 1.0)]
    assert len(locks) == 0
