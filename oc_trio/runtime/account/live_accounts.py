"""The accounts that run now, for whoever looks at them from outside: the status page and its actions.

An account puts itself in here while it serves. Nothing is decided or copied: readers look at the same objects.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from attrs import field

from oc_trio.classes import define, frozen
from oc_trio.ids import AccountId, ChannelId, SessionKey, UserId
from oc_trio.mattermost.directory import Directory
from oc_trio.runtime.conversation.cancel_reason import CancelReason
from oc_trio.runtime.conversation.dispatcher import Dispatcher
from oc_trio.runtime.turn.live_drafts import LiveDrafts


@frozen(eq=False)
class LiveAccount:
    """One running account: its conversations, the drafts of its turns, and the names that it knows."""

    id: AccountId
    dispatcher: Dispatcher
    drafts: LiveDrafts
    directory: Directory


@define(eq=False)
class LiveAccounts:
    """All running accounts of the process."""

    _accounts: dict[AccountId, LiveAccount] = field(init=False, factory=dict)

    def name_of(self, account: AccountId, of: UserId | ChannelId) -> str:
        """The name of a user or a channel, if the account runs and has looked it up lately; else ""."""
        live = self._accounts.get(account)
        return live.directory.cached_name(of) if live is not None else ""

    def __iter__(self) -> Iterator[LiveAccount]:
        return iter([self._accounts[name] for name in sorted(self._accounts)])

    @contextmanager
    def serving(self, account: LiveAccount) -> Iterator[None]:
        """Keep the account in the table for as long as the block runs."""
        self._accounts[account.id] = account
        try:
            yield
        finally:
            del self._accounts[account.id]

    def stop_of(self, account: AccountId, session: SessionKey) -> bool:
        """As `stop`, of one account: whether anything ran or waited."""
        return bool(self.stop(session, account))

    def stop(self, session: SessionKey, account: AccountId | None = None) -> tuple[AccountId, ...]:
        """Stop the running turn of a conversation and drop what waits there, as `/stop` does.

        Returns the accounts, of all or of the one given, where anything ran or waited.
        """
        found = [(live.id, live.dispatcher.get(session)) for live in self if account in (None, live.id)]
        reason = CancelReason.STOPPED.value
        return tuple(name for name, each in found if each is not None and each.stop(reason=reason, drop_queue=True))
