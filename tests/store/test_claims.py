import trio

from oc_trio.store.store import Store


async def test_the_first_has_it_until_it_expires(store: Store) -> None:
    """A later claim learns the first one's value; after the expiry the claim is free again."""
    assert await store.claims.claim("button", "n1", 10, 100, "first") == (True, "first")
    assert await store.claims.claim("button", "n1", 20, 200, "second") == (False, "first")
    assert await store.claims.claim("hook", "n1", 20, 200, "other scope") == (True, "other scope")
    assert await store.claims.claim("button", "n1", 99, 200, "early") == (False, "first")
    assert await store.claims.claim("button", "n1", 100, 200, "third") == (True, "third")


async def test_of_many_clicks_one_wins(store: Store) -> None:
    """Twenty clicks on one button at once are one click."""
    won = []

    async def click(number: int) -> None:
        fresh, value = await store.claims.claim("button", "n1", 1, 100, str(number))
        won.append((fresh, value))

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(click, number)

    assert sum(fresh for fresh, _ in won) == 1
    assert len({value for _, value in won}) == 1
