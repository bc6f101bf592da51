from oc_trio.ids import AccountId, PostId
from oc_trio.store.pending_edits import PendingEdit
from oc_trio.store.retention import DAY_MS, Retention
from oc_trio.store.store import Store
from tests.store.rows import ACCOUNT


def doubt(name: str, text: str, until: int) -> PendingEdit:
    return PendingEdit(PostId(name), text, until)


async def test_the_youngest_whose_text_is_known(store: Store) -> None:
    """Posts that may still be edited, other accounts' and those whose time is over are not among them."""
    for each in (doubt("a", "A", 100), doubt("b", "", 300), doubt("c", "C", 200), doubt("d", "D", 300)):
        await store.pending_edits.put(ACCOUNT, each)
    await store.pending_edits.put(AccountId("other"), doubt("e", "E", 300))
    assert await store.pending_edits.with_final_text(ACCOUNT, 100, 9) == (doubt("c", "C", 200), doubt("d", "D", 300))
    assert await store.pending_edits.with_final_text(ACCOUNT, 0, 2) == (doubt("c", "C", 200), doubt("d", "D", 300))


async def test_the_last_word_about_a_post_counts(store: Store) -> None:
    """A post is edited again and has another text in the end."""
    await store.pending_edits.put(ACCOUNT, doubt("a", "A", 100))
    await store.pending_edits.put(ACCOUNT, doubt("a", "", 200))
    assert await store.pending_edits.with_final_text(ACCOUNT, 0, 9) == ()
    await store.pending_edits.put(ACCOUNT, doubt("a", "other", 300))
    assert await store.pending_edits.with_final_text(ACCOUNT, 0, 9) == (doubt("a", "other", 300),)


async def test_what_is_over_is_forgotten(store: Store) -> None:
    """Nothing stays for longer than a day beyond its time: until then a start may look at it."""
    await store.pending_edits.put(ACCOUNT, doubt("a", "A", 100))
    await store.pending_edits.put(ACCOUNT, doubt("b", "B", 300))
    assert await store.prune(DAY_MS + 200, Retention()) == 1
    assert await store.pending_edits.with_final_text(ACCOUNT, 0, 9) == (doubt("b", "B", 300),)
