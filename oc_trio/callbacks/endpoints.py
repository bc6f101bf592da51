"""The registry of endpoints: accounts register and unregister while the app runs, and a reload may change the paths.

A path without a registered account answers 503 (or 405 to anything but POST): nothing is open by default.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from attrs import field

from oc_trio.callbacks.expected import ExpectedRequests
from oc_trio.classes import define, frozen
from oc_trio.core.entities import SlashCommand
from oc_trio.core.hooks import Hook, HookKind
from oc_trio.core.interactions import ButtonCallback
from oc_trio.core.mention_escape import escape_channel_mentions
from oc_trio.core.questions import DialogAnswer
from oc_trio.core.slash import SlashCall
from oc_trio.core.sourceip import Network
from oc_trio.ids import AccountId

CLICK_PREFIX = "/mattermost/interactions/"


def _nobody(_why: str) -> None:
    """For endpoints whose refusals nobody counts."""


@frozen(eq=False)
class CommandEndpoint:
    """An account's slash commands: `registered` is None until registration is complete; `call` gives the text that
    only the caller sees, or raises CallbackRefused. Texts for people go through `harmless`, which defuses mentions.
    `on_refused` is called with the reason of a refusal. `refresh` reads anew what is registered, where another process
    registers it.
    """

    registered: Callable[[], tuple[SlashCommand, ...] | None]
    call: Callable[[SlashCall], Awaitable[str]]
    harmless: Callable[[str], str] = escape_channel_mentions
    on_refused: Callable[[str], object] = _nobody
    refresh: Callable[[], Awaitable[None]] | None = None


@frozen(eq=False)
class ButtonEndpoint:
    """An account's buttons and dialogs: both give the JSON object of the answer, or raise CallbackRefused. Texts for
    people go through `harmless`, which defuses mentions. `on_refused` is called with the reason of a refusal.
    """

    bot_token: Callable[[], str]
    click: Callable[[ButtonCallback], Awaitable[Mapping[str, Any]]]
    dialog: Callable[[DialogAnswer], Awaitable[Mapping[str, Any]]]
    harmless: Callable[[str], str] = escape_channel_mentions
    on_refused: Callable[[str], object] = _nobody


@frozen(eq=False)
class HookEndpoint:
    """The hooks below `path`: `take` returns the id under which a hook was admitted, or raises CallbackRefused."""

    path: str
    token: Callable[[], str]
    take: Callable[[HookKind, Hook], Awaitable[str]]


@define(eq=False)
class EndpointRegistry:
    """`command_paths` and `click_sources` (by account, empty for loopback only) are the whole public surface.

    `expected` are requests that a check of our own caused: they are answered before any endpoint sees them. What is
    relayed answers for accounts that are not registered, because another process serves them.
    """

    command_paths: tuple[str, ...] = ()
    click_sources: Mapping[AccountId, tuple[Network, ...]] = field(factory=dict)
    hooks: HookEndpoint | None = None
    expected: ExpectedRequests = field(init=False, factory=ExpectedRequests)
    # By path: accounts may share one, and are told apart by their tokens.
    _commands: dict[str, dict[AccountId, CommandEndpoint]] = field(init=False, factory=dict)
    _clicks: dict[AccountId, ButtonEndpoint] = field(init=False, factory=dict)
    # Of all accounts of the configuration, also of those that run here: these are registered above, and come first.
    _relayed_commands: Mapping[str, Mapping[AccountId, CommandEndpoint]] = field(init=False, factory=dict)
    _relayed_clicks: Mapping[AccountId, ButtonEndpoint] = field(init=False, factory=dict)

    @contextmanager
    def commands(self, account: AccountId, path: str, endpoint: CommandEndpoint) -> Iterator[None]:
        """Register an account's commands at `path` for the duration of the block."""
        table = self._commands.setdefault(path, {})
        table[account] = endpoint
        try:
            yield
        finally:
            # Not if the account has been registered again meanwhile.
            if table.get(account) is endpoint:
                del table[account]

    @contextmanager
    def clicks(self, account: AccountId, endpoint: ButtonEndpoint) -> Iterator[None]:
        """Register an account's buttons for the duration of the block."""
        self._clicks[account] = endpoint
        try:
            yield
        finally:
            if self._clicks.get(account) is endpoint:
                del self._clicks[account]

    def set_relayed(
        self, commands: Mapping[str, Mapping[AccountId, CommandEndpoint]], clicks: Mapping[AccountId, ButtonEndpoint]
    ) -> None:
        """Replace the endpoints that answer while an account is not registered; commands by path."""
        self._relayed_commands, self._relayed_clicks = commands, clicks

    def commands_at(self, path: str) -> Mapping[AccountId, CommandEndpoint]:
        own, relayed = self._commands.get(path, {}), self._relayed_commands.get(path, {})
        # Just taken over, an account refuses calls until its commands are registered; a relayed call waits.
        is_used = {name: each for name, each in own.items() if name not in relayed or each.registered() is not None}
        return {**relayed, **is_used}

    def relayed_clicks_of(self, account: AccountId) -> ButtonEndpoint | None:
        """What answers while the account is not registered."""
        return self._relayed_clicks.get(account)

    def relayed_commands_of(self, account: AccountId, path: str) -> CommandEndpoint | None:
        """As above, of commands."""
        return self._relayed_commands.get(path, {}).get(account)

    def clicks_of(self, account: AccountId) -> ButtonEndpoint | None:
        return self._clicks.get(account) or self._relayed_clicks.get(account)

    def hook_kind(self, path: str) -> HookKind | None:
        """The kind of hook at a path, or None."""
        if self.hooks is None:
            return None
        base = self.hooks.path.rstrip("/")
        return next((kind for kind in HookKind if path == f"{base}/{kind.value}"), None)
