"""Channels of all types, their members, and who may read or write where. Publishes no events."""

import hashlib

from oc_trio.sandbox.clock import SandboxClock
from oc_trio.sandbox.errors import ApiError, bad_body, forbidden
from oc_trio.sandbox.records import ChannelRecord, TeamRecord, UserRecord
from oc_trio.sandbox.teams import Teams
from oc_trio.sandbox.users import Users

MEMBER = "channel_user"
ADMIN = "channel_user channel_admin"
# Members with the creator (contract scenario group_create).
GROUP_SIZE = range(3, 9)


class Channels:
    """All channels of a world, by id."""

    def __init__(self, clock: SandboxClock, users: Users, teams: Teams) -> None:
        self._clock = clock
        self._users = users
        self._teams = teams
        self._by_id: dict[str, ChannelRecord] = {}
        self._private_talks: dict[str, ChannelRecord] = {}  # by name: id__id, or the hash of a group

    def create(self, team: TeamRecord, name: str, display_name: str, type: str, creator_id: str) -> ChannelRecord:  # noqa: A002
        # Archived channels count too: a name is taken until somebody renames the channel.
        if any(c.name == name for c in self._by_id.values() if c.team_id == team.id):
            raise ApiError(400, "store.sql_channel.save_channel.exists.app_error", "A channel with that name exists.")
        return self._add(team.id, name, display_name, type, creator_id)

    def _add(self, team_id: str, name: str, display_name: str, type: str, creator_id: str) -> ChannelRecord:  # noqa: A002
        now = self._clock.now()
        channel = ChannelRecord(self._clock.new_id(), team_id, type, name, display_name, creator_id, now, update_at=now)
        self._by_id[channel.id] = channel
        return channel

    def direct(self, creator: UserRecord, other_id: str) -> tuple[ChannelRecord, bool]:
        """The direct channel of two users, and whether it is new."""
        if self._users.find(other_id) is None:
            raise ApiError(400, "api.channel.create_direct_channel.invalid_user.app_error", "Invalid user ID.")
        # The name does not depend on who opens the channel, so both get the same one (contract scenario direct_create).
        return self._private_talk("D", "__".join(sorted((creator.id, other_id))), "", creator, (creator.id, other_id))

    def group(self, creator: UserRecord, user_ids: tuple[str, ...]) -> tuple[ChannelRecord, bool]:
        ids = tuple(sorted({*user_ids, creator.id}))
        if len(ids) not in GROUP_SIZE:
            raise ApiError(400, "api.channel.create_group.bad_size.app_error", "A group has 3 to 8 members.")
        users = [self._users.find(user_id) for user_id in ids]
        # The display name of a group lists its members.
        names = sorted(user.username for user in users if user is not None)
        if len(names) != len(ids):
            raise ApiError(400, "api.channel.create_group.bad_user.app_error", "One of the users does not exist.")
        # Mattermost names a group channel by 40 hex digits (contract scenario channel_types).
        digest = hashlib.sha1("".join(ids).encode(), usedforsecurity=False).hexdigest()
        return self._private_talk("G", digest, ", ".join(names), creator, ids)

    def _private_talk(
        self,
        type: str,  # noqa: A002
        name: str,
        display_name: str,
        creator: UserRecord,
        ids: tuple[str, ...],
    ) -> tuple[ChannelRecord, bool]:
        known = self._private_talks.get(name)
        if known is not None:
            return known, False
        channel = self._private_talks[name] = self._add("", name, display_name, type, creator.id)
        channel.members.update(dict.fromkeys(ids, MEMBER))
        return channel, True

    def find(self, channel_id: str) -> ChannelRecord | None:
        return self._by_id.get(channel_id)

    def get(self, channel_id: str) -> ChannelRecord:
        channel = self._by_id.get(channel_id)
        if channel is None:
            raise ApiError(404, "app.channel.get.existing.app_error", "Unable to find the existing channel.")
        return channel

    def named(self, team_id: str, name: str) -> ChannelRecord | None:
        wanted = name.lower()
        return next((c for c in self._by_id.values() if c.name == wanted and c.team_id == team_id), None)

    def of_team(self, team_id: str) -> tuple[ChannelRecord, ...]:
        return tuple(c for c in self._by_id.values() if c.team_id == team_id)

    def of_user(self, user_id: str, team_id: str | None = None) -> tuple[ChannelRecord, ...]:
        """The user's live channels; with a team, those of the team and all direct and group ones."""
        mine = (c for c in self._by_id.values() if user_id in c.members and not c.delete_at)
        return tuple(c for c in mine if team_id is None or c.team_id in {team_id, ""})

    def is_member(self, user_id: str, channel_id: str) -> bool:
        channel = self._by_id.get(channel_id)
        # Also of an archived channel: its members still get its events.
        return channel is not None and user_id in channel.members

    def may_read(self, user: UserRecord, channel: ChannelRecord) -> bool:
        # A member of the team may read an open channel without joining it (contract scenario channel_not_a_member).
        open_to_team = channel.type == "O" and self._teams.is_member(user.id, channel.team_id)
        return user.is_admin or user.id in channel.members or open_to_team

    def require_read(self, user: UserRecord, channel_id: str) -> ChannelRecord:
        channel = self.get(channel_id)
        if not self.may_read(user, channel):
            raise forbidden()
        return channel

    def require_member(self, user: UserRecord, channel_id: str) -> ChannelRecord:
        """A channel that the user may write to or list; 403 for an unknown one too, as on the real server."""
        channel = self._by_id.get(channel_id)
        if channel is None or (user.id not in channel.members and not user.is_admin):
            raise forbidden()
        return channel

    def require_direct_pair(self, user: UserRecord, ids: tuple[str, ...]) -> str:
        """The other user of the pair for which a direct channel is requested."""
        if len(ids) != 2:
            raise bad_body("user_ids")
        # Only an admin opens a channel between two others (contract scenario direct_create_errors).
        if user.id not in ids and not user.is_admin:
            raise forbidden()
        return ids[1] if ids[0] == user.id else ids[0]

    def not_a_member(self) -> ApiError:
        return ApiError(404, "app.channel.get_member.missing.app_error", "No channel member found.")
