"""Which gateway processes share a journal, and which of them serves which account: as the database has it."""

from oc_trio.classes import frozen
from oc_trio.ids import AccountId


@frozen
class ProcessInfo:
    """What a process says of itself. `started_at` is in milliseconds, by its own clock; `url` is its admin API's.

    `accounts` are those that it could serve. One that is `draining` gets no further account.
    """

    id: str
    host: str
    pid: int
    version: str
    started_at: int
    url: str = ""
    draining: bool = False
    accounts: tuple[AccountId, ...] = ()


@frozen
class ProcessRow(ProcessInfo):
    """`left_ms`: how long it counts as alive unless it is heard of again, by the database's clock; dead at 0 and below.

    `schema` is the newest schema of the journal that it knows.
    """

    left_ms: int = 0
    schema: int = 0

    @property
    def is_alive(self) -> bool:
        return self.left_ms > 0


@frozen
class LeaseRow:
    """`holder` is a process's id, empty where the lease was given back; `epoch` is that of the last holder, and grows.

    `left_ms` is by the database's clock: the lease has expired at 0 and below. `since` is when the holder got it, in
    milliseconds, by the database's clock.
    """

    account: AccountId
    holder: str
    epoch: int
    left_ms: int
    since: int

    @property
    def is_free(self) -> bool:
        return not self.holder or self.left_ms <= 0


@frozen
class Membership:
    """`processes` in the order in which they started, the dead among them; `leases` by account.

    An account that nobody has served yet has no lease: it can be acquired with the expected epoch 0. `now_ms` is the
    database's time.
    """

    processes: tuple[ProcessRow, ...] = ()
    leases: tuple[LeaseRow, ...] = ()
    now_ms: int = 0
