"""Events that the program fails at: tried again a few times, then left out, so that one can't end an account for ever.

A crash at an event leaves the event unhandled, and the next connection brings it again. Kept over the restarts of an
account, forgotten with the process. Errors of the chat server or the journal say nothing about the event.
"""

from collections import OrderedDict
from types import TracebackType

from attrs import define, field, frozen

from oc_trio.errors import OcTrioError

MOST_STRIKES = 3
_MOST_KNOWN = 1000  # the oldest fall out and may be tried again


@define(eq=False)
class Strikes:
    """How often handling each thing raised an error that nobody expects."""

    _counts: OrderedDict[str, int] = field(init=False, factory=OrderedDict)

    def is_out(self, key: str) -> bool:
        return self._counts.get(key, 0) >= MOST_STRIKES

    def counting(self, key: str) -> "Attempt":
        """`with strikes.counting(key):` counts a strike if the body fails by a mistake of the program."""
        return Attempt(self, key)

    def strike(self, key: str) -> None:
        self._counts[key] = self._counts.pop(key, 0) + 1
        while len(self._counts) > _MOST_KNOWN:
            self._counts.popitem(last=False)


@frozen(eq=False)
class Attempt:
    """One try. Looks at what leaves its body and lets it pass; being cancelled is no mistake."""

    strikes: Strikes
    key: str

    def __enter__(self) -> None:
        return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and issubclass(kind, Exception) and not issubclass(kind, OcTrioError):
            self.strikes.strike(self.key)
