"""The interface of the two writers that post a turn's text while its agent runs."""

from typing import NoReturn, Protocol

from oc_trio.core.draft_view import DraftView
from oc_trio.core.preview import DraftState
from oc_trio.ids import PostId


class TurnWriter(Protocol):
    """A `Previewer` (one draft post that grows) or a `ParagraphWriter` (a post per paragraph, no draft).

    `view` is what the agent has said and done so far, `state` the state of the current draft, `number` its number
    within the turn. `posts` are the finished posts that stay, `published` their texts.
    """

    view: DraftView
    number: int
    posts: list[PostId]
    published: list[str]

    @property
    def state(self) -> DraftState: ...

    @property
    def stale(self) -> tuple[PostId, ...]:
        """Posts that are no part of the final answer, to be deleted."""
        ...

    def show(self, view: DraftView) -> None:
        """`view` is the newest. Never waits."""
        ...

    def post_deleted(self, post_id: PostId) -> bool:
        """Somebody deleted a post; true if it was this turn's draft."""
        ...

    def has_post(self, post_id: PostId) -> bool:
        """Whether a post is one of this turn's."""
        ...

    def adopt(self, post_id: PostId) -> None:
        """The draft whose creation got no answer was found as `post_id`."""
        ...

    def unpublished(self) -> str:
        """The text of the reply that is in no finished post."""
        ...

    async def run(self) -> NoReturn:
        """Write what people should see, until the task slot cancels it."""
        ...

    async def finish(self) -> None:
        """Finish the post that is being written, after the agent's final event. `run` has ended."""
        ...
