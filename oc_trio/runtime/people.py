"""Looks up who writes where, and asks the access policy whether they may use the bot there.

The decision itself is `core.access`; users and channels come from the directory's cache, pairings from the journal.
"""

from oc_trio.classes import frozen
from oc_trio.core.access import Access, AccessPolicy, Origin, authorise
from oc_trio.core.chat import Chat, Sender
from oc_trio.core.entities import User
from oc_trio.core.events import ChannelType
from oc_trio.errors import MattermostRejected
from oc_trio.ids import AccountId, ChannelId, UserId
from oc_trio.mattermost.directory import Directory
from oc_trio.store.pairing import Pairing


@frozen
class Caller:
    """A user in a channel, as the server knows both, and the access policy's decision about them.

    `channel_label` names the channel in a refusal.
    """

    sender: Sender
    chat: Chat
    access: Access
    channel_label: str = ""


@frozen(eq=False)
class People:
    """One account's look-ups; `bot` is the account's own user."""

    account: AccountId
    bot: UserId
    directory: Directory
    pairing: Pairing
    policy: AccessPolicy

    async def resolve(self, user_id: UserId, channel_id: ChannelId, origin: Origin = Origin.POST) -> Caller:
        """Look both up and apply the access policy. Raises MattermostError where either can't be looked up."""
        sender = self._sender_of(await self.directory.user(user_id))
        channel = await self.directory.channel(channel_id)
        chat = Chat(channel.id, channel.type, channel.team_id)
        access = authorise(sender, chat, self.policy, paired=await self.paired(chat), origin=origin)
        return Caller(sender, chat, access, "this direct message" if chat.is_direct else f"~{channel.name}")

    async def sender(self, user_id: UserId) -> Sender:
        """A user; one that the server refuses to show has an id only, which every policy refuses.

        Raises MattermostUnavailable, PayloadError.
        """
        try:
            return self._sender_of(await self.directory.user(user_id))
        except MattermostRejected:
            # Not an error: the post then counts as seen, while an error would make the connection bring it again and
            # again.
            return Sender(user_id)

    async def chat(self, channel_id: ChannelId, event_type: ChannelType | None = None) -> Chat:
        """A channel; one that the server refuses to show has the type that the event named, and no team.

        Raises MattermostUnavailable, PayloadError.
        """
        try:
            channel = await self.directory.channel(channel_id)
        except MattermostRejected:
            return Chat(channel_id, event_type)
        return Chat(channel.id, channel.type, channel.team_id)

    def known_sender(self, user_id: UserId) -> Sender | None:
        """A user as `sender` gives them, where they are known without asking the server."""
        user = self.directory.known_user(user_id)
        return self._sender_of(user) if user is not None else None

    def known_chat(self, channel_id: ChannelId) -> Chat | None:
        """A channel as `chat` gives it, where it is known without asking the server."""
        channel = self.directory.known_channel(channel_id)
        return Chat(channel.id, channel.type, channel.team_id) if channel is not None else None

    async def paired(self, chat: Chat) -> frozenset[UserId]:
        """The users whose pairing counts in `chat`: it opens direct messages only."""
        return await self.pairing.approved(self.account) if chat.is_direct else frozenset()

    def _sender_of(self, user: User) -> Sender:
        return Sender(user.id, user.username, user.is_bot, is_self=user.id == self.bot)
