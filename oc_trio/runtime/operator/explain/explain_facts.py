"""Asks Mattermost what `oc-trio explain` can't read in the journal: names, and why a post may never have come.

Everything here is optional: without a server, ids stand alone.
"""

from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime

import trio
from attrs import field

from oc_trio.classes import define
from oc_trio.config.accounts import Account
from oc_trio.config.load import Loaded
from oc_trio.core.entities import Channel
from oc_trio.core.events import ChannelType
from oc_trio.core.exception_groups import first_leaf
from oc_trio.core.second_gateway import Installation
from oc_trio.errors import MattermostError, MattermostRejected, OcTrioError
from oc_trio.ids import AccountId, ChannelId, PostId, TeamId, UserId, is_mattermost_id
from oc_trio.runtime.account.outbound_client import dependencies_for, open_outbound_client
from oc_trio.runtime.delivery.compose import OutboundClient

# For each account's server: what the journal knows is shown without it.
SECONDS = 5.0


@define
class ServerFacts:
    """`names` by id, for people: `@alice`, `~town-square`. `bots` are usernames by account, `unseen` sentences about a
    post that the journal does not have; `problem` says why the server could not be asked.
    """

    names: dict[str, str] = field(factory=dict)
    bots: dict[AccountId, str] = field(factory=dict)
    unseen: list[str] = field(factory=list)
    problem: str = ""

    def named(self, id_: str) -> str:
        """The name with the id, the id alone where the name is not known."""
        return f"{self.names[id_]} ({id_})" if id_ in self.names else id_


async def look_up_names(
    loaded: Loaded, accounts: Iterable[AccountId], users: Iterable[str], channels: Iterable[str]
) -> ServerFacts:
    """The names of users and channels, and of the bots of the accounts that saw a message."""
    facts = ServerFacts()

    async def ask(account: Account, outbound: OutboundClient) -> None:
        facts.bots[AccountId(account.id)] = outbound.user.username
        wanted = [UserId(each) for each in users if is_mattermost_id(each) and each not in facts.names]
        # All users with one request; channels can only be asked for one by one.
        facts.names |= {user.id: f"@{user.username}" for user in await outbound.api.users.by_ids(wanted)}
        for each in channels:
            if is_mattermost_id(each) and each not in facts.names:
                facts.names[each] = await _channel_name(outbound, await outbound.api.channels.get(ChannelId(each)))

    await _each(loaded, accounts, facts, ask)
    return facts


async def look_up_unseen(
    loaded: Loaded,
    accounts: Iterable[AccountId],
    post_id: str,
    installation: Installation | None,
) -> ServerFacts:
    """Why the journal does not have a post, as far as the accounts' servers can say."""
    facts = ServerFacts()
    chosen = tuple(accounts)

    async def ask(account: Account, outbound: OutboundClient) -> None:
        prefix = f"account {account.id}: " if len(chosen) > 1 else ""
        facts.unseen.append(prefix + await _why_unseen(account, outbound, PostId(post_id), installation))

    if is_mattermost_id(post_id):
        await _each(loaded, chosen, facts, ask)
    return facts


async def _each(
    loaded: Loaded,
    accounts: Iterable[AccountId],
    facts: ServerFacts,
    ask: Callable[[Account, OutboundClient], Awaitable[None]],
) -> None:
    """Call `ask` with each account's server; one that fails becomes the facts' `problem`."""
    for name in accounts:
        account = loaded.accounts.get(name)
        if account is None:
            continue
        with trio.move_on_after(SECONDS) as scope:
            try:
                async with open_outbound_client(loaded, account, await dependencies_for(account)) as outbound:
                    await ask(account, outbound)
            # Facts are optional: one account's server that fails must not keep the others' from being asked.
            except* OcTrioError as group:
                facts.problem = f"{account.base_url} could not be asked: {first_leaf(group)}"
        if scope.cancelled_caught:
            facts.problem = f"{account.base_url} does not answer within {SECONDS:g} s"


async def _why_unseen(
    account: Account, outbound: OutboundClient, post_id: PostId, installation: Installation | None
) -> str:
    """One sentence. Raises MattermostUnavailable."""
    bot = outbound.user.username
    try:
        post = await outbound.api.posts.get(post_id)
    except MattermostRejected as refusal:
        # The token is at fault, not the post: the caller says so.
        if refusal.is_auth:
            raise
        if refusal.status == 404:
            return f"{account.base_url} has no such post: it was deleted, or is another server's"
        return (
            f"@{bot} may not read that post: it is in a private channel or a conversation that it is not a member of. "
            f"Type /invite @{bot} there; what was said before that is not answered"
        )
    if post.user_id == outbound.user.id:
        return f"@{bot} itself posted it, and not through this gateway: see `second gateway` in oc-trio status"
    channel = await outbound.api.channels.get(post.channel_id)
    where = await _channel_name(outbound, channel)
    try:
        is_member = await outbound.api.channels.has_member(channel.id, outbound.user.id)
    except MattermostRejected:
        is_member = False
    if not is_member:
        return (
            f"@{bot} is not a member of that channel, {where}: type /invite @{bot} there; what was said before that is "
            "not answered"
        )
    posted = datetime.fromtimestamp(post.create_at / 1000, UTC)
    said = f"it was posted at {posted:%Y-%m-%d %H:%M:%S} UTC in {where}"
    if installation is None:
        return f"{said}, and no gateway has run with this journal yet"
    if post.create_at < installation.since:
        return f"{said}, before this gateway's first start"
    return (
        f"{said}, where @{bot} is a member: either @{bot} joined later, or no gateway was live (oc-trio status says "
        "whether one is); after an outage it is caught up"
    )


async def _channel_name(outbound: OutboundClient, channel: Channel) -> str:
    match channel.type:
        case ChannelType.DIRECT:
            return "a direct conversation"
        case ChannelType.GROUP:
            return "a group conversation"
    try:
        team = (await outbound.api.teams.get(TeamId(channel.team_id))).name
    except MattermostError:
        team = ""
    return f"~{channel.name}" + (f" of team {team}" if team else "")
