"""Lists the people and channels that an account can reach, over all pages and teams; matches and sorts them.

A failure is raised, never an empty list returned: commands for several accounts report the failure of each one.
"""

from collections.abc import Iterable

from attrs import asdict

from oc_trio.classes import frozen
from oc_trio.core.entities import Channel, User
from oc_trio.core.events import ChannelType
from oc_trio.ids import AccountId, UserId
from oc_trio.mattermost.concurrency import run_bounded
from oc_trio.runtime.delivery.compose import OutboundClient
from oc_trio.runtime.delivery.targets import Place

# Each team means several pages of its members, from a server that people are using.
_TEAMS_AT_ONCE = 4
# The most that the server gives for one search.
_SEARCHED = 1000
_KINDS = {
    ChannelType.OPEN: "channel",
    ChannelType.PRIVATE: "group",
    ChannelType.GROUP: "group",
    ChannelType.DIRECT: "user",
}


@frozen
class Entry:
    """One line: `id` can be used as a target as it is, `handle` is for people."""

    account: AccountId
    kind: str
    id: str
    name: str
    handle: str = ""
    team: str = ""

    def fields(self) -> dict[str, str]:
        return {key: value for key, value in asdict(self).items() if value}


def self_entry(outbound: OutboundClient) -> Entry:
    """The bot itself."""
    return _user(outbound.account, outbound.user)


async def peers(outbound: OutboundClient, query: str = "") -> tuple[Entry, ...]:
    """Everybody in any team of the bot, by name; with a query those whose username or names begin with it."""
    api, users_by_id = outbound.api, dict[UserId, User]()
    teams = await api.teams.mine()

    async def of_team(number: int) -> None:
        team = teams[number]
        if query:
            users = await api.users.search(query.removeprefix("@"), team_id=team.id, limit=_SEARCHED)
        else:
            users = await api.users.by_ids(await api.teams.members(team.id))
        # By id: most people are in several of the bot's teams.
        users_by_id.update((user.id, user) for user in users)

    await run_bounded(of_team, range(len(teams)), _TEAMS_AT_ONCE)
    return _people(outbound, users_by_id.values())


async def members(outbound: OutboundClient, place: Place, query: str = "") -> tuple[Entry, ...]:
    """Everybody in a channel; with a query those in whose names it occurs."""
    channel_id = await outbound.channel_id(place)
    users = await outbound.api.users.by_ids(await outbound.api.channels.members(channel_id))
    text = query.removeprefix("@").lower()
    return _people(outbound, [user for user in users if text in f"{user.username} {user.display_name}".lower()])


async def groups(outbound: OutboundClient, query: str = "") -> tuple[Entry, ...]:
    """The channels that the bot is in, direct ones left out; with a query those in whose names it occurs."""
    teams = {team.id: team.name for team in await outbound.api.teams.mine()}
    text = query.lstrip("#~").lower()
    channels = [
        channel
        for channel in await outbound.api.channels.mine()
        if channel.type is not ChannelType.DIRECT and text in f"{channel.name} {channel.display_name}".lower()
    ]
    entries = [_channel(outbound.account, channel, teams.get(channel.team_id, "")) for channel in channels]
    return tuple(sorted(entries, key=lambda entry: (entry.team, entry.name, entry.id)))


def _people(outbound: OutboundClient, users: Iterable[User]) -> tuple[Entry, ...]:
    # The lists of a team have people who were deactivated, too; nobody could reach those.
    known = [user for user in users if user.id != outbound.user.id and not user.delete_at]
    return tuple(_user(outbound.account, user) for user in sorted(known, key=lambda user: user.username))


def _user(account: AccountId, user: User) -> Entry:
    handle = user.display_name if user.display_name != user.username else ""
    return Entry(account, "user", f"user:{user.id}", f"@{user.username}", handle)


def _channel(account: AccountId, channel: Channel, team: str) -> Entry:
    # The name of a group channel is a hash, which `#` would not find.
    name = channel.name if channel.type is ChannelType.GROUP else f"#{channel.name}"
    return Entry(account, _KINDS[channel.type], f"channel:{channel.id}", name, channel.display_name, team)
