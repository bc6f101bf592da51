"""A run of a job by the clock, as the history keeps it: when it was due, when it ran, what became of it."""

from enum import Enum

from oc_trio.classes import frozen
from oc_trio.ids import AccountId, ChannelId, OutboxId, PostId

# Asked for by hand longer ago than this, a run is not made any more.
STALE_MS = 600_000


class RunState(Enum):
    """`WANTED`: asked for by hand. `RUNNING`: begun. `QUEUED`: its posts are in the outbox. `ASKED`: its prompt is an
    obligation. The others are ends.
    """

    WANTED = "wanted"
    RUNNING = "running"
    QUEUED = "queued"
    ASKED = "asked"
    DELIVERED = "delivered"
    SILENT = "silent"
    FAILED = "failed"
    SKIPPED = "skipped"

    @property
    def is_end(self) -> bool:
        return self in _ENDS


_ENDS = frozenset({RunState.DELIVERED, RunState.SILENT, RunState.FAILED, RunState.SKIPPED})


@frozen
class JobRun:
    """Times are in milliseconds, 0 for not yet. `due_at` is the scheduled time, for one by hand when it was asked for.
    `posts` stand in `channel_id`; `reason` says why it failed or was skipped, or what is missing of it.
    """

    id: OutboxId
    job: str
    due_at: int
    account: AccountId = AccountId("")
    by_hand: bool = False
    state: RunState = RunState.RUNNING
    ran_at: int = 0
    ended_at: int = 0
    channel_id: ChannelId = ChannelId("")
    posts: tuple[PostId, ...] = ()
    reason: str = ""

    @property
    def trigger(self) -> str:
        """The trigger of its prompt, by which `oc-trio explain` knows it."""
        return f"cron:{self.job}:{self.id.removeprefix(f'cron.{self.job}.')}"

    @property
    def result(self) -> str:
        """One line for people."""
        match self.state:
            case RunState.DELIVERED:
                return f"posted {' '.join(self.posts)}" + (f"; {self.reason}" if self.reason else "")
            case RunState.ASKED:
                return f"asked {self.reason} ({self.trigger})"
            case RunState.FAILED | RunState.SKIPPED:
                return f"{self.state.value}: {self.reason}"
            case RunState.WANTED | RunState.RUNNING | RunState.QUEUED | RunState.SILENT:
                return str(self.state.value)


def scheduled_run(job: str, account: AccountId, at: int) -> JobRun:
    """The run of a scheduled time: its id is made of job and time, so that it happens once."""
    return JobRun(OutboxId(f"cron.{job}.{at}"), job, at, account)


def run_by_hand(job: str, account: AccountId, now: int, unique: str) -> JobRun:
    """A run that somebody asks for beside the schedule."""
    return JobRun(OutboxId(f"cron.{job}.hand-{unique}"), job, now, account, by_hand=True, state=RunState.WANTED)
