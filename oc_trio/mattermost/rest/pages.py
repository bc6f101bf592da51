"""Pagination, and the decoding of lists."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from oc_trio.errors import PayloadError
from oc_trio.ids import UserId
from oc_trio.mattermost.transport import Transport

PER_PAGE = 200  # the server cuts larger pages to this
# A server that never ends must not keep us reading for ever.
MAX_PAGES = 500

T = TypeVar("T")


async def all_pages(page: Callable[[int], Awaitable[Sequence[T]]]) -> list[T]:
    """Every item of pages 0, 1, ... until one is not full; at most 100,000 items."""
    all_items: list[T] = []
    for number in range(MAX_PAGES):
        items = await page(number)
        all_items += items
        if len(items) < PER_PAGE:
            break
    return all_items


def rows(answer: Any, what: str) -> list[dict[str, Any]]:
    """`answer` as a list of objects; null is an empty list, as Go writes it."""
    if answer is None:
        return []
    if not isinstance(answer, list) or not all(isinstance(row, dict) for row in answer):
        raise PayloadError(f"{what}: expected a list of objects")
    return answer


def many(answer: Any, decode: Callable[[object], T], what: str) -> list[T]:
    """Each object of a list, decoded."""
    return [decode(row) for row in rows(answer, what)]


def id_list(objects: list[dict[str, Any]], key: str, what: str) -> list[str]:
    """The string under `key` of each row."""
    ids = [row.get(key) for row in objects]
    if not all(isinstance(one, str) and one for one in ids):
        raise PayloadError(f"{what}: a row without {key}")
    return [str(one) for one in ids]


async def member_ids(transport: Transport, path: str) -> tuple[UserId, ...]:
    """The ids of all members of what `path` lists, page by page."""

    async def page(number: int) -> list[UserId]:
        params = {"page": number, "per_page": PER_PAGE}
        answer = await transport.request("GET", path, params=params)
        return [UserId(user_id) for user_id in id_list(rows(answer, path), "user_id", path)]

    return tuple(await all_pages(page))
