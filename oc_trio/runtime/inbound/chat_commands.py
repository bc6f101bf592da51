"""Carries out chat commands (`/status`, `/stop`, ...) and replies to them, without waiting for a running turn.

A command is carried out once: its reply is in the outbox before it is sent, and after a restart only the reply is sent
again. A message that is written behind one that changes the conversation waits for it. A reply that the chat server
doesn't take delays later replies in its conversation, but not later commands.
"""

import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import trio
from attrs import Factory, evolve, field, frozen

from oc_trio.core.access import COMMAND_NOT_ALLOWED, Access, Origin, denial_text
from oc_trio.core.chat import Chat
from oc_trio.core.chat_commands import (
    USAGE,
    ChatCommand,
    ChooseModel,
    ListModels,
    Misused,
    NewSession,
    SetQueue,
    SetReasoning,
    SetThinking,
    SetVerbose,
    ShowHelp,
    ShowStatus,
    StopTurn,
)
from oc_trio.core.inbound import InboundMessage
from oc_trio.core.ledger import Obligation, OutboxKind
from oc_trio.core.routing import reply_root
from oc_trio.errors import MattermostRejected
from oc_trio.ids import OutboxId
from oc_trio.runtime.agents import DEFAULT_MODEL, SessionSettings
from oc_trio.runtime.conversation.cancel_reason import CancelReason
from oc_trio.runtime.conversation.dispatcher import Dispatcher
from oc_trio.runtime.conversation.keyed_queue import KeyedSerialQueue
from oc_trio.runtime.conversation.mailbox import Job
from oc_trio.runtime.conversation.session import Session
from oc_trio.runtime.conversation.settings import channel_session, load_settings, own_settings, queue_rules
from oc_trio.runtime.delivery.fallback import ANSWER, send_with_fallback
from oc_trio.runtime.delivery.outbox_message import OutboxMessage
from oc_trio.runtime.error_boundary import DEFECT
from oc_trio.runtime.services import AccountServices
from oc_trio.runtime.turn.end_without_agent import GAVE_UP, LAST_ATTEMPT, give_up, settle
from oc_trio.runtime.turn.result import not_delivered
from oc_trio.telemetry.log import get_logger

log = get_logger(part="chat_commands")

_ABOUT = {
    "status": "what this conversation is doing",
    "new": "forget the conversation and start afresh",
    "stop": "stop the answer that is being written",
    "help": "this list",
    "model": "show or choose the model",
    "models": "list the models",
    "think": "how much the model thinks before it answers",
    "reasoning": "show the model's reasoning while it works",
    "verbose": "show tool activity",
    "queue": "what happens to messages sent during an answer",
}


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
    """Takes commands at once; in each conversation they are carried out, and replied to, in the order they came.

    `limit` is how many are carried out at the same time; sending replies is not counted.
    """

    services: AccountServices
    dispatcher: Dispatcher
    nursery: trio.Nursery
    limit: trio.CapacityLimiter
    _commands: KeyedSerialQueue[_PendingCommand] = field(
        init=False,
        default=Factory(
            lambda self: KeyedSerialQueue(self.nursery, self._contained(self._carry_out, lambda pending: pending)),
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

    async def _carry_out(self, pending: _PendingCommand) -> None:
        try:
            await self._carry_out_once(pending)
        finally:
            if pending.deferring is not None:
                pending.deferring.release()

    async def _carry_out_once(self, pending: _PendingCommand) -> None:
        services, obligation, message = self.services, pending.obligation, pending.message
        reply = OutboxMessage(
            id=reply_id(obligation),
            channel_id=message.channel_id,
            message="",
            kind=OutboxKind.NOTICE,
            root_id=message.reply_root or message.root_id,
        )
        async with self.limit:
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
                    text = await self._answer(message, pending.command, pending.stopped)
                if self._is_allowed(message) and isinstance(pending.command, NewSession) and pending.command.prompt:
                    await self._start_turn(obligation, message, pending.command.prompt)
                    return
                reply = evolve(reply, message=text)
                await services.delivery.queue([reply])
        self._replies.put(message.session, _Reply(pending, reply))

    async def _send_reply(self, reply: _Reply) -> None:
        services, obligation = self.services, reply.pending.obligation
        try:
            outcome = (await send_with_fallback(services.delivery, reply.post, ANSWER)).outcome
        except MattermostRejected as refusal:
            outcome = not_delivered(refusal)
        await services.store.obligations.close([obligation.id], outcome, services.clock.now_ms())
        services.metrics.obligations.labels(services.account, outcome.state.value).inc()
        log.info(
            "command", account=services.account, post=obligation.trigger, command=type(reply.pending.command).__name__
        )

    async def _start_turn(self, obligation: Obligation, message: InboundMessage, prompt: str) -> None:
        """Start a turn with the prompt after `/new`; the obligation is the turn's from now on, after a restart too."""
        prompt_message = evolve(message.with_text(prompt), command="")
        await self.services.store.obligations.recast(obligation.id, prompt_message.to_json())
        self.dispatcher.submit(obligation, prompt_message, is_of_command=True)

    async def _answer(self, message: InboundMessage, command: ChatCommand, stopped: bool) -> str:
        services, key = self.services, message.session
        settings, own = await load_settings(services.store, key), await own_settings(services.store, key)
        match command:
            case ShowStatus():
                return self._status(message, settings)
            case NewSession():
                await services.store.sessions.reset(key, services.clock.now_ms())
                return self._forgotten(message)
            case StopTurn():
                return "⚙️ Agent was aborted." if stopped else "Nothing is running here."
            case ShowHelp():
                return self._help(message)
            case ChooseModel():
                return await self._choose(message, settings, own, command.name)
            case ListModels():
                return self._models(command.provider)
            case SetThinking():
                return await self._set(
                    message, settings, command.level, "Thinking", lambda on: evolve(own, thinking=str(on))
                )
            case SetReasoning():
                return await self._set(
                    message, settings, command.on, "Reasoning", lambda on: evolve(own, reasoning=bool(on))
                )
            case SetVerbose():
                return await self._set(
                    message, settings, command.on, "Verbose", lambda on: evolve(own, verbose=bool(on))
                )
            case SetQueue():
                return await self._queue(message, own, command)
            case Misused():
                return f"⚠️ {command.problem}. Usage: `{command.usage}`"

    def _forgotten(self, message: InboundMessage) -> str:
        """What `/new` did, naming the conversation: people take a channel's for that of its threads."""
        if message.is_direct and not message.root_id:
            return "🆕 New conversation. What was said before is forgotten."
        if channel_session(message.session) != message.session:
            return "🆕 New conversation in this thread. What was said in it before is forgotten."
        if self._opens_threads(message):
            return (
                "🆕 New conversation of the channel outside of threads. Each thread has a conversation of its own: "
                "to forget one, write `/new` to me in that thread."
            )
        return "🆕 New conversation in this channel. What was said before is forgotten, but for threads."

    def _opens_threads(self, message: InboundMessage) -> bool:
        """Whether a message outside of threads is answered in a thread under it."""
        chat = Chat(message.channel_id, message.channel_type, message.team_id)
        kind = chat.kind
        return kind is not None and bool(reply_root(kind, self.services.policies.routing, post_id="x", root_id=""))

    def _help(self, message: InboundMessage) -> str:
        """The commands as they can be typed here; Mattermost keeps a bare `/word` that it does not know to itself."""
        services = self.services
        prefix = services.policies.command_prefix if services.policies.native_commands else ""
        if prefix:
            rows = [(f"/{prefix}{USAGE[name].removeprefix('/')}", about) for name, about in _ABOUT.items()]
            end = f"In a message to me `/new` and `!new` are the same: `@{services.user.username} /new`."
        else:
            start = "!" if message.is_direct else f"@{services.user.username} /"
            rows = [(start + USAGE[name].removeprefix("/"), about) for name, about in _ABOUT.items()]
            end = "A `/` at the beginning of a message does not reach me: Mattermost takes it for a command of its own."
        return "\n".join([*(f"- `{usage}` {about}" for usage, about in rows), "", end])

    def _status(self, message: InboundMessage, settings: SessionSettings) -> str:
        services = self.services
        session = self.dispatcher.get(message.session)
        running = len(session.running) if session else 0
        model = settings.model or services.agents.primary.get(message.agent, "") or "the agent's own"
        setup = services.agents.setups.get(message.agent)
        agent = f"`{message.agent}`" + (f" ({setup.name})" if setup is not None and setup.name else "")
        account = f" ({services.name})" if services.name else ""
        lines = [
            f"**oc_trio** as @{services.user.username}{account}, {services.health.account(services.account).state}",
            f"- conversation: `{message.session}`",
            f"- agent: {agent}, model: `{model}`, thinking: `{settings.thinking or 'default'}`",
            f"- {'answering now' if running else 'idle'}, {session.queued if session else 0} waiting",
        ]
        return "\n".join(lines)

    async def _choose(self, message: InboundMessage, settings: SessionSettings, own: SessionSettings, name: str) -> str:
        services = self.services
        if not name:
            current = settings.model or services.agents.primary.get(message.agent, "")
            return f"Current: `{current}`" + ("" if settings.model else " (default)") + f"\nUsage: `{USAGE['model']}`"
        if name == "default":
            # In a thread it has to be said: without a word the channel's choice holds.
            is_thread = channel_session(message.session) != message.session
            await self._save(message, evolve(own, model=DEFAULT_MODEL if is_thread else ""))
            return f"Model: `{services.agents.primary.get(message.agent, '')}` (default)"
        matches = [model for model in services.agents.models if model == name or model.endswith(f"/{name}")]
        if len(matches) != 1:
            known = ", ".join(f"`{model}`" for model in matches or services.agents.models) or "none"
            problem = f"`{name}` may be several" if matches else f"There is no model `{name}`"
            return f"⚠️ {problem}. Models: {known}"
        await self._save(message, evolve(own, model=matches[0]))
        return f"Model: `{matches[0]}`"

    def _models(self, provider: str) -> str:
        wanted = [model for model in self.services.agents.models if not provider or model.startswith(f"{provider}/")]
        titles = self.services.agents.titles
        lines = [f"- `{model}`" + (f" {titles[model]}" if model in titles else "") for model in wanted]
        return "\n".join(lines) or "No models available."

    async def _set(
        self,
        message: InboundMessage,
        settings: SessionSettings,
        value: str | bool | None,
        name: str,
        change: Callable[[str | bool], SessionSettings],
    ) -> str:
        if value is None:
            current = {"Thinking": settings.thinking or "default"}.get(name)
            if current is None:
                current = "on" if getattr(settings, name.lower()) else "off"
            return f"{name}: {current}"
        await self._save(message, change(value))
        return f"{name}: {value if isinstance(value, str) else 'on' if value else 'off'}"

    async def _queue(self, message: InboundMessage, own: SessionSettings, command: SetQueue) -> str:
        queue_settings = dict(own.queue)
        if command.reset:
            queue_settings = {}
        if command.mode is not None:
            queue_settings["mode"] = command.mode.value
        if command.cap is not None:
            queue_settings["cap"] = command.cap
        if command.drop is not None:
            queue_settings["drop"] = command.drop.value
        if command.debounce is not None:
            queue_settings["debounce"] = command.debounce
        if queue_settings != dict(own.queue):
            await self._save(message, evolve(own, queue=queue_settings))
            session = self.dispatcher.get(message.session)
            if session is not None:
                await session.reload_rules()
        settings = await load_settings(self.services.store, message.session)
        rules = queue_rules(self.services.policies.queue, settings)
        return f"Queue: {rules.mode.value}, cap {rules.cap}, drop {rules.drop.value}, debounce {rules.debounce:g} s"

    async def _save(self, message: InboundMessage, settings: SessionSettings) -> None:
        services = self.services
        await services.store.sessions.touch(
            message.session,
            services.account,
            message.channel_id,
            message.reply_root,
            message.agent,
            services.clock.now_ms(),
        )
        await services.store.sessions.set_settings(message.session, settings.to_json())
