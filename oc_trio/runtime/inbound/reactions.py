"""Keeps people's reactions as context for the agent's next turn in the conversation of the post.

A reaction starts no turn. The access policy is the one for posts, except that pairing can't be asked for and no mention
is needed. A reaction that can't be looked up now is dropped: it is not worth a reconnect.
"""

from oc_trio.core.access import Origin
from oc_trio.core.context import HistoryEntry, label
from oc_trio.core.events import Reacted
from oc_trio.core.routing import route_message
from oc_trio.errors import MattermostError
from oc_trio.ids import PostId, UserId
from oc_trio.runtime.services import AccountServices
from oc_trio.telemetry.log import get_logger

log = get_logger(part="reactions")


async def note_reaction(services: AccountServices, event: Reacted) -> None:
    """Keep a reaction for the next turn of its post's conversation, if its author may use the bot there."""
    if event.user_id == services.user.id:
        return
    try:
        caller = await services.people.resolve(event.user_id, event.channel_id, Origin.REACTION)
    except MattermostError as problem:
        log.info("a reaction was passed over", account=services.account, post=event.post_id, problem=str(problem))
        return
    sender, chat = caller.sender, caller.chat
    if not caller.access.allowed:
        log.debug("a reaction was refused", account=services.account, post=event.post_id, reason=caller.access.reason)
        return
    root_id = await _root_of(services, event.post_id)
    route = route_message(
        chat,
        sender.user_id,
        services.policies.routing,
        account=services.account,
        post_id=event.post_id,
        root_id=root_id,
    )
    verb = "added" if event.added else "removed"
    emoji = label(event.emoji, 64)
    entry = HistoryEntry(
        # The same for a reaction that a resumed connection replays, so that it is kept once.
        post_id=PostId(f"mattermost:reaction:{event.post_id}:{event.emoji}:{event.user_id}:{verb}"),
        channel_id=chat.channel_id,
        # Not the person's id: the entry is a line of the gateway's, and its text holds nothing that a person could
        # word.
        user_id=UserId("system"),
        name="",
        text=f"Mattermost reaction {verb}: :{emoji}: by @{label(sender.username)} on post {event.post_id}"
        f" in channel {chat.channel_id}",
        at=event.create_at or services.clock.now_ms(),
        trusted=True,
    )
    await services.context.remember(route.session, entry)


async def _root_of(services: AccountServices, post_id: PostId) -> str:
    """The root of the thread that a post is in; empty for a root, and where the server can't say."""
    try:
        return (await services.api.posts.get(post_id)).root_id or ""
    except MattermostError as problem:
        log.info("the thread of a reaction is unknown", account=services.account, post=post_id, problem=str(problem))
        return ""
