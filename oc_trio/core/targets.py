"""Parses the destinations of messages into types, without asking the server.

    channel:<id>  channel:<name>  #name  ~name  team/name  group:<id>      a channel
    user:<id>  mattermost:<id>  @username                                  a direct message
    <id>                                                                   a user if there is one, else a channel

Prefixes may be in any case.
"""

import re
from collections.abc import Sequence

from oc_trio.classes import frozen
from oc_trio.core.entities import Channel
from oc_trio.errors import AmbiguousTarget, UnknownTarget
from oc_trio.ids import ChannelId, UserId, is_mattermost_id


@frozen
class ChannelById:
    """A channel, group or direct channel by its 26-character id."""

    id: ChannelId


@frozen
class ChannelByName:
    """A channel by the name in its URL; an empty `team` (a team's URL name) means: any team of the bot."""

    name: str
    team: str = ""


@frozen
class UserById:
    """A direct message to the user with this id."""

    id: UserId


@frozen
class UserByName:
    """A direct message to the user with this username, lower-case and without `@`."""

    username: str


@frozen
class OpaqueId:
    """An id without a prefix: ask the server whether it is a user's, and if not, whether it is a channel's."""

    id: str


Target = ChannelById | ChannelByName | UserById | UserByName | OpaqueId

FORMS = "channel:<id>, channel:<name>, #name, team/name, user:<id>, @username, group:<id> or an id"

_PREFIX = re.compile(r"(channel|group|user|mattermost):", re.IGNORECASE)
# A little wider than Mattermost's rules for names in URLs; no match can leave its path segment.
_NAME = re.compile(r"[a-z0-9_][a-z0-9._-]{0,127}")


def parse_target(text: str) -> Target:
    """The destination in a text. Raises UnknownTarget, with a sentence for a person, if there is none."""
    spelled = text.strip()
    if not spelled:
        raise UnknownTarget(f"A recipient is required: {FORMS}.")
    prefix = _PREFIX.match(spelled)
    if prefix is None:
        return _bare(spelled)
    rest = spelled[prefix.end() :].strip()
    if not rest:
        raise UnknownTarget(f"Nothing follows {prefix.group()!r}: write {FORMS}.")
    match prefix.group(1).lower():
        case "channel":
            return ChannelById(ChannelId(rest)) if is_mattermost_id(rest) else _channel_name(rest.lstrip("#~"))
        case "group":
            if not is_mattermost_id(rest):
                raise UnknownTarget(f"group: takes the 26-character id of a group channel, not {rest!r}.")
            return ChannelById(ChannelId(rest))
        # The platform may stand before any other form, as in `mattermost:channel:<id>`.
        case "mattermost" if _PREFIX.match(rest) or rest[0] in "#~@":
            return parse_target(rest)
        case _:
            return UserById(UserId(rest)) if is_mattermost_id(rest) else _username(rest.removeprefix("@"))


def _bare(spelled: str) -> Target:
    if is_mattermost_id(spelled):
        # Ids of users and channels look alike; only the server can tell.
        return OpaqueId(spelled)
    if spelled.startswith("@"):
        return _username(spelled[1:])
    return _channel_name(spelled.lstrip("#~"))


def _username(text: str) -> UserByName:
    name = text.strip().lower()
    if not _NAME.fullmatch(name):
        raise UnknownTarget(f"{text!r} is not a username.")
    return UserByName(name)


def _channel_name(text: str) -> ChannelByName:
    team, slash, name = text.strip().lower().rpartition("/")
    if not _NAME.fullmatch(name) or (slash and not _NAME.fullmatch(team)):
        raise UnknownTarget(f"{text!r} is not a channel name as it stands in URLs; write {FORMS}.")
    return ChannelByName(name, team)


def choose_channel(target: ChannelByName, candidates: Sequence[tuple[str, Channel]]) -> Channel:
    """The one channel among those with the name; `candidates` pairs each with its team's URL name.

    Raises UnknownTarget for none and AmbiguousTarget for several, with candidates as `team/name`. An archived channel
    counts only if no live one has the name.
    """
    matching = [(team, channel) for team, channel in candidates if not target.team or team == target.team]
    # An archived channel must not make the name of a live one in another team ambiguous.
    live = [(team, channel) for team, channel in matching if not channel.delete_at] or matching
    distinct = {channel.id: (team, channel) for team, channel in live}
    if not distinct:
        where = f"in team {target.team}" if target.team else "in any team the bot belongs to"
        # Probably an id that was copied behind the wrong sign.
        otherwise = f" If that is an id, write channel:{target.name}." if is_mattermost_id(target.name) else ""
        raise UnknownTarget(f"There is no channel {target.name} {where}, or the bot may not see it.{otherwise}")
    if len(distinct) > 1:
        names = tuple(sorted(f"{team}/{target.name}" for team, _ in distinct.values()))
        raise AmbiguousTarget(
            f"Several teams have a channel {target.name}: write {' or '.join(names)}.", candidates=names
        )
    ((_, channel),) = distinct.values()
    return channel
