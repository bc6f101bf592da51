"""Time and chance: real where nobody says otherwise, repeatable where somebody does."""

import re
import time
from random import Random

from oc_trio.runtime.clock import Clock


def test_ids_have_mattermosts_form_and_repeat_with_the_seed() -> None:
    """26 of [a-z0-9]; the same seed names the same things."""
    first, again = Clock(random=Random(7)), Clock(random=Random(7))
    ids = [first.new_id() for _ in range(50)]
    assert [again.new_id() for _ in range(50)] == ids
    assert len(set(ids)) == 50
    assert all(re.fullmatch(r"[a-z0-9]{26}", each) for each in ids)


def test_the_default_clock_is_the_wall_clock_in_milliseconds() -> None:
    """Whole milliseconds since the epoch."""
    before = time.time_ns() // 1_000_000
    now = Clock().now_ms()
    assert isinstance(now, int)
    assert before <= now <= time.time_ns() // 1_000_000


def test_by_default_ids_differ() -> None:
    """Without a seed, chance is the system's."""
    assert Clock().new_id() != Clock().new_id()
