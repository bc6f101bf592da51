"""Every test that asks for `store` or `location` runs on each database."""

import os
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from oc_trio.store.store import Store, open_store
from tests.journals import empty_journal, template
from tests.store.cluster import Cluster, binaries, do_without, open_cluster
from tests.store.rows import Location


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A cluster for the whole run; without PostgreSQL the tests are skipped, except where CI=true."""
    programs = binaries()
    if programs is None:
        do_without(os.environ)
    with open_cluster(programs, "fsync=off", "synchronous_commit=off", "deadlock_timeout=20ms") as running:
        yield running


@pytest.fixture
def empty_postgres_url(cluster: Cluster) -> str:
    """An empty schema of the cluster."""
    return cluster.new_schema()


@pytest.fixture
def postgres_url(cluster: Cluster) -> Iterator[str]:
    """A journal without rows in the cluster."""
    with cluster.journal() as url:
        yield url


@pytest.fixture(params=["sqlite", "inline", pytest.param("postgres", marks=pytest.mark.postgres)])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Location]:
    """A place for a journal that can be opened again and again."""
    if request.param == "sqlite":
        yield tmp_path / "state" / "journal.sqlite"
    elif request.param == "inline":
        with closing(sqlite3.connect(":memory:")) as connection:
            yield connection
    else:
        yield str(request.getfixturevalue("postgres_url"))


@pytest.fixture
async def store(location: Location) -> AsyncIterator[Store]:
    """An open journal without rows. `test_migrations`, and whoever asks for `location`, have it migrated."""
    if isinstance(location, sqlite3.Connection):
        async with empty_journal() as journal, open_store(journal) as opened:
            yield opened
        return
    if isinstance(location, Path):
        location.parent.mkdir(mode=0o700)
        location.touch(mode=0o600)
        location.write_bytes(await template())
    async with open_store(location) as opened:
        yield opened
