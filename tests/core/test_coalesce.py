from hypothesis import given
from hypothesis import strategies as st

from oc_trio.core.coalesce import CoalesceRules, PendingText, after_silence, due_at, flush, with_block

RULES = CoalesceRules(min_chars=10, max_chars=20, idle=1.0)


def test_small_blocks_wait_and_are_joined() -> None:
    """Too little waits however long the silence; enough goes out after it."""
    waiting, posts = with_block(PendingText(), "four", 1.0, RULES)
    assert (posts, due_at(waiting, RULES)) == ((), None)
    waiting, posts = with_block(waiting, "more\n", 2.0, RULES)
    assert (posts, due_at(waiting, RULES)) == ((), 3.0)
    assert after_silence(waiting, 2.9, RULES) == (waiting, ())
    waiting, posts = after_silence(waiting, 3.0, RULES)
    assert (waiting.text, posts) == ("", ("four\n\nmore",))


def test_a_full_post_goes_out_at_once() -> None:
    """Whole blocks stay together where they make a post of fair size."""
    waiting, _ = with_block(PendingText(), "a" * 12, 0.0, RULES)
    waiting, posts = with_block(waiting, "b" * 12, 0.1, RULES)
    assert (waiting.text, posts) == ("b" * 12, ("a" * 12,))


def test_a_long_block_is_cut() -> None:
    """What is over the limit is sent, the rest waits."""
    waiting, posts = with_block(PendingText(), "a" * 45, 0.0, RULES)
    assert (waiting.text, posts) == ("a" * 5, ("a" * 20, "a" * 20))


def test_the_end_flushes_whatever_is_left() -> None:
    """At the end the rest is flushed, however short it is."""
    waiting, _ = with_block(PendingText(), "x", 0.0, RULES)
    waiting, posts = flush(waiting)
    assert posts == ("x",)
    assert flush(waiting) == (waiting, ())


@given(st.lists(st.text("ab \n", max_size=30), max_size=10))
def test_every_character_is_sent_once_and_in_order(blocks: list[str]) -> None:
    """Posts are the blocks, white space apart, and none is longer than allowed."""
    waiting, sent = PendingText(), list[str]()
    for at, block in enumerate(blocks):
        waiting, posts = with_block(waiting, block, float(at), RULES)
        sent += posts
    waiting, posts = flush(waiting)
    sent += posts
    assert "".join("".join(sent).split()) == "".join("".join(blocks).split())
    assert all(0 < len(post) <= RULES.max_chars for post in sent)
