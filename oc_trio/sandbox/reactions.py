"""Reactions to posts, and the known emoji names: a subset of the real server's two thousand."""

import re
from importlib.resources import files

from oc_trio.sandbox.clock import SandboxClock
from oc_trio.sandbox.errors import ApiError
from oc_trio.sandbox.records import PostRecord, Reaction

_NAMES = frozenset(files("oc_trio.sandbox").joinpath("emoji.txt").read_text("ascii").split())
_TONE = re.compile(r"_(light|medium_light|medium|medium_dark|dark)_skin_tone$")


def is_emoji(name: str) -> bool:
    """Whether a name without colons is known; skin tones of a known name are names of their own."""
    return _TONE.sub("", name) in _NAMES


class Reactions:
    """All reactions of a world, by post."""

    def __init__(self, clock: SandboxClock) -> None:
        self._clock = clock
        self._by_post: dict[str, dict[tuple[str, str], Reaction]] = {}

    def add(self, user_id: str, post: PostRecord, emoji_name: str) -> Reaction:
        """Adds a reaction; if the user has it already, returns the first."""
        if not is_emoji(emoji_name):
            raise ApiError(404, "app.emoji.get_by_name.no_result", "Unable to find the emoji.")
        now = self._clock.stamp()
        reaction = Reaction(user_id, post.id, emoji_name, now, post.channel_id)
        kept = self._by_post.setdefault(post.id, {}).setdefault((user_id, emoji_name), reaction)
        post.update_at = now
        return kept

    def remove(self, user_id: str, post: PostRecord, emoji_name: str) -> Reaction:
        """Removes a reaction and returns it; it need not exist."""
        now = self._clock.stamp()
        nothing = Reaction(user_id, post.id, emoji_name, now, post.channel_id)
        post.update_at = now
        return self._by_post.get(post.id, {}).pop((user_id, emoji_name), nothing)

    def of(self, post_id: str) -> list[Reaction]:
        return list(self._by_post.get(post_id, {}).values())
