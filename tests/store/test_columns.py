from hypothesis import given
from hypothesis import strategies as st

from oc_trio.store.columns import join_ids, split_posts

IDS = st.lists(st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=26))


@given(IDS)
def test_ids_survive_a_column(ids: list[str]) -> None:
    """What is joined is read back as it was, the empty tuple included."""
    assert list(split_posts(join_ids(ids))) == ids
