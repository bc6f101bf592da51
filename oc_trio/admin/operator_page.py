"""What the status page shows and does beyond the status, for operators who have logged in: given by the runtime."""

from collections.abc import Awaitable, Callable, Mapping

from attrs import field

from oc_trio.admin.tables import Chart, Table
from oc_trio.classes import frozen
from oc_trio.errors import OcTrioError

# Gets the fields of a form; returns a sentence about what was done. Raises ActionRefused.
PerformAction = Callable[[Mapping[str, str]], Awaitable[str]]


class ActionRefused(OcTrioError):
    """What an operator asked for can't be done; str() says why."""


@frozen(eq=False)
class OperatorPage:
    """`read` gives the tables and charts as they are now; `actions` has what can be done, by name."""

    read: Callable[[], Awaitable[tuple[tuple[Table, ...], tuple[Chart, ...]]]]
    actions: Mapping[str, PerformAction] = field(factory=dict)
    # Makes the next `read` look at everything again.
    forget: Callable[[], None] = lambda: None
