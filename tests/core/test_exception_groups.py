"""What is in exception groups."""

from oc_trio.core.exception_groups import first_leaf, leaves


def test_leaves_are_found_in_order_however_deep() -> None:
    """Groups are looked into, and a single exception is its own leaf."""
    one, two, three = ValueError("1"), KeyError("2"), OSError("3")
    group = ExceptionGroup("", [ExceptionGroup("", [one, two]), three])
    assert list(leaves(group)) == [one, two, three]
    assert list(leaves(one)) == [one]
    assert first_leaf(group) is one
