"""Where a journal is: from a file's path or a URL to the driver of its database."""

from enum import Enum
from pathlib import Path

from oc_trio.store.engine import Driver
from oc_trio.store.sqlite import SqliteDriver

POSTGRES = ("postgresql://", "postgres://")


class Purpose(Enum):
    """What a connection is for, which says how long it may wait."""

    JOURNAL = "journal"
    LEASES = "leases"
    MIGRATIONS = "migrations"


def is_postgres(location: str | Path) -> bool:
    return str(location).startswith(POSTGRES)


def driver_of(location: str | Path, purpose: Purpose = Purpose.JOURNAL, *, create: bool = False) -> Driver:
    """The driver; `create` makes a file that is not there. Raises StoreUnusable where psycopg is missing."""
    if is_postgres(location):
        # Only here: psycopg comes with an extra and costs more to import than the rest of the store.
        from oc_trio.store import postgres

        limits = {
            Purpose.JOURNAL: postgres.JOURNAL,
            Purpose.LEASES: postgres.LEASES,
            Purpose.MIGRATIONS: postgres.MIGRATIONS,
        }
        return postgres.PostgresDriver(str(location), limits[purpose])
    return SqliteDriver(Path(location), create=create)
