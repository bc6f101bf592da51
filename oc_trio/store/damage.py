"""Finds rows whose JSON can't be read, although SQLite reports no damage.

The gateway only writes JSON that it can read, so something else changed such a row. It stops with an error then, for
going on would silently lose the message or the answer in that row.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from oc_trio.errors import StoreUnusable
from oc_trio.store.engine import Tx

# Table, key, column.
_COLUMNS = (
    ("obligations", "id", "payload"),
    ("turns", "id", "final"),
    ("outbox", "id", "body"),
    ("sessions", "key", "settings"),
    ("transcripts", "serial", "entry"),
    ("context", "serial", "payload"),
    ("cron_jobs", "id", "body"),
)
# Bounds memory: a row may hold a whole answer.
_PAGE = 500
# Enough to see what was hit; a torn disk damages thousands of rows.
_MAX_NAMED = 20


# What readers raise for JSON of the wrong shape.
WRONG_SHAPE = (ValueError, KeyError, TypeError, AttributeError)


@contextmanager
def reading(table: str, key: str, more: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Wraps the decoding of a row's JSON: translates JSONDecodeError, and errors of the types `more`, to StoreUnusable,
    which names the row and what to do. Without `more`, JSON of the wrong shape is left to the caller.
    """
    damage: tuple[type[Exception], ...] = (json.JSONDecodeError, *more)
    try:
        yield
    except damage as error:
        raise StoreUnusable(
            f"the journal is damaged: a row of {table}, {key}, can't be read ({type(error).__name__}): put a backup in "
            "its place, or delete that row to go on without it; `oc-trio doctor` names all such rows"
        ) from None


def damaged_rows(tx: Tx) -> tuple[str, ...]:
    """The rows whose JSON can't be decoded, as "table, key: column" sentences; at most the first 20."""
    problems: list[str] = []
    for table, key, column in _COLUMNS:
        last: str | int = 0 if key == "serial" else ""
        sql = f"SELECT {key}, {column} FROM {table} WHERE {key} > ? ORDER BY {key} LIMIT {_PAGE}"  # noqa: S608 - ours
        # By pages: a transcript table may hold hundreds of thousands of rows.
        while rows := tx.all(sql, last):
            last = rows[-1][0]
            problems += [f"{table}, {key} {row[0]}: {column} is no JSON" for row in rows if not _is_json(str(row[1]))]
            if len(problems) > _MAX_NAMED:
                return (*problems[:_MAX_NAMED], "and more")
    return tuple(problems)


def _is_json(text: str) -> bool:
    try:
        # An empty column is no damage: turns have no `final` until their result is decided.
        # No column is ever written as null: no row's reader takes it.
        return not text or bool(json.loads(text) is not None)
    # Brackets nested thousands deep end in a RecursionError; the gateway writes nothing like it.
    except (ValueError, RecursionError):
        return False
