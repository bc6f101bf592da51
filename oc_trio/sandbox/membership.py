"""Joining and leaving teams and channels, and changing channels: the state, the system posts and the events."""

from collections.abc import Mapping

from oc_trio.sandbox import channels as channel_roles
from oc_trio.sandbox import teams as team_roles
from oc_trio.sandbox.channels import Channels
from oc_trio.sandbox.clock import SandboxClock
from oc_trio.sandbox.compact import dump
from oc_trio.sandbox.errors import ApiError, forbidden
from oc_trio.sandbox.hub import Broadcast, Hub
from oc_trio.sandbox.records import ChannelRecord, TeamRecord, UserRecord
from oc_trio.sandbox.teams import Teams
from oc_trio.sandbox.users import Users
from oc_trio.sandbox.views import channel_view
from oc_trio.sandbox.writing import Writing

DEFAULTS = (("town-square", "Town Square"), ("off-topic", "Off-Topic"))


class Memberships:
    """Changes teams and channels, and publishes what changed."""

    def __init__(
        self, clock: SandboxClock, users: Users, teams: Teams, channels: Channels, writing: Writing, hub: Hub
    ) -> None:
        self._clock = clock
        self._users = users
        self._teams = teams
        self._channels = channels
        self._writing = writing
        self._hub = hub

    def create_team(self, creator: UserRecord, name: str, display_name: str, type: str = "O") -> TeamRecord:  # noqa: A002
        team = self._teams.create(name, display_name, type=type, email=creator.email)
        for channel_name, title in DEFAULTS:
            self._channels.create(team, channel_name, title, "O", "")
        self.join_team(team, creator)
        # After `join_team`, which makes a plain member of the creator.
        team.roles[creator.id] = team_roles.ADMIN
        return team

    def join_team(self, team: TeamRecord, user: UserRecord) -> None:
        if user.id in team.roles:
            return
        team.roles[user.id] = team_roles.MEMBER
        for name, _ in DEFAULTS:
            channel = self._channels.named(team.id, name)
            if channel is not None:
                self.join(channel, user)
        self._hub.publish("added_to_team", {"team_id": team.id, "user_id": user.id}, Broadcast(user_id=user.id))

    def leave_team(self, team: TeamRecord, user: UserRecord) -> None:
        if team.roles.pop(user.id, None) is None:
            raise ApiError(404, "app.team.get_member.missing.app_error", "No team member found.")
        # Members of a team's channels must be members of the team.
        for channel in self._channels.of_team(team.id):
            channel.members.pop(user.id, None)
        data = {"team_id": team.id, "user_id": user.id}
        # Twice, since the person who left is no member any more and so not among the team's receivers.
        self._hub.publish("leave_team", data, Broadcast(user_id=user.id))
        self._hub.publish("leave_team", data, Broadcast(team_id=team.id, omit_users=(user.id,)))

    def create_channel(
        self,
        creator: UserRecord,
        team: TeamRecord,
        name: str,
        display_name: str,
        type: str,  # noqa: A002
    ) -> ChannelRecord:
        channel = self._channels.create(team, name, display_name, type, creator.id)
        channel.members[creator.id] = channel_roles.ADMIN
        self._joined_post(channel, creator)
        data = {"channel_id": channel.id, "team_id": team.id}
        self._hub.publish("channel_created", data, Broadcast(user_id=creator.id))
        return channel

    def join(self, channel: ChannelRecord, user: UserRecord) -> None:
        """Makes the user a member, by their own action; nothing happens if they are one."""
        if user.id not in channel.members:
            channel.members[user.id] = channel_roles.MEMBER
            self._joined_post(channel, user)
            self._publish_added(channel, user)

    def add(self, channel: ChannelRecord, user: UserRecord, by: UserRecord) -> None:
        """Adds a user, if `by` may: a member or an admin may add others, and anybody may join an open channel."""
        if not self._teams.is_member(user.id, channel.team_id):
            raise ApiError(404, "app.team.get_member.missing.app_error", "No team member found.")
        # A private channel can't be joined by oneself (contract scenario channel_join_and_leave).
        may = by.is_admin or by.id in channel.members or (channel.type == "O" and by.id == user.id)
        if not may:
            raise forbidden()
        if by.id == user.id:
            self.join(channel, user)
        elif user.id not in channel.members:
            channel.members[user.id] = channel_roles.MEMBER
            props = {
                "userId": by.id,
                "username": by.username,
                "addedUserId": user.id,
                "addedUsername": user.username,
            }
            text = f"{user.username} added to the channel by {by.username}."
            self._writing.system(by.id, channel, "system_add_to_channel", text, props)
            self._publish_added(channel, user)

    def remove(self, channel: ChannelRecord, user: UserRecord, by: UserRecord) -> None:
        if user.id not in channel.members:
            raise self._channels.not_a_member()
        if by.id != user.id and not by.is_admin and by.id not in channel.members:
            raise forbidden()
        # Before the events: those of the channel no longer go to the person who was removed, who gets one of their own.
        del channel.members[user.id]
        data = {"remover_id": by.id, "user_id": user.id}
        self._hub.publish("user_removed", data, Broadcast(channel_id=channel.id))
        self._hub.publish("user_removed", {"channel_id": channel.id, "remover_id": by.id}, Broadcast(user_id=user.id))
        if by.id == user.id:
            # The system post comes after the removal, so the person who left does not get it.
            text, props = f"{user.username} left the channel.", {"username": user.username}
            self._writing.system(user.id, channel, "system_leave_channel", text, props)
        else:
            removed = {"removedUserId": user.id, "removedUsername": user.username}
            text = f"@{user.username} removed from the channel."
            self._writing.system(by.id, channel, "system_remove_from_channel", text, removed)

    def _joined_post(self, channel: ChannelRecord, user: UserRecord) -> None:
        text = f"{user.username} joined the channel."
        self._writing.system(user.id, channel, "system_join_channel", text, {"username": user.username})

    def _publish_added(self, channel: ChannelRecord, user: UserRecord) -> None:
        data = {"team_id": channel.team_id, "user_id": user.id}
        self._hub.publish("user_added", data, Broadcast(user_id=user.id, channel_id=channel.id))
        self._hub.publish("user_added", data, Broadcast(channel_id=channel.id, omit_users=(user.id,)))

    def open_direct(self, creator: UserRecord, other_id: str) -> ChannelRecord:
        channel, is_new = self._channels.direct(creator, other_id)
        if is_new:
            data = {"creator_id": creator.id, "teammate_id": other_id}
            self._hub.publish("direct_added", data, Broadcast(channel_id=channel.id))
        return channel

    def open_group(self, creator: UserRecord, user_ids: tuple[str, ...]) -> ChannelRecord:
        channel, is_new = self._channels.group(creator, user_ids)
        for user_id in channel.members if is_new else ():
            data = {"teammate_ids": dump(list(channel.members))}
            self._hub.publish("group_added", data, Broadcast(user_id=user_id, channel_id=channel.id))
        return channel

    def patch(self, channel: ChannelRecord, by: UserRecord, fields: Mapping[str, str]) -> None:
        """Changes header, purpose, display name or name, with the system posts for header and display name."""
        old_header, old_title = channel.header, channel.display_name
        for key in ("header", "purpose", "display_name", "name"):
            setattr(channel, key, fields.get(key, getattr(channel, key)))
        channel.update_at = self._clock.now()
        who = {"username": by.username}
        if channel.header != old_header:
            props = {**who, "old_header": old_header, "new_header": channel.header}
            text = f"{by.username} updated the channel header to: {channel.header}"
            self._writing.system(by.id, channel, "system_header_change", text, props)
        if channel.display_name != old_title:
            props = {**who, "old_displayname": old_title, "new_displayname": channel.display_name}
            text = f"{by.username} updated the channel display name to: {channel.display_name}"
            self._writing.system(by.id, channel, "system_displayname_change", text, props)
        data = {"channel": dump(channel_view(channel))}
        self._hub.publish("channel_updated", data, Broadcast(channel_id=channel.id))

    def convert(self, channel: ChannelRecord, privacy: str) -> None:
        channel.type, channel.update_at = privacy, self._clock.now()
        self._hub.publish("channel_converted", {"channel_id": channel.id}, Broadcast(team_id=channel.team_id))

    def archive(self, channel: ChannelRecord, by: UserRecord) -> None:
        # Before the channel is archived: nothing can be posted there afterwards.
        text, props = f"{by.username} archived the channel.", {"username": by.username}
        self._writing.system(by.id, channel, "system_channel_deleted", text, props)
        channel.delete_at = channel.update_at = self._clock.now()
        data = {"channel_id": channel.id, "delete_at": channel.delete_at}
        self._hub.publish("channel_deleted", data, Broadcast(team_id=channel.team_id))

    def restore(self, channel: ChannelRecord, by: UserRecord) -> None:
        # And here before the post, for the same reason.
        channel.delete_at, channel.update_at = 0, self._clock.now()
        self._hub.publish("channel_restored", {"channel_id": channel.id}, Broadcast(team_id=channel.team_id))
        text, props = f"{by.username} unarchived the channel.", {"username": by.username}
        self._writing.system(by.id, channel, "system_channel_restored", text, props)
