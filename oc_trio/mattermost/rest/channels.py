"""REST endpoints for channels."""

from oc_trio.classes import frozen
from oc_trio.core.decode import channel_type
from oc_trio.core.decode_entities import decode_channel
from oc_trio.core.entities import Channel
from oc_trio.core.ratelimit import Lane
from oc_trio.errors import MattermostRejected, PayloadError
from oc_trio.ids import ChannelId, TeamId, UserId
from oc_trio.mattermost.rest.pages import MAX_PAGES, PER_PAGE, member_ids, rows
from oc_trio.mattermost.rest.paths import segment
from oc_trio.mattermost.transport import Transport


@frozen(eq=False)
class ChannelsApi:
    """`/channels`. Unknown, foreign and forbidden ones are all 403."""

    transport: Transport

    async def get(self, channel_id: ChannelId) -> Channel:
        """One channel by id."""
        return decode_channel(await self.transport.request("GET", f"/channels/{segment(channel_id)}"))

    async def by_name(self, team_id: TeamId, name: str) -> Channel:
        """One channel by the name in its URL."""
        path = f"/teams/{segment(team_id)}/channels/name/{segment(name)}"
        return decode_channel(await self.transport.request("GET", path))

    async def mine(self) -> tuple[Channel, ...]:
        """Every channel that the account is in, of all teams and kinds, with `last_post_at`; not the archived ones.

        The server answers with the whole list; should it begin to page, the other pages are read, too.
        """

        channels: dict[ChannelId, Channel] = {}
        for number in range(MAX_PAGES):
            params = {"page": number, "per_page": PER_PAGE}
            items = rows(await self.transport.request("GET", "/users/me/channels", params=params), "channels")
            before = len(channels)
            # A channel of an unknown type, of a newer server, is left out and does not hide the others.
            known = [decode_channel(row) for row in items if channel_type(str(row.get("type"))) is not None]
            channels.update((channel.id, channel) for channel in known)
            # A server without pages repeats itself: nothing new is the end as well.
            if len(items) != PER_PAGE or len(channels) == before:
                break
        return tuple(channels.values())

    async def members(self, channel_id: ChannelId) -> tuple[UserId, ...]:
        """The ids of all members, page by page."""
        return await member_ids(self.transport, f"/channels/{segment(channel_id)}/members")

    async def has_member(self, channel_id: ChannelId, user_id: UserId) -> bool:
        """Whether a user is in a channel. Raises MattermostRejected where the account may not know."""
        path = f"/channels/{segment(channel_id)}/members/{segment(user_id)}"
        try:
            answer = await self.transport.request("GET", path)
        except MattermostRejected as refusal:
            if refusal.status == 404:
                return False
            raise
        member = (answer.get("channel_id"), answer.get("user_id")) if isinstance(answer, dict) else ()
        # Rights depend on this answer, so one that is about somebody else must not count.
        if member != (channel_id, user_id):
            raise PayloadError(f"{path}: the answer is about another member")
        return True

    async def direct(self, one: UserId, other: UserId) -> Channel:
        """The direct channel of two users, made if need be; 201 with the same channel each time."""
        answer = await self.transport.request("POST", "/channels/direct", json=[one, other], lane=Lane.CREATE)
        return decode_channel(answer)
