"""Every test that asks for `store` or `location` runs on each database."""

import os
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from oc_trio.store.store import Store, open_store
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
def postgres_url(cluster: Cluster) -> str:
    """An empty schema of the cluster."""
    return cluster.new_schema()


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
    """An open, empty journal."""
    async with open_store(location) as opened:
        yield opened
