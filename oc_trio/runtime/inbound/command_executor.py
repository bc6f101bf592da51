"""Runs one chat command: reads or changes the settings of its conversation, and words the reply."""

from collections.abc import Callable

from attrs import evolve

from oc_trio.classes import frozen
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
from oc_trio.core.routing import reply_root
from oc_trio.runtime.agents import DEFAULT_MODEL, SessionSettings
from oc_trio.runtime.conversation.dispatcher import Dispatcher
from oc_trio.runtime.conversation.settings import channel_session, load_settings, own_settings, queue_rules
from oc_trio.runtime.services import AccountServices
from oc_trio.store.sessions import SessionUse

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


@frozen(eq=False)
class CommandExecutor:
    """One account's. Whether the sender may use commands was checked by the caller."""

    services: AccountServices
    dispatcher: Dispatcher

    async def execute(self, message: InboundMessage, command: ChatCommand, stopped: bool) -> str:
        """Apply a command to the conversation of `message`; returns the text of its reply.

        `stopped` says whether it ended a running turn, which happened before it was queued.
        """
        services, key = self.services, message.session
        settings, own = await load_settings(services.store, key), await own_settings(services.store, key)
        # The channel's settings hold in its threads, so what holds (`settings`) is more than what is stored here
        # (`own`).
        match command:
            case ShowStatus():
                return self._status(message, settings)
            case NewSession():
                await services.store.sessions.reset(key, services.clock.now_ms())
                return self._reset_text(message)
            case StopTurn():
                return "⚙️ Agent was aborted." if stopped else "Nothing is running here."
            case ShowHelp():
                return self._help(message)
            case ChooseModel():
                return await self._choose_model(message, settings, own, command.name)
            case ListModels():
                return self._list_models(command.provider)
            case SetThinking():
                return await self._set_option(
                    message, settings, command.level, "Thinking", lambda on: evolve(own, thinking=str(on))
                )
            case SetReasoning():
                return await self._set_option(
                    message, settings, command.on, "Reasoning", lambda on: evolve(own, reasoning=bool(on))
                )
            case SetVerbose():
                return await self._set_option(
                    message, settings, command.on, "Verbose", lambda on: evolve(own, verbose=bool(on))
                )
            case SetQueue():
                return await self._set_queue(message, own, command)
            case Misused():
                return f"⚠️ {command.problem}. Usage: `{command.usage}`"

    def _reset_text(self, message: InboundMessage) -> str:
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

    async def _choose_model(
        self, message: InboundMessage, settings: SessionSettings, own: SessionSettings, name: str
    ) -> str:
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
        # People write a model without its provider as long as that is unambiguous.
        if len(matches) != 1:
            names = ", ".join(f"`{model}`" for model in matches or services.agents.models) or "none"
            problem = f"`{name}` may be several" if matches else f"There is no model `{name}`"
            return f"⚠️ {problem}. Models: {names}"
        await self._save(message, evolve(own, model=matches[0]))
        return f"Model: `{matches[0]}`"

    def _list_models(self, provider: str) -> str:
        models = [model for model in self.services.agents.models if not provider or model.startswith(f"{provider}/")]
        titles = self.services.agents.titles
        lines = [f"- `{model}`" + (f" {titles[model]}" if model in titles else "") for model in models]
        return "\n".join(lines) or "No models available."

    async def _set_option(
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

    async def _set_queue(self, message: InboundMessage, own: SessionSettings, command: SetQueue) -> str:
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
                # The session keeps its rules in memory; without this the change would come after its next start.
                await session.reload_rules()
        settings = await load_settings(self.services.store, message.session)
        rules = queue_rules(self.services.policies.queue, settings)
        return f"Queue: {rules.mode.value}, cap {rules.cap}, drop {rules.drop.value}, debounce {rules.debounce:g} s"

    async def _save(self, message: InboundMessage, settings: SessionSettings) -> None:
        services = self.services
        # The row may not exist: a command can be the first message of a conversation.
        use = SessionUse(
            message.session,
            services.account,
            message.channel_id,
            message.reply_root,
            message.agent,
            services.clock.now_ms(),
        )
        await services.store.sessions.touch(use)
        await services.store.sessions.set_settings(message.session, settings.to_json())
