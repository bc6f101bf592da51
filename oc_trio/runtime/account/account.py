"""Runs one account: logs in, starts its tasks in nested nurseries, and drains them in the right order.

services (HTTP client, direct channels)
└─ workers: deliveries of tools and schedules
   └─ sessions: conversations, chat commands, refusals, recovery
      └─ feeders: connection, catch-up, audit, schedule, endpoints

Each nursery ends before the one around it: an answer that is being sealed still needs the services. What is run is
built in `runtime.account.parts`.
"""

from collections.abc import Callable
from functools import partial

import trio

from oc_trio.classes import frozen
from oc_trio.core.entities import User
from oc_trio.core.mention_escape import clean, escape_channel_mentions
from oc_trio.core.queueing import QueueRules
from oc_trio.ids import SessionKey
from oc_trio.mattermost.client import Api
from oc_trio.mattermost.direct import open_direct_channels
from oc_trio.mattermost.transport import Transport
from oc_trio.runtime.account.connection import STOPPED, AccountConnection, show_state
from oc_trio.runtime.account.live_accounts import LiveAccount
from oc_trio.runtime.account.login import cancel_on, fetch_own_user
from oc_trio.runtime.account.outbound_client import direct_retry
from oc_trio.runtime.account.parts import RETRIES, AccountInputs, AccountParts, build_event_handler, build_parts
from oc_trio.runtime.account.recovery import Recovery, open_jobs
from oc_trio.runtime.conversation.cancel_reason import CancelReason
from oc_trio.runtime.conversation.dispatcher import Dispatcher
from oc_trio.runtime.conversation.session import Session
from oc_trio.runtime.conversation.settings import load_settings, queue_rules
from oc_trio.runtime.error_boundary import DEFECT
from oc_trio.runtime.inbound.event_handler import EventHandler
from oc_trio.runtime.inbound.request_admission import RequestAdmission
from oc_trio.runtime.schedule.job_runner import JobRunner
from oc_trio.runtime.schedule.schedule import Schedule
from oc_trio.runtime.task_slot import TaskSlot
from oc_trio.runtime.turn.end_without_agent import settle
from oc_trio.runtime.turn.turn import TurnRunner


async def run_account(inputs: AccountInputs) -> None:
    """Serve one account until its drain is over. `inputs.ready` is set whenever it goes live."""
    # Unless the operator allows it, nothing that the bot writes may notify a whole channel.
    escape_mentions = clean if inputs.settings.delivery.allow_channel_mentions else escape_channel_mentions
    api = Api(Transport(inputs.server, inputs.token.reveal, lease=inputs.lease), escape_mentions)
    # Before anything is built: admission needs the bot's own id and name.
    user = await _log_in(inputs, api)
    if user is not None:
        inputs.health.update(inputs.id, bot=user.username)
        retry, random = direct_retry(inputs.settings), inputs.dependencies.clock.random.random
        async with (
            open_direct_channels(api, user.id, retry=retry, random=random) as direct,
            trio.open_nursery() as workers,
        ):
            parts = build_parts(inputs, api, user, direct, workers)
            await _AccountTasks(inputs, parts).serve()
            # Their messages are in the outbox, and the next start goes on with them.
            workers.cancel_scope.cancel()
    show_state(inputs.health, inputs.metrics, inputs.id, STOPPED, "")


async def _log_in(inputs: AccountInputs, api: Api) -> User | None:
    """The bot's own user, however long the server takes to answer; None where the drain began before that."""
    user: User | None = None
    show = partial(show_state, inputs.health, inputs.metrics, inputs.id)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(cancel_on, inputs.drain.requested, nursery.cancel_scope)
        random = inputs.dependencies.clock.random.random
        user = await fetch_own_user(inputs.id, api, inputs.token, show, random, RETRIES)
        nursery.cancel_scope.cancel()
    return user


@frozen(eq=False)
class _AccountTasks:
    """A running account: starts the tasks of its parts and ends them."""

    inputs: AccountInputs
    parts: AccountParts

    async def serve(self) -> None:
        services, turns = self.parts.services, self.parts.turns
        async with trio.open_nursery() as sessions:
            dispatcher = Dispatcher(sessions, self._session_factory(), self._run_session)
            # Asked at each scrape, instead of counted at each begin and end of a conversation.
            services.metrics.sessions.labels(services.account).set_function(lambda: len(dispatcher))
            services.metrics.live_drafts.labels(services.account).set_function(lambda: turns.pacer.live)
            event_handler = build_event_handler(self.parts, dispatcher, sessions)
            # Before recovery: what it goes on with can be seen and stopped from the first moment.
            with self.inputs.live.serving(LiveAccount(self.inputs.id, dispatcher, turns.live, services.directory)):
                # What an earlier run left comes before anything new.
                await services.late_edits.restore()
                await Recovery(services, event_handler.posts, sessions).run()
                # Whatever brings in messages ends before the nursery of those who answer them does.
                async with trio.open_nursery() as feeders:
                    await self._feed(feeders, event_handler, dispatcher)
                    # What is left are tasks without an end, such as the audit.
                    feeders.cancel_scope.cancel()
            # Sealing has a bound of its own: a server that is away must not hold up the stop.
            sessions.cancel_scope.deadline = trio.current_time() + self.inputs.drain.seal_seconds

    async def _feed(self, feeders: trio.Nursery, event_handler: EventHandler, dispatcher: Dispatcher) -> None:
        """Take messages in until the drain is requested; then let turns end by themselves for as long as it allows."""
        inputs, parts, services = self.inputs, self.parts, self.parts.services
        catch_up = inputs.dependencies.catch_up(services, event_handler.posts, inputs.settings.catchup, feeders)
        connection = AccountConnection(
            services,
            inputs.settings,
            inputs.dependencies,
            inputs.token,
            inputs.ready,
            event_handler,
            catch_up,
            TaskSlot(feeders),
        )
        requests = RequestAdmission(services, event_handler.posts.submit)
        stop = partial(inputs.live.stop_of, inputs.id)
        async with inputs.port.open(requests, inputs.settings, parts.questions, parts.registration, stop):
            # After the endpoints are open: a button of an answer to what catch-up reads may be clicked at once.
            await connection.start()
            feeders.start_soon(connection.run_audit)
            runner = JobRunner(requests, parts.outbound, parts.sender)
            feeders.start_soon(Schedule(runner, inputs.jobs, inputs.id).run)
            await inputs.drain.requested.wait()
            dispatcher.stop_accepting()
            # The endpoints are open until here, so that answers to open questions still come in.
            await inputs.drain.idle(lambda: dispatcher.is_idle)
        # Turns that did not end in time get their drafts sealed, and go on after the next start.
        parts.questions.keep_open()
        dispatcher.cancel_all(reason=CancelReason.DRAIN.value)
        # Last: until here edits and deletions by people still reach the turns that are ending.
        await connection.stop()

    def _session_factory(self) -> Callable[[SessionKey], Session]:
        services = self.parts.services
        return partial(
            self.inputs.dependencies.session,
            run_turn=TurnRunner(services, self.parts.turns),
            settle=partial(settle, services),
            reload=lambda session: open_jobs(services, session),
            load_rules=self._queue_rules,
            idle_seconds=self.inputs.idle_seconds,
            first_debounce=services.policies.gather,
        )

    async def _queue_rules(self, key: SessionKey) -> QueueRules:
        """The queue rules of a conversation; the account's where its settings can't be read."""
        services = self.parts.services
        rules = services.policies.queue

        async def load() -> None:
            nonlocal rules
            rules = queue_rules(services.policies.queue, await load_settings(services.store, key))

        await services.boundary.contain(load, "queue rules", {"session": key})
        return rules

    async def _run_session(self, session: Session, on_idle: Callable[[], object]) -> None:
        """Run a conversation's task. A defect of it fails the messages that it held; the next one begins it anew."""
        services = self.parts.services
        run = partial(session.run, on_idle=on_idle)
        # A conversation's defect must not end the account's nursery, and with it every other conversation.
        if await services.boundary.contain(run, "conversation", {"session": session.key}) is not None:
            # The session is out of the table first: a message that comes now gets a new one.
            on_idle()
            if jobs := session.abandon():
                await settle(services, jobs, DEFECT)
