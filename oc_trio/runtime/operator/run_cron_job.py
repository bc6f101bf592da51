"""Runs a cron job by hand, at once and without a gateway: no tools, no history, and the schedule does not change."""

import ssl

import trio

from oc_trio.agent.http_client import open_model_client
from oc_trio.agent.port import Message, Role, TurnRequest
from oc_trio.config.load import Loaded
from oc_trio.config.services import CronJob
from oc_trio.core.presentation import Presentation
from oc_trio.core.turn_events import Failed, Final
from oc_trio.errors import AgentFailed, ConfigError, Problem
from oc_trio.ids import AgentId, SessionKey
from oc_trio.runtime.account.dependencies import Dependencies
from oc_trio.runtime.account.outbound_client import open_outbound_client, pick_account
from oc_trio.runtime.agents import SessionSettings, build_agents
from oc_trio.runtime.delivery.compose import MessageRequest, SentPosts
from oc_trio.runtime.local_time import time_line


def pick_job(loaded: Loaded, name: str) -> CronJob:
    """The job of that name, enabled or not. Raises ConfigError."""
    jobs = loaded.config.cron.jobs
    if name not in jobs:
        known = ", ".join(jobs) or "none"
        raise ConfigError(Problem(f"cron.jobs.{name}", "there is no such job", f"configured: {known}"))
    return jobs[name]


async def run_job_now(loaded: Loaded, name: str, dependencies: Dependencies) -> SentPosts:
    """Post the job's message, or an agent's answer to its prompt. Raises ConfigError, TargetError, AgentError,
    MattermostError.
    """
    job = pick_job(loaded, name)
    account = pick_account(loaded, job.account or None)
    async with open_outbound_client(loaded, account, dependencies) as outbound:
        place = await outbound.targets.resolve(job.target)
        message = MessageRequest(job.message) if job.message else await _answer(loaded, name, job, dependencies)
        return await outbound.post_now(await outbound.compose(place, message))


async def _answer(loaded: Loaded, name: str, job: CronJob, dependencies: Dependencies) -> MessageRequest:
    context = dependencies.ssl_context
    if context is None:
        context = await trio.to_thread.run_sync(ssl.create_default_context)
    async with open_model_client(context) as http:
        agents = build_agents(
            loaded.config,
            http,
            make=dependencies.make_agent,
            random=dependencies.clock.random,
            personas=loaded.personas,
        )
        agent = AgentId(job.agent) if job.agent else agents.default
        setup = agents.setup(agent, SessionSettings())
        request = TurnRequest(
            agent=agent,
            session=SessionKey(f"agent:{agent}:cron:{name}:by-hand".lower()),
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
