"""Chat commands, carried out and acknowledged: they don't wait behind the turn that they may want to stop.

What a command does, it does once: its answer is in the outbox before it is sent, and a restart sends that answer. An
answer that the chat server does not take holds back later ones in its conversation, but not what they tell of.
"""

import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import trio
from attrs import Factory, evolve, field, frozen

from oc_trio.core.access import COMMAND_NOT_ALLOWED, Access, Origin, denial_text
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
from oc_trio.errors import MattermostRejected
from oc_trio.ids import OutboxId
from oc_trio.runtime.agents import SessionSettings
from oc_trio.runtime.conversation.cancel_reason import CancelReason
from oc_trio.runtime.conversation.dispatcher import Dispatcher
from oc_trio.runtime.conversation.keyed_queue import KeyedSerialQueue
from oc_trio.runtime.conversation.mailbox import Job
from oc_trio.runtime.conversation.settings import load_settings, queue_rules
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


def reply_id(obligation: Obligation) -> OutboxId:
    """The name of the post that answers a command."""
    return OutboxId(f"{obligation.id}.c")


@frozen
class _PendingCommand:
    obligation: Obligation
    message: InboundMessage
    command: ChatCommand
    stopped: bool


@frozen
class _Reply:
    errand: _PendingCommand
    letter: OutboxMessage


T = TypeVar("T")


@frozen(eq=False)
class ChatCommandHandler:
    """Takes commands at once. In each conversation they are carried out, and answered, in the order of their coming.

    `limit` is how many are carried out at the same time; answering is not counted.
    """

    services: AccountServices
    dispatcher: Dispatcher
    nursery: trio.Nursery
    limit: trio.CapacityLimiter
    _errands: KeyedSerialQueue[_PendingCommand] = field(
        init=False,
        default=Factory(
            lambda desk: KeyedSerialQueue(desk.nursery, desk._contained(desk._carry_out, lambda errand: errand)),
            takes_self=True,
        ),
    )
    _replies: KeyedSerialQueue[_Reply] = field(
        init=False,
        default=Factory(
            lambda desk: KeyedSerialQueue(desk.nursery, desk._contained(desk._reply, lambda reply: reply.errand)),
            takes_self=True,
        ),
    )

    def submit(self, obligation: Obligation, message: InboundMessage, command: ChatCommand) -> None:
        """Never waits. What has to happen at once (stopping) happens before this returns."""
        stopped = False
        if self._may(message) and isinstance(command, (StopTurn, NewSession)):
            session = self.dispatcher.get(message.session)
            cut = CancelReason.STOPPED if isinstance(command, StopTurn) else CancelReason.RESET
            stopped = session is not None and session.stop(reason=cut.value, drop_queue=True, until=message.create_at)
        self._errands.put(message.session, _PendingCommand(obligation, message, command, stopped))

    def _may(self, message: InboundMessage) -> bool:
        """Every way of a command ends here. The edges refuse earlier, where nothing is written down yet; what was
        admitted before the rules changed, or by an edge that forgot to ask, is refused here.
        """
        return self.services.policies.may_command(message.user_id, message.user_name)

    def _contained(
        self, work: Callable[[T], Awaitable[None]], errand_of: Callable[[T], _PendingCommand]
    ) -> Callable[[T], Awaitable[None]]:
        """`work` on one item, of which a defect fails that command alone, in words."""

        async def contained(item: T) -> None:
            errand = errand_of(item)
            job = Job(errand.obligation, errand.message)
            if await self.services.boundary.contain(partial(work, item), "command", {"post": job.trigger}) is not None:
                await settle(self.services, [job], DEFECT)

        return contained

    async def _carry_out(self, errand: _PendingCommand) -> None:
        services, obligation, message = self.services, errand.obligation, errand.message
        letter = OutboxMessage(
            id=reply_id(obligation),
            channel_id=message.channel_id,
            message="",
            kind=OutboxKind.NOTICE,
            root_id=message.reply_root or message.root_id,
        )
        async with self.limit:
            earlier = await services.store.outbox.get(letter.id)
            if earlier is not None:
                letter = evolve(letter, message=json.loads(earlier.body)["message"])
            elif await services.store.obligations.attempt(obligation.id) >= LAST_ATTEMPT:
                # Whatever it is in this command that can't be survived: it is not carried out again.
                await give_up(services, [Job(obligation, message)], None, GAVE_UP, f"gave up at attempt {LAST_ATTEMPT}")
                return
            else:
                if not self._may(message):
                    text = denial_text(Access(False, COMMAND_NOT_ALLOWED), Origin.COMMAND)
                else:
                    text = await self._answer(message, errand.command, errand.stopped)
                if self._may(message) and isinstance(errand.command, NewSession) and errand.command.prompt:
                    await self._begin(obligation, message, errand.command.prompt)
                    return
                letter = evolve(letter, message=text)
                await services.delivery.queue([letter])
        self._replies.put(message.session, _Reply(errand, letter))

    async def _reply(self, reply: _Reply) -> None:
        services, obligation = self.services, reply.errand.obligation
        try:
            outcome = (await send_with_fallback(services.delivery, reply.letter, ANSWER)).outcome
        except MattermostRejected as refusal:
            outcome = not_delivered(refusal)
        await services.store.obligations.close([obligation.id], outcome, services.clock.now_ms())
        services.metrics.obligations.labels(services.account, outcome.state.value).inc()
        log.info(
            "command", account=services.account, post=obligation.trigger, command=type(reply.errand.command).__name__
        )

    async def _begin(self, obligation: Obligation, message: InboundMessage, prompt: str) -> None:
        """The words behind /new begin the new conversation; the obligation is the turn's, now and after a restart."""
        asked = evolve(message.with_text(prompt), command="")
        await self.services.store.obligations.recast(obligation.id, asked.to_json())
        self.dispatcher.submit(obligation, asked)

    async def _answer(self, message: InboundMessage, command: ChatCommand, stopped: bool) -> str:
        services, key = self.services, message.session
        settings = await load_settings(services.store, key)
        match command:
            case ShowStatus():
                return self._status(message, settings)
            case NewSession():
                await services.store.sessions.reset(key, services.clock.now_ms())
                return "🆕 New conversation. What was said before is forgotten."
            case StopTurn():
                return "⚙️ Agent was aborted." if stopped else "Nothing is running here."
            case ShowHelp():
                return "\n".join(f"- `{USAGE[name]}` {about}" for name, about in _ABOUT.items())
            case ChooseModel():
                return await self._choose(message, settings, command.name)
            case ListModels():
                return self._models(command.provider)
            case SetThinking():
                return await self._set(
                    message, settings, command.level, "Thinking", lambda on: evolve(settings, thinking=str(on))
                )
            case SetReasoning():
                return await self._set(
                    message, settings, command.on, "Reasoning", lambda on: evolve(settings, reasoning=bool(on))
                )
            case SetVerbose():
                return await self._set(
                    message, settings, command.on, "Verbose", lambda on: evolve(settings, verbose=bool(on))
                )
            case SetQueue():
                return await self._queue(message, settings, command)
            case Misused():
                return f"⚠️ {command.problem}. Usage: `{command.usage}`"

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

    async def _choose(self, message: InboundMessage, settings: SessionSettings, name: str) -> str:
        services = self.services
        if not name:
            current = settings.model or services.agents.primary.get(message.agent, "")
            return f"Current: `{current}`" + ("" if settings.model else " (default)") + f"\nUsage: `{USAGE['model']}`"
        if name == "default":
            await self._save(message, evolve(settings, model=""))
            return f"Model: `{services.agents.primary.get(message.agent, '')}` (default)"
        found = [model for model in services.agents.models if model == name or model.endswith(f"/{name}")]
        if len(found) != 1:
            known = ", ".join(f"`{model}`" for model in found or services.agents.models) or "none"
            problem = f"`{name}` may be several" if found else f"There is no model `{name}`"
            return f"⚠️ {problem}. Models: {known}"
        await self._save(message, evolve(settings, model=found[0]))
        return f"Model: `{found[0]}`"

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

    async def _queue(self, message: InboundMessage, settings: SessionSettings, command: SetQueue) -> str:
        own = dict(settings.queue)
        if command.reset:
            own = {}
        if command.mode is not None:
            own["mode"] = command.mode.value
        if command.cap is not None:
            own["cap"] = command.cap
        if command.drop is not None:
            own["drop"] = command.drop.value
        if command.debounce is not None:
            own["debounce"] = command.debounce
        rules = queue_rules(self.services.policies.queue, evolve(settings, queue=own))
        if own != dict(settings.queue):
            await self._save(message, evolve(settings, queue=own))
            session = self.dispatcher.get(message.session)
            if session is not None:
                session.rules = rules
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
