"""The order in which several workers run the tests."""

from tests.shares import Entry, slow_first


def test_each_share_begins_with_slow_tests() -> None:
    """A module's slow tests stay with one worker, and no test is lost."""
    tests = [(Entry(name[0], name[0] in "bd"), name) for name in ("a1", "a2", "b1", "b2", "c1", "d1", "e1", "e2")]
    assert slow_first(tests, 1) == ["b1", "b2", "d1", "a1", "a2", "c1", "e1", "e2"]
    assert slow_first(tests, 2) == ["b1", "b2", "a1", "a2", "d1", "c1", "e1", "e2"]
    assert slow_first(tests[:3], 2) == ["b1", "a1", "a2"]
