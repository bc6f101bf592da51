"""Routes of reactions."""

from oc_trio.sandbox.compact import dump
from oc_trio.sandbox.errors import ApiError, forbidden
from oc_trio.sandbox.hub import Broadcast
from oc_trio.sandbox.records import PostRecord, Reaction
from oc_trio.sandbox.request import OK, SandboxResponse
from oc_trio.sandbox.rest.call import RestCall, RestRoute, text_of
from oc_trio.sandbox.views import reaction_view


def _reactable(call: RestCall, post_id: str) -> PostRecord:
    """A live post in a channel of the caller's; an unknown post is 403, a deleted one 404, as on the real server."""
    post = call.world.posts.find(post_id)
    if post is None:
        raise forbidden()
    channel = call.world.channels.require_member(call.user, post.channel_id)
    if channel.delete_at:
        raise ApiError(403, "api.reaction.save.archived_channel.app_error", "You cannot react in an archived channel.")
    return call.world.posts.live(post_id)


def _publish(call: RestCall, name: str, reaction: Reaction) -> None:
    data = {"reaction": dump(reaction_view(reaction))}
    call.world.hub.publish(name, data, Broadcast(channel_id=reaction.channel_id))


async def add(call: RestCall) -> SandboxResponse:
    body = call.json()
    emoji = text_of(body, "emoji_name")
    if not emoji:
        raise ApiError(400, "api.reaction.save_reaction.invalid.app_error", "Reaction is not valid.")
    # Not even an admin reacts for somebody else.
    if text_of(body, "user_id") != call.user.id:
        raise ApiError(403, "api.reaction.save_reaction.user_id.app_error", "You cannot save a reaction of another.")
    post = _reactable(call, text_of(body, "post_id"))
    reaction = call.world.reactions.add(call.user.id, post, emoji)
    # Also for a repeat, which changes nothing (contract scenario ws_reactions).
    _publish(call, "reaction_added", reaction)
    return SandboxResponse.json(reaction_view(reaction))


async def remove(call: RestCall) -> SandboxResponse:
    user_id, post = call.param("user_id"), _reactable(call, call.param("post_id"))
    if user_id != call.user.id and not call.user.is_admin:
        raise forbidden()
    _publish(call, "reaction_removed", call.world.reactions.remove(user_id, post, call.params["emoji"]))
    return OK


async def listing(call: RestCall) -> SandboxResponse:
    post = call.world.posts.live(call.param("post_id"))
    call.world.channels.require_read(call.user, post.channel_id)
    return SandboxResponse.json([reaction_view(reaction) for reaction in call.world.reactions.of(post.id)])


ROUTES = (
    RestRoute("POST", "/reactions", add),
    RestRoute("GET", "/posts/{post_id}/reactions", listing),
    RestRoute("DELETE", "/users/{user_id}/posts/{post_id}/reactions/{emoji:emoji}", remove),
)
