"""What writes the posts of a turn while its agent talks, as the rest of the turn knows it."""

from typing import NoReturn, Protocol

from oc_trio.core.draft_view import DraftView
from oc_trio.core.preview import DraftState
from oc_trio.ids import PostId


class TurnWriter(Protocol):
    """A `Previewer` (one draft post that grows) or a `ParagraphWriter` (a post per paragraph, no draft).

    `view` is what the agent has said and done so far, `state` the draft post as it stands, `number` its number within
    the turn. `posts` are the finished posts that stay, `published` the texts that they hold.
    """

    view: DraftView
    number: int
    posts: list[PostId]
    published: list[str]

    @property
    def state(self) -> DraftState: ...

    @property
    def stale(self) -> tuple[PostId, ...]:
        """Posts that the final leaves no place for."""
        ...

    def show(self, view: DraftView) -> None:
        """`view` is the newest. Never waits."""
        ...

    def lost(self, post_id: PostId) -> bool:
        """Somebody deleted a post; true if it was this turn's draft."""
        ...

    def holds(self, post_id: PostId) -> bool:
        """Whether a post is one of this turn's."""
        ...

    def adopt(self, post_id: PostId) -> None:
        """The draft whose creation got no answer stands as `post_id`."""
        ...

    def unsaid(self) -> str:
        """What was said of the reply and no finished post holds."""
        ...

    async def run(self) -> NoReturn:
        """Write what is to be seen, for as long as the slot lets it."""
        ...

    async def finish(self) -> None:
        """The agent says no more: what is under way is finished. `run` has ended."""
        ...
