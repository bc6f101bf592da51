"""Reactions of people as events for the agent: kept with what was overheard, told with the next turn.

A reaction starts no turn. The same policy decides as for posts, without pairing and mention; it belongs to the
conversation without its threads. What can't be decided now is dropped: a reaction is not worth a reconnect.
"""

from oc_trio.core.access import Origin, authorise
from oc_trio.core.chat import Chat, Sender
from oc_trio.core.context import Entry, label
from oc_trio.core.events import Reacted
from oc_trio.core.routing import route_message
from oc_trio.errors import MattermostError
from oc_trio.ids import PostId, UserId
from oc_trio.runtime.services import AccountServices
from oc_trio.telemetry.log import get_logger

log = get_logger(part="reactions")


async def note_reaction(services: AccountServices, event: Reacted) -> None:
    """Keep a reaction for the next turn of its conversation, if its author may talk to the bot."""
    if event.user_id == services.user.id:
        return
    try:
        channel = await services.directory.channel(event.channel_id)
        user = await services.directory.user(event.user_id)
    except MattermostError as problem:
        log.info("a reaction was passed over", account=services.account, post=event.post_id, problem=str(problem))
        return
    chat = Chat(channel.id, channel.type, channel.team_id)
    paired = await services.store.pairing.approved(services.account) if chat.is_direct else frozenset[UserId]()
    sender = Sender(user.id, user.username, user.is_bot)
    access = authorise(sender, chat, services.policies.access, paired=paired, origin=Origin.REACTION)
    if not access.allowed:
        log.debug("a reaction was refused", account=services.account, post=event.post_id, reason=access.reason)
        return
    way = route_message(chat, user.id, services.policies.routing, account=services.account)
    verb = "added" if event.added else "removed"
    emoji = label(event.emoji, 64)
    entry = Entry(
        # Told twice (a resume replays it), it is one event.
        post_id=PostId(f"mattermost:reaction:{event.post_id}:{event.emoji}:{event.user_id}:{verb}"),
        channel_id=channel.id,
        user_id=UserId("system"),
        name="",
        text=f"Mattermost reaction {verb}: :{emoji}: by @{label(user.username)} on post {event.post_id}"
        f" in channel {channel.id}",
        at=event.create_at or services.clock.now_ms(),
        trusted=True,
    )
    await services.context.overheard(way.base, entry)
