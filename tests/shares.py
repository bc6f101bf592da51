"""The order of tests where several workers run them: a long test at the end would have one worker wait for another."""

from collections.abc import Iterable
from itertools import groupby
from math import ceil
from typing import NamedTuple, TypeVar

T = TypeVar("T")


class Entry(NamedTuple):
    """What the order of a test goes by."""

    module: str
    is_slow: bool


def slow_first(tests: Iterable[tuple[Entry, T]], workers: int) -> list[T]:
    """Each worker's share, an equal part of this list, begins with slow tests; those of a module stay together."""
    slow: list[tuple[str, T]] = []
    quick: list[tuple[str, T]] = []
    for entry, test in tests:
        (slow if entry.is_slow else quick).append((entry.module, test))
    shares: list[list[T]] = [[] for _ in range(workers)]
    for _, group in groupby(slow, key=lambda pair: pair[0]):
        min(shares, key=len).extend(test for _, test in group)
    rest = [test for _, test in quick]
    for number, share in enumerate(shares):
        size = ceil((len(rest) + sum(map(len, shares[number:]))) / (workers - number))
        count = max(0, size - len(share))
        share += rest[:count]
        rest = rest[count:]
    return [test for share in shares for test in share]
