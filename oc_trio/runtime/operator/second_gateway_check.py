"""Finds out for `oc-trio doctor` whether somebody else uses an account's bot, whether a gateway runs or not.

Reads the newest posts of the bot and its slash commands, and compares them with the journal. A running gateway sees the
same by its events (`runtime.second_gateway`).
"""

from collections.abc import Sequence

from oc_trio.core.entities import Team, User
from oc_trio.core.post_marker import read_marker
from oc_trio.core.second_gateway import Sign, is_anothers, sentence, sign_of
from oc_trio.errors import MattermostError
from oc_trio.ids import AccountId, OutboxId
from oc_trio.mattermost.client import Api
from oc_trio.store.store import Store

# Only what was posted in the last day counts: who has stopped the other gateway is to read "ok" the next day.
RECENT_MS = 86_400_000
# The channels that were used last; one request each.
MAX_CHANNELS = 20
# The newest posts of a channel tell as much as all of the last day.
_PAGE = 60


async def second_gateway_findings(
    api: Api, user: User, account: AccountId, teams: Sequence[Team], store: Store, now_ms: int
) -> tuple[str, ...]:
    """What shows that somebody else uses the bot, in sentences; empty if nothing does.

    `user` is the bot, `teams` are those it is in. Channels and teams that can't be read are passed over. Raises
    MattermostError where the server can't be asked at all, StoreError.
    """
    installation = await store.installation.get()
    if installation is None:
        return ()  # no gateway has run with this journal: nothing can be told apart yet
    signs: dict[str, str] = {}
    channels = sorted(await api.channels.mine(), key=lambda channel: -channel.last_post_at)
    for channel in channels[:MAX_CHANNELS]:
        # They are sorted by that time: all that follow are older still.
        if channel.last_post_at < now_ms - RECENT_MS:
            break
        try:
            posts = (await api.posts.page(channel.id, per_page=_PAGE)).posts
        except MattermostError:
            continue
        for post in posts:
            if post.user_id != user.id or post.create_at < now_ms - RECENT_MS:
                continue
            key = read_marker(post.props).key
            is_sent = not is_anothers(post, installation) and await _is_sent(store, account, key)
            sign = sign_of(
                post, installation, started_at=now_ms, is_sent=is_sent, is_live=False, is_person=not user.is_bot
            )
            if sign is not None:
                other = read_marker(post.props).installation if sign is Sign.INSTALLATION else ""
                text = sentence(sign, user.username, other)
                signs.setdefault(text, f"{text}. One such post is {post.id}, in channel {channel.name}")
    return (*signs.values(), *await _moved_commands(api, user, account, teams, store))


async def _is_sent(store: Store, account: AccountId, key: str) -> bool:
    row = await store.outbox.get(OutboxId(key)) if key else None
    return row is not None and row.account == account


async def _moved_commands(
    api: Api, user: User, account: AccountId, teams: Sequence[Team], store: Store
) -> tuple[str, ...]:
    """Commands of the bot that lead elsewhere than where this journal's gateway pointed them."""
    # Lower case on both sides: Mattermost keeps triggers so, whatever was registered.
    remembered = {(each.team_id, each.trigger.lower()): each.url for each in await store.commands.all(account)}
    moved: set[tuple[str, str]] = set()
    for team in teams:
        try:
            listed = await api.commands.list(team.id)
        except MattermostError:
            continue
        for command in listed:
            url = remembered.get((team.id, command.trigger.lower()), "")
            if command.creator_id == user.id and not command.delete_at and url not in ("", command.url):
                moved.add((command.url, team.name))
    return tuple(sentence(Sign.COMMANDS, user.username, f"{url} in team {team}") for url, team in sorted(moved))
