"""Reactions to posts, with the emoji that every Mattermost knows and the custom ones of this server."""

from oc_trio.core.emoji import is_system_emoji
from oc_trio.sandbox.clock import SandboxClock
from oc_trio.sandbox.errors import ApiError
from oc_trio.sandbox.records import PostRecord, Reaction


class Reactions:
    """All reactions of a world, by post; `custom_emoji` are the names of those that its people have made."""

    def __init__(self, clock: SandboxClock) -> None:
        self.custom_emoji: set[str] = set()
        self._clock = clock
        self._by_post: dict[str, dict[tuple[str, str], Reaction]] = {}

    def add(self, user_id: str, post: PostRecord, emoji_name: str) -> Reaction:
        """Adds a reaction; if the user has it already, returns the first."""
        if not (is_system_emoji(emoji_name) or emoji_name in self.custom_emoji):
            raise ApiError(404, "app.emoji.get_by_name.no_result", "Unable to find the emoji.")
        now = self._clock.stamp()
        reaction = Reaction(user_id, post.id, emoji_name, now, post.channel_id)
        # A repeat keeps the first reaction (contract scenario reactions).
        kept = self._by_post.setdefault(post.id, {}).setdefault((user_id, emoji_name), reaction)
        post.update_at = now
        return kept

    def remove(self, user_id: str, post: PostRecord, emoji_name: str) -> Reaction:
        """Removes a reaction and returns it; it need not exist."""
        now = self._clock.stamp()
        # Recorded: removing a reaction that is not there is 200 (contract scenario reactions).
        nothing = Reaction(user_id, post.id, emoji_name, now, post.channel_id)
        post.update_at = now
        return self._by_post.get(post.id, {}).pop((user_id, emoji_name), nothing)

    def of(self, post_id: str) -> list[Reaction]:
        return list(self._by_post.get(post_id, {}).values())
