"""The journal's own id."""

import sqlite3
from contextlib import closing
from pathlib import Path

from oc_trio.core.second_gateway import Installation
from oc_trio.store.retention import DAY_MS
from oc_trio.store.store import Store, open_store


async def test_it_is_made_once(store: Store) -> None:
    """The first start makes it; later starts and years of pruning keep it."""
    assert await store.installation.get() is None
    assert await store.installation.ensure("first", 10) == Installation("first", 10)
    await store.prune(100_000 * DAY_MS)
    assert await store.installation.ensure("second", 20) == Installation("first", 10)
    assert await store.installation.get() == Installation("first", 10)


async def test_a_backup_has_the_same(tmp_path: Path) -> None:
    """Restored, or moved to another machine, it is the same installation."""
    async with open_store(tmp_path / "journal") as store:
        await store.installation.ensure("first", 10)
        await store.backup(tmp_path / "copy")
    async with open_store(tmp_path / "copy") as restored:
        assert await restored.installation.ensure("second", 20) == Installation("first", 10)
    with closing(sqlite3.connect(tmp_path / "copy")) as copy:
        assert copy.execute("SELECT COUNT(*) FROM claims").fetchone() == (1,)
