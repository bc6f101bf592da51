"""REST endpoints for posts and reactions. Edits are always `/patch`: a full PUT drops props and buttons."""

from collections.abc import Callable, Mapping
from typing import Any

from oc_trio.classes import frozen
from oc_trio.core.decode import decode_post
from oc_trio.core.decode_entities import decode_page
from oc_trio.core.entities import NewPost, PostPage
from oc_trio.core.events import Post
from oc_trio.core.mention_escape import escape_channel_mentions, escape_props
from oc_trio.core.ratelimit import Lane
from oc_trio.errors import MattermostRejected
from oc_trio.ids import ChannelId, PostId, TeamId, UserId
from oc_trio.mattermost.rest.pages import PER_PAGE, id_list, rows
from oc_trio.mattermost.rest.paths import segment
from oc_trio.mattermost.transport import Transport

# More than any sane thread; the server pages beyond this.
_THREAD_PAGES = 50
_NO_EMOJI = "app.emoji.get_by_name.no_result"


@frozen(eq=False)
class PostsApi:
    """`/posts`. Editing a post that was deleted or is another's is 403, deleting a deleted one 404.

    Every text goes through `harmless`, so that nothing that is posted pings a channel unasked.
    """

    transport: Transport
    harmless: Callable[[str], str] = escape_channel_mentions

    async def create(self, new: NewPost, *, lane: Lane = Lane.CREATE) -> Post:
        """Send one create request; `post_creator` makes it idempotent."""
        body: dict[str, Any] = {"channel_id": new.channel_id, "message": self.harmless(new.message)}
        optional = {
            "root_id": new.root_id,
            "pending_post_id": new.pending_post_id,
            "props": escape_props(new.props, self.harmless),
            "file_ids": list(new.file_ids),
        }
        body.update((key, value) for key, value in optional.items() if value)
        return decode_post(await self.transport.request("POST", "/posts", json=body, lane=lane))

    async def patch(
        self,
        post_id: PostId,
        *,
        message: str | None = None,
        props: Mapping[str, Any] | None = None,
        lane: Lane = Lane.EDIT,
    ) -> Post:
        """Change what is given; `props`, if given, replace all there were."""
        body: dict[str, Any] = {}
        if message is not None:
            body["message"] = self.harmless(message)
        if props is not None:
            body["props"] = escape_props(props, self.harmless)
        path = f"/posts/{segment(post_id)}/patch"
        return decode_post(await self.transport.request("PUT", path, json=body, lane=lane))

    async def delete(self, post_id: PostId, *, lane: Lane = Lane.CREATE) -> None:
        """Delete a post."""
        await self.transport.request("DELETE", f"/posts/{segment(post_id)}", lane=lane)

    async def get(self, post_id: PostId) -> Post:
        """One post; a deleted one is 404."""
        return decode_post(await self.transport.request("GET", f"/posts/{segment(post_id)}"))

    async def thread(self, root_id: PostId, *, limit: int = 1000) -> tuple[Post, ...]:
        """A thread, oldest first, root included; with more than `limit` posts the newest ones and not the root."""
        path = f"/posts/{segment(root_id)}/thread"
        posts: dict[PostId, Post] = {}
        params: dict[str, str | int] = {"perPage": PER_PAGE, "direction": "down"}
        for _ in range(_THREAD_PAGES):
            answer = await self.transport.request("GET", path, params=params)
            fresh = [post for post in decode_page(answer).posts if post.id not in posts]
            posts.update((post.id, post) for post in fresh)
            has_next = isinstance(answer, dict) and answer.get("has_next") is True
            # A server that ignores the anchor repeats its page, which would never end.
            if not fresh or not has_next:
                break
            last = max(fresh, key=_age)
            params = {**params, "fromPost": last.id, "fromCreateAt": last.create_at}
        # The server promises no order beyond the first post (tests/contract, post_reply).
        return tuple(sorted(posts.values(), key=_age)[-limit:])

    async def page(self, channel_id: ChannelId, *, page: int = 0, per_page: int = 60) -> PostPage:
        """A page of a channel, newest first; page 0 is the tail."""
        return await self._list(channel_id, {"page": page, "per_page": per_page})

    async def after(self, channel_id: ChannelId, post_id: PostId, *, per_page: int = PER_PAGE) -> PostPage:
        """The posts right after `post_id`, still newest first; an unknown anchor gives an empty page, not an error."""
        return await self._list(channel_id, {"after": post_id, "per_page": per_page})

    async def before(self, channel_id: ChannelId, post_id: PostId, *, per_page: int = PER_PAGE) -> PostPage:
        """The posts right before `post_id`, newest first."""
        return await self._list(channel_id, {"before": post_id, "per_page": per_page})

    async def pinned(self, channel_id: ChannelId) -> tuple[Post, ...]:
        """The pinned posts of a channel."""
        return decode_page(await self.transport.request("GET", f"/channels/{segment(channel_id)}/pinned")).posts

    async def pin(self, post_id: PostId) -> None:
        """Pin a post in its channel; twice is fine."""
        await self.transport.request("POST", f"/posts/{segment(post_id)}/pin", lane=Lane.CREATE)

    async def unpin(self, post_id: PostId) -> None:
        """Take a post's pin off; one without a pin is fine."""
        await self.transport.request("POST", f"/posts/{segment(post_id)}/unpin", lane=Lane.CREATE)

    async def press(self, post_id: PostId, action_id: str) -> None:
        """Press a button; returns when its URL has answered. Where that gave no valid answer, Mattermost says 400."""
        path = f"/posts/{segment(post_id)}/actions/{segment(action_id)}"
        await self.transport.request("POST", path, json={}, lane=Lane.CREATE)

    async def search(self, team_id: TeamId, terms: str) -> tuple[Post, ...]:
        """The posts of a team that fit, as far as the account may read them; `terms` as in Mattermost's search box."""
        body = {"terms": terms, "is_or_search": False}
        path = f"/teams/{segment(team_id)}/posts/search"
        return decode_page(await self.transport.request("POST", path, json=body)).posts

    async def _list(self, channel_id: ChannelId, params: Mapping[str, str | int]) -> PostPage:
        return decode_page(await self.transport.request("GET", f"/channels/{segment(channel_id)}/posts", params=params))


@frozen(eq=False)
class ReactionsApi:
    """`/reactions`. Names come without colons; an unknown one is 404."""

    transport: Transport

    async def add(self, user_id: UserId, post_id: PostId, emoji: str) -> None:
        """Put a reaction on a post; twice is fine."""
        body = {"user_id": user_id, "post_id": post_id, "emoji_name": emoji}
        try:
            await self.transport.request("POST", "/reactions", json=body, lane=Lane.CREATE)
        except MattermostRejected as refusal:
            if refusal.code != _NO_EMOJI:
                raise
            problem = f"this Mattermost has no emoji :{emoji}:, neither of its own nor a custom one"
            raise MattermostRejected(problem, status=refusal.status, code=refusal.code) from refusal

    async def remove(self, user_id: UserId, post_id: PostId, emoji: str) -> None:
        """Take a reaction off; removing what is not there is fine."""
        path = f"/users/{segment(user_id)}/posts/{segment(post_id)}/reactions/{segment(emoji)}"
        await self.transport.request("DELETE", path, lane=Lane.CREATE)

    async def on(self, post_id: PostId) -> tuple[tuple[str, UserId], ...]:
        """The reactions on a post, as pairs of name and user, oldest first."""
        path = f"/posts/{segment(post_id)}/reactions"
        found = rows(await self.transport.request("GET", path), path)
        return tuple(
            (name, UserId(user))
            for name, user in zip(id_list(found, "emoji_name", path), id_list(found, "user_id", path), strict=True)
        )


def _age(post: Post) -> tuple[int, str]:
    return post.create_at, post.id
