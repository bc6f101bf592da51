"""Stores a tuple of ids in one text column: joined by spaces, which no id contains."""

from collections.abc import Iterable

from oc_trio.ids import PostId


def join_ids(ids: Iterable[str]) -> str:
    return " ".join(ids)


def split_posts(text: str) -> tuple[PostId, ...]:
    return tuple(PostId(part) for part in text.split())
