"""Rows whose JSON can't be read: the file is sound as SQLite sees it, and yet somebody or something has changed it.

What we wrote we can read, so such a row is damage: the gateway ends with it rather than lose what it stood for.
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
)
_PAGE = 500
_MOST_NAMED = 20


# Whatever reading a value of the wrong shape raises.
ODD_SHAPE = (ValueError, KeyError, TypeError, AttributeError)


@contextmanager
def reading(table: str, key: str, more: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Around the reading of a row's JSON. Raises StoreUnusable, which names the row and what to do, for what is no JSON
    and for errors of the types `more`. JSON of another shape is for its reader to judge.
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
    """The rows whose JSON is none, by table and key; the first ones where there are many."""
    found: list[str] = []
    for table, key, column in _COLUMNS:
        last: str | int = 0 if key == "serial" else ""
        sql = f"SELECT {key}, {column} FROM {table} WHERE {key} > ? ORDER BY {key} LIMIT {_PAGE}"  # noqa: S608 - ours
        while rows := tx.all(sql, last):
            last = rows[-1][0]
            found += [f"{table}, {key} {row[0]}: {column} is no JSON" for row in rows if not _is_json(str(row[1]))]
            if len(found) > _MOST_NAMED:
                return (*found[:_MOST_NAMED], "and more")
    return tuple(found)


def _is_json(text: str) -> bool:
    try:
        return not text or bool(json.loads(text) is not None)
    except (ValueError, RecursionError):
        return False
