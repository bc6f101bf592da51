"""Makes one run of a scheduled job: its text goes to the outbox, or its prompt to an agent; the history says so.

A run has a name, of which the ids of its posts and its trigger are made, so that it happens once, whatever
interrupts it. When a job is due is `runtime.schedule.schedule`.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio
from attrs import evolve

from oc_trio.classes import frozen
from oc_trio.core.access import Access
from oc_trio.core.backoff import RetryPolicy
from oc_trio.core.chat import Chat, Sender
from oc_trio.core.cron_jobs import JobRefused, ScheduledJob
from oc_trio.core.cron_runs import JobRun, RunState
from oc_trio.core.ledger import Source
from oc_trio.errors import MattermostError, MattermostUnavailable, TargetError
from oc_trio.ids import AgentId, ChannelId, OutboxId, SessionKey, UserId
from oc_trio.retry import RetryState, retrying
from oc_trio.runtime.agents import SessionSettings
from oc_trio.runtime.delivery.compose import EmptyMessage, MessageRequest, OutboundClient
from oc_trio.runtime.delivery.message_sender import MessageSender
from oc_trio.runtime.delivery.targets import Place
from oc_trio.runtime.error_boundary import DEFECT
from oc_trio.runtime.inbound.request_admission import RequestAdmission
from oc_trio.runtime.people import Caller
from oc_trio.store.sessions import SessionUse
from oc_trio.telemetry.log import get_logger

T = TypeVar("T")

log = get_logger(part="job_runner")

NOBODY = UserId("cron")
# A run may be a minute late; a server that has just come back is spared.
_RETRY = RetryPolicy(initial=1.0, maximum=60.0)
# Long enough for an upgrade of the server; then the run has failed, and the history says so.
_RETRY_SECONDS = 600.0


@frozen(eq=False)
class JobRunner:
    """One account's."""

    requests: RequestAdmission
    outbound: OutboundClient
    sender: MessageSender

    async def run(self, job: ScheduledJob, run: JobRun) -> None:
        """Make the run, and record what became of it. Raises StoreError."""
        services = self.requests.services
        run = evolve(run, ran_at=self.now())
        # What a defect leaves: `contain` logs it, and the history has to say something.
        ended = evolve(run, state=RunState.FAILED, reason=DEFECT)

        async def make() -> None:
            nonlocal ended
            try:
                ended = await self._ask(job, run) if job.prompt else await self._post(job, run)
            except (TargetError, EmptyMessage, MattermostError, JobRefused) as problem:
                log.error("a scheduled job failed", job=job.id, problem=str(problem))
                ended = evolve(run, state=RunState.FAILED, reason=str(problem))
            else:
                log.info("a scheduled job ran", job=job.id, result=ended.result)

        await services.boundary.contain(make, "scheduled job", {"job": job.id})
        await self.record(ended)

    async def begun(self, run: JobRun) -> JobRun | None:
        """The run as far as an earlier process made it before it could write that down; None if it made nothing."""
        store = self.requests.services.store
        # The first part is queued before any other, so it is there wherever one is.
        if await store.outbox.get(OutboxId(f"{run.id}.0")) is not None:
            return evolve(run, state=RunState.QUEUED)
        obligation = await store.obligations.by_trigger(self.requests.services.account, run.trigger)
        return None if obligation is None else evolve(run, state=RunState.ASKED, channel_id=obligation.channel_id)

    async def record(self, run: JobRun) -> None:
        """Write the run down, with the time where it is over. Raises StoreError."""
        at = self.now()
        begun = evolve(run, ran_at=run.ran_at or at)
        await self.requests.services.store.cron_runs.record(
            evolve(begun, ended_at=at) if run.state.is_end and not run.ended_at else begun
        )

    async def _post(self, job: ScheduledJob, run: JobRun) -> JobRun:
        place = await self._with_retries(lambda: self.outbound.targets.resolve(job.target))
        message = await self.outbound.compose(place, MessageRequest(job.text))
        # Before it is sent: a run that is cut off has the channel in its history.
        run = evolve(run, channel_id=message.channel_id)

        async def queued() -> None:
            await self.record(evolve(run, state=RunState.QUEUED))

        result = await self.sender.send(message, run.id, queued=queued)
        if not run.channel_id:
            # A direct message was composed before its channel was open.
            run = evolve(run, channel_id=await self._channel_of(place))
        if result.problems:
            log.error("a scheduled job failed", job=job.id, problem="; ".join(result.problems))
        state = RunState.FAILED if result.problems else RunState.DELIVERED
        return evolve(run, state=state, posts=result.posts, reason="; ".join(result.problems))

    async def _channel_of(self, place: Place) -> ChannelId:
        """The channel in which posts stand; empty where the server can't say it now."""
        try:
            return await self.outbound.channel_id(place)
        except MattermostError:
            return ChannelId("")

    async def _ask(self, job: ScheduledJob, run: JobRun) -> JobRun:
        """Start a turn with the prompt, in a conversation of the job's own; the answer goes to the target."""
        requests, services = self.requests, self.requests.services
        if job.model and job.model not in services.agents.models:
            raise JobRefused(f"there is no model {job.model} here any more")
        if job.agent and AgentId(job.agent) not in services.agents.setups:
            raise JobRefused(f"there is no agent {job.agent} here any more")
        place = await self._with_retries(lambda: self.outbound.targets.resolve(job.target))
        channel_id = await self._with_retries(lambda: self.outbound.channel_id(place))
        channel = await self._with_retries(lambda: services.directory.channel(channel_id))
        chat = Chat(channel.id, channel.type, channel.team_id)
        caller = Caller(Sender(NOBODY, job.label, is_bot=False), chat, Access(True, "cron"))
        route = requests.route(caller, root_id="")
        message = requests.message(caller, route, trigger=run.trigger, source=Source.CRON, text=job.prompt, root_id="")
        agent = AgentId(job.agent) if job.agent else message.agent
        session = SessionKey(f"agent:{agent}:cron:{job.conversation or job.id}".lower())
        message = evolve(message, agent=agent, session=session, reply_root="", time_limit=job.time_limit)
        # Not where a crash has this run made again: its turn may be at work in the conversation that this empties.
        if await services.store.obligations.by_trigger(services.account, run.trigger) is None:
            await self._prepare(job, session, channel_id, agent)
        await requests.admit(message, reason="cron")
        return evolve(run, state=RunState.ASKED, channel_id=channel_id, reason=str(agent))

    async def _prepare(self, job: ScheduledJob, session: SessionKey, channel_id: ChannelId, agent: AgentId) -> None:
        """Have the conversation as the job wants it: its model, and no memory where each run begins anew."""
        services, now = self.requests.services, self.now()
        known = await services.store.sessions.settings(session)
        wanted = SessionSettings(model=job.model, thinking=job.thinking).to_json()
        # Not at each run: nearly always nothing has changed, and a write waits for the disk.
        if known != wanted:
            use = SessionUse(session, services.account, channel_id, "", agent, now)
            await services.store.sessions.touch(use)
            await services.store.sessions.set_settings(session, wanted)
        if not job.conversation:
            await services.store.sessions.reset(session, now)

    async def _with_retries(self, ask: Callable[[], Awaitable[T]]) -> T:
        """What `ask` gives; a server that is away is asked again for _RETRY_SECONDS. Raises MattermostUnavailable."""
        random, give_up_at = self.outbound.clock.random.random, trio.current_time() + _RETRY_SECONDS
        return await retrying(ask, RetryState(MattermostUnavailable, _RETRY, random, give_up_at=give_up_at))

    def now(self) -> int:
        """Milliseconds since the epoch."""
        return self.requests.services.clock.now_ms()
