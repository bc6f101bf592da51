"""Endpoints of accounts that this process does not serve: they verify, and leave the rest to the process that does.

A click's signature and a hook's token need the configuration alone, a command's token what the journal has of the
registered commands. Where nobody answers in time, people read that their request was received; it stays in the journal.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import trio
from attrs import evolve, field

from oc_trio.callbacks.endpoints import ButtonEndpoint, CommandEndpoint, EndpointRegistry
from oc_trio.callbacks.reply import UNAVAILABLE
from oc_trio.classes import define, frozen
from oc_trio.config.accounts import Account
from oc_trio.core import relayed, slash
from oc_trio.core.entities import SlashCommand
from oc_trio.core.interactions import ButtonCallback, ephemeral_reply
from oc_trio.core.mention_escape import clean, escape_channel_mentions
from oc_trio.core.questions import DialogAnswer
from oc_trio.core.relayed import RelayedAnswer, RelayedHook
from oc_trio.core.slash import SlashCall
from oc_trio.core.token_bucket import Bucket, full, take
from oc_trio.errors import CallbackRefused
from oc_trio.ids import AccountId
from oc_trio.runtime.handlers.callback_urls import command_paths
from oc_trio.runtime.handlers.questions import DIALOG
from oc_trio.runtime.handlers.relay import Relay
from oc_trio.telemetry.health import Health

# A program waits, and an answer such as "there is no such channel" is worth it.
HOOK_SECONDS = 5.0
# Seconds between two reads of the commands, however many unknown tokens come.
READ_EVERY = 1.0
# Mattermost waits 30 s for all, and the person with it: a database that hangs must not use them up.
READ_SECONDS = 2.0
# Calls with a token that the journal does not have, as after somebody regenerated it: the process that serves the
# account asks Mattermost about them. So many at once, then one in so many seconds.
BURST, REFILL_SECONDS = 5.0, 2.0


@define(eq=False)
class JournalCommands:
    """The registered commands of all accounts as the journal has them; read when they are needed."""

    read: Callable[[], Awaitable[Mapping[AccountId, tuple[SlashCommand, ...]]]]
    _by_account: Mapping[AccountId, tuple[SlashCommand, ...]] = field(init=False, factory=dict)
    # From when on they may be read again, by Trio's clock.
    _due: float = field(init=False, default=0.0)
    _lock: trio.Lock = field(init=False, factory=trio.Lock)

    def of(self, account: AccountId) -> tuple[SlashCommand, ...] | None:
        """An account's commands as last read; None where it has none."""
        return self._by_account.get(account)

    async def refresh(self) -> None:
        """Read them, unless that was done a moment ago. Raises StoreError, CallbackRefused."""
        try:
            # Who comes while they are being read waits for the result.
            with trio.fail_after(READ_SECONDS):
                async with self._lock:
                    if trio.current_time() >= self._due:
                        self._by_account = await self.read()
                        self._due = trio.current_time() + READ_EVERY
        except trio.TooSlowError:
            raise CallbackRefused(503, UNAVAILABLE) from None


@frozen(eq=False)
class RelayEndpoints:
    """Makes the endpoints of accounts that run elsewhere."""

    relay: Relay
    health: Health
    commands: JournalCommands

    @classmethod
    def of(cls, relay: Relay, health: Health) -> "RelayEndpoints":
        return cls(relay, health, JournalCommands(relay.store.commands.by_account))

    def for_clicks(self, account: Account) -> ButtonEndpoint:
        """The endpoint of an account's buttons and dialogs."""
        name = AccountId(account.id)
        return ButtonEndpoint(
            account.bot_token.reveal,
            partial(self._click, name),
            partial(self._dialog, name),
            _harmless(account),
            partial(self.health.refused_call, name),
        )

    def for_commands(self, account: Account) -> CommandEndpoint:
        """The endpoint of an account's slash commands."""
        name = AccountId(account.id)
        unknown = [full(1 / REFILL_SECONDS, BURST, 0.0)]
        return CommandEndpoint(
            partial(self.commands.of, name),
            partial(self._command, name, unknown),
            _harmless(account),
            partial(self.health.refused_call, name),
            self.commands.refresh,
        )

    async def hook(self, account: AccountId, hook: RelayedHook) -> None:
        """Leave a hook to the account's process; it is in the journal then. Raises CallbackRefused, StoreError."""
        answer = await self.relay.ask(account, hook, seconds=HOOK_SECONDS)
        if answer is not None:
            _value(answer)

    async def _command(self, account: AccountId, unknown: list[Bucket], call: SlashCall) -> str:
        is_known = self._matches(account, call)
        if not is_known:
            await self.commands.refresh()
            is_known = self._matches(account, call)
        if not is_known:
            unknown[0], wait = take(unknown[0], trio.current_time())
            if wait > 0:
                raise CallbackRefused(401, slash.INVALID_TOKEN)
        # The admission row is named after this id, so that handling the row twice admits the call once.
        named = evolve(call, trigger_id=call.trigger_id or f"relayed:{self.relay.clock.new_id()}")
        answer = await self.relay.ask(account, named, withdraw=not is_known)
        if answer is None and not is_known:
            raise CallbackRefused(503, slash.NOT_READY)
        return relayed.COMMAND_ACCEPTED if answer is None else str(_value(answer))

    def _matches(self, account: AccountId, call: SlashCall) -> bool:
        return slash.match_call(call, self.commands.of(account) or ()) is not None

    async def _click(self, account: AccountId, callback: ButtonCallback) -> Mapping[str, Any]:
        named = evolve(callback, trigger_id=callback.trigger_id or f"relayed:{self.relay.clock.new_id()}")
        # A form can't be opened later, when the id for it has expired.
        opens_form = callback.context.get(DIALOG) is True
        answer = await self.relay.ask(account, named, withdraw=opens_form)
        if answer is None:
            return ephemeral_reply(relayed.FORM_UNANSWERED if opens_form else relayed.CLICK_ACCEPTED)
        return _mapping(answer)

    async def _dialog(self, account: AccountId, answer: DialogAnswer) -> Mapping[str, Any]:
        # Withdrawn where nobody takes it: what was written stays in the open dialog, and can be sent again.
        result = await self.relay.ask(account, answer, withdraw=True)
        return {"error": relayed.DIALOG_UNANSWERED} if result is None else _mapping(result)


def set_relayed(registry: EndpointRegistry, accounts: Mapping[AccountId, Account], endpoints: RelayEndpoints) -> None:
    """Let these endpoints answer for each of `accounts` that is not registered itself."""
    commands: dict[str, dict[AccountId, CommandEndpoint]] = {}
    for name, account in accounts.items():
        if account.commands.native:
            endpoint = endpoints.for_commands(account)
            for path in command_paths(account):
                commands.setdefault(path, {})[name] = endpoint
    registry.set_relayed(commands, {name: endpoints.for_clicks(account) for name, account in accounts.items()})


def _harmless(account: Account) -> Callable[[str], str]:
    return clean if account.delivery.allow_channel_mentions else escape_channel_mentions


def _value(answer: RelayedAnswer) -> Any:
    """Raises CallbackRefused as the process that handled the request did."""
    if answer.is_refused:
        raise CallbackRefused(answer.status, answer.reason)
    return answer.value


def _mapping(answer: RelayedAnswer) -> Mapping[str, Any]:
    value = _value(answer)
    if not isinstance(value, Mapping):
        raise CallbackRefused(500, UNAVAILABLE)
    return value
