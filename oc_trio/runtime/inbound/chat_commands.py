"""Queues chat commands (`/status`, `/stop`, ...), runs each once and sends its reply, without waiting for a turn.

A command is run once: its reply is in the outbox before it is sent, and after a restart only the reply is sent again. A
message that is written behind one that changes the conversation waits for it. A reply that the chat server doesn't take
delays later replies in its conversation, but not later commands.
"""

import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import trio
from attrs import Factory, evolve, field

from oc_trio.classes import frozen
from oc_trio.core.access import COMMAND_NOT_ALLOWED, Access, Origin, denial_text
from oc_trio.core.chat_commands import (
    ChatCommand,
    ChooseModel,
    NewSession,
    SetQueue,
    SetReasoning,
    SetThinking,
    SetVerbose,
    StopTurn,
)
from oc_trio.core.inbound import InboundMessage
from oc_trio.core.ledger import Obligation, OutboxKind
from oc_trio.errors import MattermostRejected
from oc_trio.ids import OutboxId, PostId
from oc_trio.runtime.conversation.cancel_reason import CancelReason
from oc_trio.runtime.conversation.dispatcher import Dispatcher
from oc_trio.runtime.conversation.keyed_queue import KeyedSerialQueue
from oc_trio.runtime.conversation.mailbox import Job
from oc_trio.runtime.conversation.session import Session
from oc_trio.runtime.conversation.settings import channel_session
from oc_trio.runtime.delivery.fallback import ANSWER, send_with_fallback
from oc_trio.runtime.delivery.outbox_message import OutboxMessage
from oc_trio.runtime.error_boundary import DEFECT
from oc_trio.runtime.inbound.command_executor import CommandExecutor
from oc_trio.runtime.services import AccountServices
from oc_trio.runtime.turn.end_without_agent import GAVE_UP, LAST_ATTEMPT, give_up, settle
from oc_trio.runtime.turn.result import not_delivered
from oc_trio.telemetry.log import get_logger

log = get_logger(part="chat_commands")


# What they change holds for every message behind them.
_CHANGES = (NewSession, ChooseModel, SetThinking, SetReasoning, SetVerbose, SetQueue)


def reply_id(obligation: Obligation) -> OutboxId:
    """The outbox id of the reply to a command."""
    return OutboxId(f"{obligation.id}.c")


@frozen
class _PendingCommand:
    """`deferring` is the conversation where later messages wait until the command has been carried out."""

    obligation: Obligation
    message: InboundMessage
    command: ChatCommand
    stopped: bool
    deferring: Session | None


@frozen
class _Reply:
    pending: _PendingCommand
    post: OutboxMessage


T = TypeVar("T")


@frozen(eq=False)
class ChatCommandHandler:
    """Takes commands at once; in each conversation they are run, and replied to, in the order they came.

    `limit` bounds how many run at the same time; sending replies is not counted.
    """

    services: AccountServices
    dispatcher: Dispatcher
    nursery: trio.Nursery
    limit: trio.CapacityLimiter
    _executor: CommandExecutor = field(
        init=False, default=Factory(lambda self: CommandExecutor(self.services, self.dispatcher), takes_self=True)
    )
    _commands: KeyedSerialQueue[_PendingCommand] = field(
        init=False,
        default=Factory(
            lambda self: KeyedSerialQueue(self.nursery, self._contained(self._run, lambda pending: pending)),
            takes_self=True,
        ),
    )
    _replies: KeyedSerialQueue[_Reply] = field(
        init=False,
        default=Factory(
            lambda self: KeyedSerialQueue(self.nursery, self._contained(self._send_reply, lambda reply: reply.pending)),
            takes_self=True,
        ),
    )

    def submit(self, obligation: Obligation, message: InboundMessage, command: ChatCommand) -> None:
        """Queue a command. Never waits; `/stop` and `/new` stop the running turn before this returns.

        One that was written outside of threads is about the channel's conversation and answered there, also where
        messages open threads: a thread of its own would be an empty conversation.
        """
        stopped = False
        if not message.root_id and not (isinstance(command, NewSession) and command.prompt):
            message = evolve(message, session=channel_session(message.session), reply_root="")
        # At once and not in the queue: an earlier command may be waiting for the journal, and the person wants it to
        # stop now.
        if self._is_allowed(message) and isinstance(command, (StopTurn, NewSession)):
            session = self.dispatcher.get(message.session)
            reason = CancelReason.STOPPED if isinstance(command, StopTurn) else CancelReason.RESET
            stopped = session is not None and session.stop(
                reason=reason.value, drop_queue=True, until=message.create_at
            )
        deferring = self.dispatcher.defer(message.session) if isinstance(command, _CHANGES) else None
        self._commands.put(message.session, _PendingCommand(obligation, message, command, stopped, deferring))

    def _is_allowed(self, message: InboundMessage) -> bool:
        """Whether the sender may use commands. Admission and the slash handler check this before anything is written;
        the check here is for what was admitted before the rules changed.
        """
        return self.services.policies.may_command(message.user_id, message.user_name)

    def _contained(
        self, work: Callable[[T], Awaitable[None]], pending_of: Callable[[T], _PendingCommand]
    ) -> Callable[[T], Awaitable[None]]:
        """`work` inside the error boundary: a defect fails this command only, with a notice to its sender."""

        async def contained(item: T) -> None:
            pending = pending_of(item)
            job = Job(pending.obligation, pending.message)
            if await self.services.boundary.contain(partial(work, item), "command", {"post": job.trigger}) is not None:
                await settle(self.services, [job], DEFECT)

        return contained

    async def _run(self, pending: _PendingCommand) -> None:
        try:
            await self._run_once(pending)
        finally:
            # Also after a defect: the messages behind the command must not wait for ever.
            if pending.deferring is not None:
                pending.deferring.release()

    async def _run_once(self, pending: _PendingCommand) -> None:
        services, obligation, message = self.services, pending.obligation, pending.message
        reply = OutboxMessage(
            id=reply_id(obligation),
            channel_id=message.channel_id,
            message="",
            kind=OutboxKind.NOTICE,
            root_id=message.reply_root or message.root_id,
            answers=(PostId(obligation.trigger),),
        )
        async with self.limit:
            # The reply is in the outbox, so an earlier run has run the command, and running it again could change
            # settings twice.
            earlier = await services.store.outbox.get(reply.id)
            if earlier is not None:
                reply = evolve(reply, message=json.loads(earlier.body)["message"])
            elif await services.store.obligations.attempt(obligation.id) >= LAST_ATTEMPT:
                # The process ended during the attempts before: this command may be why.
                await give_up(services, [Job(obligation, message)], None, GAVE_UP, f"gave up at attempt {LAST_ATTEMPT}")
                return
            else:
                if not self._is_allowed(message):
                    text = denial_text(Access(False, COMMAND_NOT_ALLOWED), Origin.COMMAND, message.user_id)
                else:
                    text = await self._executor.execute(message, pending.command, pending.stopped)
                if self._is_allowed(message) and isinstance(pending.command, NewSession) and pending.command.prompt:
                    await self._start_turn(obligation, message, pending.command.prompt)
                    return
                reply = evolve(reply, message=text)
                await services.delivery.queue([reply])
        # Outside of the limiter: replies may wait for the server, and must not keep other conversations' commands
        # waiting.
        self._replies.put(message.session, _Reply(pending, reply))

    async def _send_reply(self, reply: _Reply) -> None:
        services, obligation = self.services, reply.pending.obligation
        try:
            outcome = (await send_with_fallback(services.delivery, reply.post, ANSWER)).outcome
        except MattermostRejected as refusal:
            outcome = not_delivered(refusal)
        # Behind the post: a start in between posts again under the same id, which makes no second one.
        await services.store.obligations.close([obligation.id], outcome, services.clock.now_ms())
        services.metrics.obligations.labels(services.account, outcome.state.value).inc()
        log.info(
            "command", account=services.account, post=obligation.trigger, command=type(reply.pending.command).__name__
        )

    async def _start_turn(self, obligation: Obligation, message: InboundMessage, prompt: str) -> None:
        """Start a turn with the prompt after `/new`; the obligation is the turn's from now on, after a restart too."""
        prompt_message = evolve(message.with_text(prompt), command="")
        # Before the turn starts: after a crash the message must not be taken for the command `/new` once more.
        await self.services.store.obligations.recast(obligation.id, prompt_message.to_json())
        self.dispatcher.submit(obligation, prompt_message, is_of_command=True)
