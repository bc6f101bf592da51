"""`oc-trio doctor` on ids: does each id of the configuration exist on the server, and is it of the kind it has to be?

A team's id in a list of users, a name where an id is needed, and an id that nobody knows have no effect at all. Each is
named with the key where it is, and with the right id where the server knows one.
"""

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum

import trio
from attrs import field

from oc_trio.classes import define, frozen
from oc_trio.config.accounts import ROOT, Account, normalize_account_id
from oc_trio.config.conversation import PeerKind
from oc_trio.config.load import Loaded
from oc_trio.config.parse import join
from oc_trio.core.access import normalise_entry
from oc_trio.core.entities import Channel, Team
from oc_trio.errors import MattermostError, MattermostRejected
from oc_trio.ids import AccountId, ChannelId, TeamId, UserId, is_mattermost_id
from oc_trio.mattermost.client import Api
from oc_trio.runtime.operator.findings import Finding, Level

# For all ids of an account.
_SECONDS = 30.0
# Up to two requests each: more would use up the seconds, and the rate limit that a running gateway shares.
_MOST_UNKNOWN = 50  # ids for which the server is asked one by one


class IdKind(Enum):
    USER = "user"
    TEAM = "team"
    CHANNEL = "channel"


@frozen
class Reference:
    """An entry of the configuration that has to be the id of a `kind`; `path` is its key."""

    path: str
    text: str
    kind: IdKind


def references(loaded: Loaded, account: Account) -> tuple[Reference, ...]:
    """The entries that are about this account's server, in the order of the file's sections."""
    return tuple(dict.fromkeys([*_of_account(loaded, account), *_of_all(loaded, account.id)]))


def _of_account(loaded: Loaded, account: Account) -> Iterator[Reference]:
    table = loaded.tables.get(account.id)

    def at(name: str) -> str:
        return table.origin(name) if table is not None else f"{ROOT}.{name}"

    access = account.access
    by_name = access.dangerously_allow_name_matching
    for name, entries in (("allowFrom", access.allow_from), ("groupAllowFrom", access.group_allow_from)):
        yield from _people(at(name), entries, by_name=by_name)
    yield from _people(at("botAllowFrom"), access.bot_allow_from)
    for index, team in enumerate(access.only_teams):
        yield Reference(join(at("onlyTeams"), index), team.strip(), IdKind.TEAM)
    for index, channel in enumerate(access.only_channels):
        yield Reference(join(at("onlyChannels"), index), channel.strip(), IdKind.CHANNEL)
    for group in account.gating.groups:
        if group != "*":
            yield Reference(join(at("groups"), group), group.strip(), IdKind.CHANNEL)


def _of_all(loaded: Loaded, account: AccountId) -> Iterator[Reference]:
    """What the accounts share, as far as it is about this one."""
    config = loaded.config
    for index, binding in enumerate(config.bindings):
        match, path = binding.match, f"{join('bindings', index)}.match"
        if match.channel != "mattermost" or not _is_about(match.account_id, account):
            continue
        if match.team_id:
            yield Reference(f"{path}.teamId", match.team_id.strip(), IdKind.TEAM)
        if match.peer is not None and match.peer.id != "*":
            kind = IdKind.USER if match.peer.kind is PeerKind.DIRECT else IdKind.CHANNEL
            yield Reference(f"{path}.peer.id", match.peer.id.strip(), kind)
    if len(loaded.accounts) > 1 and len({each.base_url for each in loaded.accounts.values()}) > 1:
        return  # lists for all accounts hold ids of several servers
    for name, group in config.access_groups.items():
        for channel in ("mattermost", "*"):
            yield from _people(f"{join('accessGroups', name)}.members.{channel}", group.members.get(channel, ()))
    yield from _people("commands.ownerAllowFrom", config.commands.owner_allow_from)
    for channel in ("mattermost", "*"):
        yield from _people(f"commands.allowFrom.{channel}", config.commands.allow_from.get(channel, ()))


def _is_about(written: str | None, account: AccountId) -> bool:
    return written in (None, "*") or normalize_account_id(written or "") == account


def _people(path: str, entries: Iterable[str], *, by_name: bool = False) -> Iterator[Reference]:
    for index, entry in enumerate(entries):
        text = normalise_entry(entry)
        if text in ("", "*") or text.startswith("accessgroup:") or (by_name and not is_mattermost_id(text)):
            continue
        yield Reference(join(path, index), entry.strip() if not is_mattermost_id(text) else text, IdKind.USER)


@define(eq=False)
class _Known:
    """What the server knows of ids, asked once for each."""

    api: Api
    teams: dict[str, Team]
    channels: dict[str, Channel]
    users: dict[str, str] = field(factory=dict)

    async def kind_of(self, text: str) -> tuple[IdKind, str] | None:
        """The kind of an id, and the name of what it is of; None where the server does not say."""
        if text in self.users:
            return IdKind.USER, f"@{self.users[text]}"
        if text in self.teams:
            return IdKind.TEAM, self.teams[text].name
        if text in self.channels:
            return IdKind.CHANNEL, self.channels[text].name or "a direct channel"
        try:
            # Ids say nothing of their kind, so one that is not at hand is tried as each.
            channel = await self.api.channels.get(ChannelId(text))
        except MattermostRejected:
            pass
        else:
            self.channels[text] = channel
            return IdKind.CHANNEL, channel.name
        try:
            team = await self.api.teams.get(TeamId(text))
        except MattermostRejected:
            return None
        self.teams[text] = team
        return IdKind.TEAM, team.name

    async def id_of(self, name: str, kind: IdKind) -> str:
        """The id of what has that name; empty where there is none, or where several teams have it."""
        bare = name.lstrip("#~@").strip().lower()
        try:
            match kind:
                case IdKind.USER:
                    return (await self.api.users.by_username(bare)).id
                case IdKind.TEAM:
                    return (await self.api.teams.by_name(bare)).id
                case IdKind.CHANNEL:
                    return await self._channel_id(bare)
        except MattermostRejected:
            return ""

    async def _channel_id(self, name: str) -> str:
        found = {one.id for one in self.channels.values() if name in (one.name, one.display_name.lower())}
        for team in self.teams.values():
            try:
                found.add((await self.api.channels.by_name(team.id, name)).id)
            except MattermostRejected:
                continue
        # A suggestion that may be the wrong team's would be worse than none.
        return found.pop() if len(found) == 1 else ""


async def check_ids(
    loaded: Loaded, account: Account, api: Api, teams: Sequence[Team], channels: Sequence[Channel]
) -> list[Finding]:
    """One finding for each entry that fits nothing, or one for all of them where all are well."""
    subject, wanted = f"ids of {account.id}", references(loaded, account)
    if not wanted:
        return []
    known = _Known(api, {team.id: team for team in teams}, {channel.id: channel for channel in channels})
    found: list[Finding] = []
    unasked: list[str] = []
    try:
        with trio.fail_after(_SECONDS):
            # All at once: most entries are users, and one request tells of all that are.
            ids = [one.text for one in wanted if is_mattermost_id(one.text)]
            known.users |= {user.id: user.username for user in await api.users.by_ids(map(UserId, ids))}
            for number, one in enumerate(wanted):
                if number >= _MOST_UNKNOWN and one.text not in {**known.users, **known.teams, **known.channels}:
                    unasked.append(one.path)
                    continue
                problem = await _judge(one, known, subject)
                found += [problem] if problem is not None else []
    except (MattermostError, trio.TooSlowError) as problem:
        why = str(problem) or f"no answer within {_SECONDS:g} s"
        found.append(Finding(Level.WARNING, subject, f"could not be looked up: {why}", "ids.unasked", "try again"))
    if unasked:
        text = f"not looked up, for there are too many: {', '.join(unasked[:5])} and so on"
        found.append(Finding(Level.WARNING, subject, text, "ids.unasked", "oc-trio channels resolve ID"))
    if not found:
        count = "1 entry is" if len(wanted) == 1 else f"{len(wanted)} entries are"
        return [Finding(Level.OK, subject, f"{count} known", "ids.ok")]
    return found


async def _judge(one: Reference, known: _Known, subject: str) -> Finding | None:
    if not is_mattermost_id(one.text):
        right = await known.id_of(one.text, one.kind)
        text = f'{one.path}: "{one.text}" is a name, and an id of a {one.kind.value} is needed'
        fix = f'write "{right}"' if right else f"oc-trio channels resolve {_mark(one.kind)}NAME prints ids"
        return Finding(Level.FAILED, subject, text, "ids.name", fix)
    thing = await known.kind_of(one.text)
    if thing is None:
        text = f"{one.path}: {one.text} is no id that the server shows to this bot"
        fix = "correct or remove it; a private channel is shown to its members only: /invite the bot there"
        return Finding(Level.WARNING, subject, text, "ids.unknown", fix)
    kind, name = thing
    if kind is one.kind:
        return None
    text = f"{one.path}: {one.text} is the id of a {kind.value} ({name}), and one of a {one.kind.value} is needed"
    return Finding(Level.FAILED, subject, text, "ids.kind", _PLACES[kind, one.kind])


def _mark(kind: IdKind) -> str:
    return {IdKind.USER: "@", IdKind.CHANNEL: "#", IdKind.TEAM: ""}[kind]


_PLACES = {
    (IdKind.TEAM, IdKind.USER): "list user ids there; onlyTeams and bindings[].match.teamId are for teams",
    (IdKind.CHANNEL, IdKind.USER): "list user ids there; onlyChannels and groups are for channels",
    (IdKind.USER, IdKind.TEAM): "list team ids there; allowFrom and groupAllowFrom are for people",
    (IdKind.CHANNEL, IdKind.TEAM): "list team ids there; onlyChannels is for channels",
    (IdKind.USER, IdKind.CHANNEL): "list channel ids there; allowFrom and groupAllowFrom are for people",
    (IdKind.TEAM, IdKind.CHANNEL): "list channel ids there; onlyTeams is for teams",
}
