"""Reactions to posts, and which emoji names exist. A subset of the real server's two thousand names is known here."""

import re
from importlib.resources import files

from oc_trio.sandbox.clock import SandboxClock
from oc_trio.sandbox.errors import Refused
from oc_trio.sandbox.records import Post, Reaction

_NAMES = frozenset(files("oc_trio.sandbox").joinpath("emoji.txt").read_text("ascii").split())
_TONE = re.compile(r"_(light|medium_light|medium|medium_dark|dark)_skin_tone$")


def is_emoji(name: str) -> bool:
    """Whether a name without colons is known; skin tones of a known name are names of their own."""
    return _TONE.sub("", name) in _NAMES


class Reactions:
    def __init__(self, ticker: SandboxClock) -> None:
        self._ticker = ticker
        self._by_post: dict[str, dict[tuple[str, str], Reaction]] = {}

    def add(self, user_id: str, post: Post, emoji_name: str) -> Reaction:
        """The reaction; adding it twice keeps the first."""
        if not is_emoji(emoji_name):
            raise Refused(404, "app.emoji.get_by_name.no_result", "Unable to find the emoji.")
        now = self._ticker.stamp()
        reaction = Reaction(user_id, post.id, emoji_name, now, post.channel_id)
        kept = self._by_post.setdefault(post.id, {}).setdefault((user_id, emoji_name), reaction)
        post.update_at = now
        return kept

    def remove(self, user_id: str, post: Post, emoji_name: str) -> Reaction:
        """The reaction that is gone; removing what is not there is fine."""
        now = self._ticker.stamp()
        nothing = Reaction(user_id, post.id, emoji_name, now, post.channel_id)
        post.update_at = now
        return self._by_post.get(post.id, {}).pop((user_id, emoji_name), nothing)

    def of(self, post_id: str) -> list[Reaction]:
        return list(self._by_post.get(post_id, {}).values())
