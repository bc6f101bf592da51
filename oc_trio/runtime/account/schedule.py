"""Runs an account's cron jobs: at its time a job's text goes to the outbox, or its prompt to an agent.

A run is named by job and time, so that it happens once, whatever interrupts it. Of the runs that fell into
downtime, the job's `missed` says whether one is made up for.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import trio
from attrs import evolve, frozen

from oc_trio.config.accounts import Account, normalize_account_id
from oc_trio.config.load import Loaded
from oc_trio.config.services import CronJob, Missed
from oc_trio.core.access import Access
from oc_trio.core.backoff import RetryPolicy
from oc_trio.core.chat import Chat, Sender
from oc_trio.core.ledger import Source
from oc_trio.errors import MattermostError, MattermostUnavailable, TargetError
from oc_trio.ids import AgentId, SessionKey, UserId
from oc_trio.retry import RetryState, retrying
from oc_trio.runtime.account.cron_times import latest_run, next_run
from oc_trio.runtime.delivery.compose import EmptyMessage, MessageRequest, OutboundClient
from oc_trio.runtime.delivery.message_sender import MessageSender
from oc_trio.runtime.delivery.targets import Place
from oc_trio.runtime.error_boundary import DEFECT
from oc_trio.runtime.inbound.request_admission import RequestAdmission
from oc_trio.runtime.people import Caller
from oc_trio.telemetry.log import get_logger

T = TypeVar("T")

log = get_logger(part="schedule")

NOT_YET = "not run yet"
SKIPPED = "skipped: the gateway was not running"
NOBODY = UserId("cron")
# Short naps instead of one long sleep: the wall clock may be set, and a suspended machine stops Trio's clock.
_MAX_SLEEP_SECONDS = 30.0
# Later than this, a run counts as missed.
_LATE_MS = 300_000
_RETRY = RetryPolicy(initial=1.0, maximum=60.0)
_RETRY_SECONDS = 600.0


def jobs_of(loaded: Loaded, account: Account) -> dict[str, CronJob]:
    """The enabled jobs that an account posts."""
    cron = loaded.config.cron
    return {
        name: job
        for name, job in cron.jobs.items()
        if cron.enabled
        and job.enabled
        and (normalize_account_id(job.account) if job.account else loaded.default_account) == account.id
    }


@frozen(eq=False)
class Schedule:
    """The jobs of one account by name."""

    requests: RequestAdmission
    outbound: OutboundClient
    sender: MessageSender
    jobs: Mapping[str, CronJob]

    async def run(self) -> None:
        """Run all jobs when they are due; ends by cancellation, or when no job is ever due again."""
        async with trio.open_nursery() as nursery:
            for name, job in self.jobs.items():
                nursery.start_soon(self._run_job, name, job)

    async def _run_job(self, name: str, job: CronJob) -> None:
        base = await self._catch_up(name, job)
        while (due := next_run(job.expression, job.timezone, base)) is not None:
            await self._wait_until(due)
            await self._run_once(name, job, due)
            # Times that passed while the run itself took long are skipped, not run one after the other.
            base = max(due, latest_run(job.expression, job.timezone, self._now()) or due)
        log.warning("a scheduled job is never due", job=name, expression=job.expression)

    async def _catch_up(self, name: str, job: CronJob) -> int:
        """Run or skip what was missed. Returns the time from which on runs are still to come."""
        store, now = self.requests.services.store.cron, self._now()
        last = await store.last_run(name)
        if last is None:
            # A new job runs at its next time, and not for all the times before it was configured.
            await store.record_run(name, now, NOT_YET)
            return now
        due = next_run(job.expression, job.timezone, last.at)
        if due is None or due > now:
            return last.at
        missed = latest_run(job.expression, job.timezone, now) or due
        await self._run_once(name, job, missed)
        return missed

    async def _wait_until(self, due: int) -> None:
        # Not one long sleep: the wall clock may be set, and the machine may be suspended.
        while (left := due - self._now()) > 0:  # noqa: ASYNC110
            await trio.sleep(min(left / 1000, _MAX_SLEEP_SECONDS))

    async def _run_once(self, name: str, job: CronJob, at: int) -> None:
        store = self.requests.services.store.cron
        if self._now() - at > _LATE_MS and job.missed is Missed.SKIP:
            log.info("a scheduled run was missed", job=name)
            await store.record_run(name, at, SKIPPED)
            return
        result = f"failed: {DEFECT}"

        async def run() -> None:
            nonlocal result
            try:
                result = await self._run(name, job, at)
            except (TargetError, EmptyMessage, MattermostError) as problem:
                log.error("a scheduled job failed", job=name, problem=str(problem))
                result = f"failed: {problem}"
            else:
                log.info("a scheduled job ran", job=name, result=result)

        await self.requests.services.boundary.contain(run, "scheduled job", {"job": name})
        await store.record_run(name, at, result)

    async def _run(self, name: str, job: CronJob, at: int) -> str:
        place = await self._with_retries(lambda: self.outbound.targets.resolve(job.target))
        if job.prompt:
            return await self._ask(name, job, at, place)
        message = await self.outbound.compose(place, MessageRequest(job.message))

        async def queued() -> None:
            await self.requests.services.store.cron.record_run(name, at, "queued")

        result = await self.sender.send(message, f"cron.{name}.{at}", queued=queued)
        if result.problems:
            raise TargetError("; ".join(result.problems))
        return f"posted {' '.join(result.posts)}"

    async def _ask(self, name: str, job: CronJob, at: int, place: Place) -> str:
        """Start a turn with the prompt, in a conversation of the job's own; the answer goes to the target."""
        requests, services = self.requests, self.requests.services
        channel_id = await self._with_retries(lambda: self.outbound.channel_id(place))
        channel = await self._with_retries(lambda: services.directory.channel(channel_id))
        chat = Chat(channel.id, channel.type, channel.team_id)
        caller = Caller(Sender(NOBODY, name, is_bot=False), chat, Access(True, "cron"))
        trigger = f"cron:{name}:{at}"
        route = requests.route(caller, root_id="")
        message = requests.message(caller, route, trigger=trigger, source=Source.CRON, text=job.prompt, root_id="")
        agent = AgentId(job.agent) if job.agent else message.agent
        session = SessionKey(f"agent:{agent}:cron:{name}".lower())
        await requests.admit(evolve(message, agent=agent, session=session, reply_root=""), reason="cron")
        return f"asked {agent} ({trigger})"

    async def _with_retries(self, ask: Callable[[], Awaitable[T]]) -> T:
        """What `ask` gives; a server that is away is asked again for _RETRY_SECONDS. Raises MattermostUnavailable."""
        random, give_up_at = self.outbound.clock.random.random, trio.current_time() + _RETRY_SECONDS
        return await retrying(ask, RetryState(MattermostUnavailable, _RETRY, random, give_up_at=give_up_at))

    def _now(self) -> int:
        return self.requests.services.clock.now_ms()
