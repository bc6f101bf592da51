"""What is in an exception group and in the groups inside it: nested nurseries wrap an error several times."""

from collections.abc import Iterator
from typing import TypeVar

E = TypeVar("E", bound=BaseException)


def leaves(problem: BaseException) -> Iterator[BaseException]:
    """The exceptions in all groups, in order; a single exception is its own leaf."""
    if isinstance(problem, BaseExceptionGroup):
        for inner in problem.exceptions:
            yield from leaves(inner)
    else:
        yield problem


def first_leaf(group: BaseExceptionGroup[E]) -> E:
    """The first of the group's exceptions that is no group."""
    one = group.exceptions[0]
    return first_leaf(one) if isinstance(one, BaseExceptionGroup) else one
