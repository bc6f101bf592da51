"""The scheduled jobs of file and journal, and the signal that they may have changed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from attrs import field

from oc_trio.classes import define
from oc_trio.config.accounts import normalize_account_id
from oc_trio.config.load import Loaded
from oc_trio.core.cron_jobs import Expression, JobSource, ScheduledJob
from oc_trio.ids import AccountId
from oc_trio.store.store import Store
from oc_trio.wakeup import Wakeup


@define(eq=False)
class JobTable:
    """One for all accounts; `loaded` gives the configuration in effect."""

    loaded: Callable[[], Loaded]
    _watchers: set[Wakeup] = field(init=False, factory=set)

    def changed(self) -> None:
        """Have every schedule look again."""
        for watcher in self._watchers:
            watcher.set()

    @contextmanager
    def watch(self) -> Iterator[Wakeup]:
        """What is set whenever the jobs may have changed, for as long as the block runs."""
        watcher = Wakeup()
        self._watchers.add(watcher)
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)

    async def jobs(self, store: Store) -> tuple[ScheduledJob, ...]:
        """All jobs, enabled or not. Raises StoreError."""
        return all_jobs(self.loaded(), await store.cron_jobs.all())


def all_jobs(loaded: Loaded, added: tuple[ScheduledJob, ...]) -> tuple[ScheduledJob, ...]:
    """The file's jobs, then those of the journal; one of the file hides one of the same id."""
    of_file = jobs_of_file(loaded)
    names = {job.id for job in of_file}
    # The file's wins: no command is to change what an operator has written there.
    return (*of_file, *(job for job in added if job.id not in names))


def jobs_of_file(loaded: Loaded) -> tuple[ScheduledJob, ...]:
    """The configuration's jobs. Each remembers what its agent said at earlier runs."""
    return tuple(
        ScheduledJob(
            id=name,
            timing=Expression(job.expression, job.timezone),
            target=job.target,
            text=job.message,
            prompt=job.prompt,
            agent=job.agent,
            account=job.account,
            conversation=name,
            missed=job.missed,
            enabled=job.enabled,
            source=JobSource.FILE,
        )
        for name, job in loaded.config.cron.jobs.items()
    )


def account_of(job: ScheduledJob, loaded: Loaded) -> AccountId:
    """The account that posts what the job has to say."""
    return normalize_account_id(job.account) if job.account else loaded.default_account
