"""Runs a scheduled job by hand: by the running gateway, or without one from here, with no tools and no memory.

The schedule does not change. Either way the history gets a row.
"""

import trio
from attrs import evolve

from oc_trio.agent.http_client import open_model_client
from oc_trio.agent.port import Message, Role, TurnRequest
from oc_trio.config.load import Loaded
from oc_trio.core.cron_jobs import ScheduledJob
from oc_trio.core.cron_runs import JobRun, RunState
from oc_trio.core.exception_groups import first_leaf
from oc_trio.core.presentation import Presentation
from oc_trio.core.turn_events import Failed, Final
from oc_trio.errors import AgentFailed, OcTrioError
from oc_trio.ids import AgentId, SessionKey
from oc_trio.network.tls import client_tls
from oc_trio.runtime.account.dependencies import Dependencies
from oc_trio.runtime.account.outbound_client import open_outbound_client, pick_account
from oc_trio.runtime.agents import SessionSettings, build_agents
from oc_trio.runtime.delivery.compose import EmptyMessage, MessageRequest, SentPosts
from oc_trio.runtime.local_time import time_line
from oc_trio.store.store import Store

INTERRUPTED = "interrupted"
# Whoever has pressed Ctrl-C waits for this.
_RECORD_SECONDS = 5.0
# A gateway takes a run within milliseconds, and a text is posted in some tenths of a second.
_FIRST_LOOK_SECONDS = 0.05


async def wait_for_run(store: Store, run: JobRun, *, seconds: float, every: float) -> JobRun:
    """The run as it stands when it is over, or after that many seconds; looked at ever more seldom, at least each
    `every` seconds. Raises StoreError.
    """
    current, pause = run, _FIRST_LOOK_SECONDS
    with trio.move_on_after(seconds):
        while not current.state.is_end:
            await trio.sleep(min(pause, every))
            # Most runs are over at once; a long one is not worth a look twenty times a second.
            pause *= 2
            current = await store.cron_runs.get(run.id) or current
    return current


async def run_job_now(
    store: Store, loaded: Loaded, job: ScheduledJob, run: JobRun, dependencies: Dependencies
) -> tuple[JobRun, Exception | None]:
    """Post the job's text, or an agent's answer to its prompt, and record it.

    Returns the run and what stopped it: ConfigError, TargetError, EmptyMessage, AgentError, MattermostError. Raises
    StoreError.
    """
    begun = evolve(run, state=RunState.RUNNING, ran_at=dependencies.clock.now_ms())
    # Before anything is posted: a run that is cut off is in the history all the same.
    await store.cron_runs.record(begun)
    # What the history says if this is cancelled on the way.
    ended, problem = evolve(begun, state=RunState.FAILED, reason=INTERRUPTED), None
    try:
        sent = await _post(loaded, job, dependencies)
        problems = "; ".join([*sent.problems, *(each.problem for each in sent.attachments if each.problem)])
        state = RunState.DELIVERED if sent.is_complete else RunState.FAILED
        ended = evolve(ended, state=state, channel_id=sent.channel_id, posts=sent.posts, reason=problems)
    except* (OcTrioError, EmptyMessage) as group:
        problem = first_leaf(group)
        ended = evolve(ended, reason=str(problem))
    finally:
        ended = evolve(ended, ended_at=dependencies.clock.now_ms())
        # Shielded, or Ctrl-C would leave the run as running for ever.
        with trio.move_on_after(_RECORD_SECONDS, shield=True):
            await store.cron_runs.record(ended)
    return ended, problem


async def _post(loaded: Loaded, job: ScheduledJob, dependencies: Dependencies) -> SentPosts:
    account = pick_account(loaded, job.account or None)
    async with open_outbound_client(loaded, account, dependencies) as outbound:
        place = await outbound.targets.resolve(job.target)
        message = await _answer(loaded, job, dependencies) if job.prompt else MessageRequest(job.text)
        return await outbound.post_now(await outbound.compose(place, message))


async def _answer(loaded: Loaded, job: ScheduledJob, dependencies: Dependencies) -> MessageRequest:
    context = dependencies.ssl_context
    if context is None:
        context = await trio.to_thread.run_sync(client_tls)
    async with open_model_client(context) as http:
        agents = build_agents(
            loaded.config,
            http,
            make=dependencies.make_agent,
            random=dependencies.clock.random,
            personas=loaded.personas,
        )
        agent = AgentId(job.agent) if job.agent else agents.default
        setup = agents.setup(agent, SessionSettings(model=job.model, thinking=job.thinking))
        request = TurnRequest(
            agent=agent,
            # Not the schedule's own: an agent that remembers by this key must not take a trial into it.
            session=SessionKey(f"agent:{agent}:cron:{job.id}:by-hand".lower()),
            system_prompt="\n\n".join(
                part for part in (setup.system_prompt, time_line(dependencies.clock.now_ms(), setup.timezone)) if part
            ),
            messages=(Message(Role.USER, job.prompt),),
            model=setup.model,
            thinking=setup.thinking,
        )
        async with setup.agent.run(request) as events:
            async for event in events:
                match event:
                    case Final():
                        media = tuple(each.url for each in event.media if each.url)
                        return MessageRequest(event.text, media, Presentation(rows=event.buttons))
                    case Failed():
                        raise AgentFailed(event.for_operator, for_user=event.for_user)
                    case _:
                        continue
    raise AgentFailed("the agent's stream ended without a final", for_user="The model stopped in the middle.")
