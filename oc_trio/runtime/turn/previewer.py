"""Streams a turn's answer into its draft posts: at most one write in flight, the newest text wins.

Post number n of a turn is always the same post: a turn that continues after a restart edits the posts of its earlier
run. Where a block can't be completed, no more drafts are written; it and all that follows is left to the final.

Cancel the wait, never the write: the pause between two edits can be cancelled at once, a request that has begun is
shielded and bounded. When the slot that runs `run` has been joined, no write is in flight any more. What to write and
when is decided by `core.draft_view`, `core.preview` and `core.pacing`.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import NoReturn, assert_never

import trio
from attrs import evolve

from oc_trio.core.bounds import AnswerBounds
from oc_trio.core.draft_view import Block, BlockKind, DraftView
from oc_trio.core.preview import (
    Create,
    DraftPhase,
    DraftState,
    Edit,
    Finished,
    Idle,
    PreviewRules,
    WaitUntil,
    WriteResult,
    next_step,
    post_deleted,
    resumed,
    seal_block,
    with_text,
    write_ended,
    write_started,
)
from oc_trio.errors import MattermostRejected, MattermostUnavailable, PayloadError
from oc_trio.ids import PostId
from oc_trio.runtime.turn.edit_pacer import EditPacer
from oc_trio.wakeup import Wakeup

# The bound of one shielded write. Then it counts as failed, and the next one repeats it.
WRITE_SECONDS = 20.0
# Seconds before a status post: for shorter work it would only flicker. A tool call is shown at once.
PROGRESS_DELAY = 1.5


class Previewer:
    """One turn's drafts. `create(number, text)` writes draft number 0, 1, ..., the same number meaning the same post;
    `edit` patches a post's message. `split` cuts a sealed block's text into posts. `edit_uncertain` is told of a post
    with an edit of unknown outcome, `final_written` of a block's last text. `earlier_posts` are the posts of an earlier
    run by number; `most_posts` what one turn may have, the answer's own included.
    """

    def __init__(
        self,
        view: DraftView,
        *,
        create: Callable[[int, str], Awaitable[PostId]],
        edit: Callable[[PostId, str], Awaitable[None]],
        record_draft: Callable[[PostId | None], Awaitable[None]],
        split: Callable[[str], tuple[str, ...]],
        pacer: EditPacer,
        rules: PreviewRules,
        edit_uncertain: Callable[[PostId], Awaitable[None]],
        final_written: Callable[[PostId, str], Awaitable[None]],
        earlier_posts: Mapping[int, DraftState] | None = None,
        most_posts: int = AnswerBounds().posts,
    ) -> None:
        self.view = view
        self.number = 0
        self._earlier_posts = earlier_posts or {}
        self.state = self._earlier_posts.get(0, DraftState())
        self.published: list[str] = []
        self.posts: list[PostId] = []
        # Posts of the block that is being sealed: a long block takes several.
        self._parts: list[PostId] = []
        self._create, self._edit, self._record_draft, self._split = create, edit, record_draft, split
        self._pacer, self._rules = pacer, rules
        self._edit_uncertain, self._final_written, self._most_posts = edit_uncertain, final_written, most_posts
        self._sealed = 0
        self._is_blocked = False
        self._changed = Wakeup()
        self._urgent = Wakeup()
        self._kind = BlockKind.WORK
        self._first_at: float | None = None

    @property
    def stale(self) -> tuple[PostId, ...]:
        """Posts that are no part of the final answer: of an earlier run, or the beginning of a block that was left
        unfinished.
        """
        later = [state.post_id for number, state in sorted(self._earlier_posts.items()) if number > self.number]
        return (*self._parts, *(post for post in later if post is not None))

    def adopt(self, post_id: PostId) -> None:
        """The draft whose creation got no answer was found as `post_id`. One that was given up stays lost: the answer
        replaces it.
        """
        is_lost = self.state.phase is DraftPhase.LOST
        self.state = evolve(self.state, post_id=post_id) if is_lost else resumed(post_id)

    def unpublished(self) -> str:
        """The text of the reply that is in no sealed block."""
        waiting = [block.text for block in self.view.sealed[self._sealed :] if block.kind is BlockKind.REPLY]
        return "\n\n".join(filter(None, (*waiting, self.view.unsealed_reply())))

    def show(self, view: DraftView) -> None:
        """`view` is the newest. Never waits."""
        is_sealing = len(view.sealed) > len(self.view.sealed)
        begins_work = bool(view.work.rows or view.work.plan) and not (self.view.work.rows or self.view.work.plan)
        self.view = view
        self._changed.set()
        # These end a pause early: a completed block, and the first sign of work, are what people wait for.
        if is_sealing or (begins_work and self.state.phase is DraftPhase.NONE):
            self._urgent.set()

    def post_deleted(self, post_id: PostId) -> bool:
        """Somebody deleted a post; true if it was this turn's draft, which is then never edited again."""
        if post_id != self.state.post_id:
            return False
        self.state = post_deleted(self.state)
        self._urgent.set()
        self._changed.set()
        return True

    def has_post(self, post_id: PostId) -> bool:
        """Whether a post is one of this turn's."""
        return post_id == self.state.post_id or post_id in self.posts or post_id in self._parts

    async def run(self) -> NoReturn:
        """Write what people should see, until the task slot cancels it."""
        while True:
            visible = self.view.visible()
            if visible.current is not None and self._is_early():
                await self._wait_until(self._first_at or 0.0)
                continue
            if self._is_blocked:
                await trio.sleep_forever()
            if len(visible.sealed) > self._sealed:
                await self._publish(visible.sealed[self._sealed])
                continue
            if visible.current is not None:
                # Text of the answer only grows; status lines come and go, and are replaced by text.
                shrinks = self.view.style.mode.words_may_shrink or self._kind is BlockKind.WORK
                self._kind = visible.current.kind
                self.state = with_text(self.state, visible.current.text, may_shrink=shrinks)
            await self._step(wait_for_change=True)

    async def finish(self) -> None:
        """Seal the complete blocks after the agent's final event. `run` has ended. May be cancelled and repeated."""
        # The view's, and not what is visible: that would prepare the text of the answer as well.
        while not self._is_blocked and len(self.view.sealed) > self._sealed:
            await self._publish(self.view.sealed[self._sealed])

    async def _publish(self, block: Block) -> None:
        """Seal a block: all its text is on the server before the next one begins. Continues where it was cancelled."""
        parts = self._split(block.text)
        if self.number + len(parts) - len(self._parts) >= self._most_posts:
            # The remaining posts that a turn may have are the final answer's.
            self._is_blocked = True
            return
        while len(self._parts) < len(parts):
            part = parts[len(self._parts)]
            self.state = seal_block(self.state, part)
            while not self.state.phase.is_over:
                await self._step(wait_for_change=False)
            if self.state.phase is not DraftPhase.SEALED or self.state.post_id is None:
                self._is_blocked = True
                return
            sealed = self.state.post_id
            self._parts.append(sealed)
            self.number += 1
            # `ended_at` is kept: the pause after a write comes before the first write of the next post as well.
            self.state = evolve(self._earlier_posts.get(self.number, DraftState()), ended_at=self.state.ended_at)
            # Shielded: a late edit of this post must be recognised, also if the turn is cancelled right now.
            with trio.move_on_after(WRITE_SECONDS, shield=True):
                await self._final_written(sealed, part)
        self.posts += self._parts
        self._parts = []
        self._sealed += 1
        if block.kind is BlockKind.REPLY:
            # Only text that is in the channel may be left out of the final.
            self.published.append(block.text)
        await self._record_draft(self.state.post_id)

    async def _step(self, *, wait_for_change: bool) -> None:
        interval = self._pacer.interval(len(self.state.wanted)) if wait_for_change else 0.0
        # The minimum length is for text of the answer; a status line is short.
        rules = self._rules if self._kind is BlockKind.REPLY else evolve(self._rules, min_chars=1)
        step = next_step(self.state, trio.current_time(), interval, rules)
        match step:
            case Create() | Edit():
                # After a wait there may be newer text, or nothing to write any more: decide again.
                if isinstance(step, Create) or not await self._pacer.wait_for_room():
                    await self._write(step)
            case WaitUntil():
                await self._wait_until(step.at)
            case Idle() | Finished():
                await self._changed.wait_next()
                if self.view.streamed_text.length > self.view.style.max_chars:
                    # More text than a post shows: preparing all of it for each delta would cost more with every delta.
                    await self._wait_until(trio.current_time() + self._pacer.interval(len(self.state.wanted)))
            case _:
                assert_never(step)

    async def _wait_until(self, at: float) -> None:
        """Text that arrives meanwhile is picked up afterwards: waking for every delta would cost more than it shows."""
        with trio.move_on_at(at):
            await self._urgent.wait_next()

    def _is_early(self) -> bool:
        """Whether it is too early for a status post: it is created PROGRESS_DELAY after the first status, or with a
        tool.
        """
        if not self.view.style.mode.begins_late or self.state.phase is not DraftPhase.NONE:
            return False
        now = trio.current_time()
        if self._first_at is None:
            self._first_at = now + PROGRESS_DELAY
        return now < self._first_at and not self.view.work.rows and not self.view.work.plan

    async def _write(self, step: Create | Edit) -> None:
        self.state = write_started(self.state, step)
        began = ended = trio.current_time()
        outcome, post_id, is_uncertain = WriteResult.UNAVAILABLE, None, True
        with trio.move_on_after(WRITE_SECONDS, shield=True):
            try:
                if isinstance(step, Create):
                    post_id = await self._create(self.number, step.text)
                    await self._record_draft(post_id)
                else:
                    await self._edit(step.post_id, step.text)
                outcome = WriteResult.OK
            except MattermostRejected as refusal:
                outcome = WriteResult.GONE if refusal.status == 404 else WriteResult.REFUSED
            except MattermostUnavailable as problem:
                is_uncertain = problem.ambiguous
                if problem.status == 429:
                    self._pacer.throttled()
            # The server answered something unreadable, so the write may have been applied: it is repeated.
            except PayloadError:
                outcome = WriteResult.UNAVAILABLE
            finally:
                # Also for unexpected errors: the completion of the turn relies on this state.
                ended = trio.current_time()
                self.state = write_ended(self.state, outcome, ended, self._rules, post_id)
        if outcome is WriteResult.OK:
            self._pacer.answered(ended - began)
        if outcome is WriteResult.UNAVAILABLE and is_uncertain and isinstance(step, Edit):
            # Shielded, as above: the edit may still be applied after the turn was cancelled.
            with trio.move_on_after(WRITE_SECONDS, shield=True):
                await self._edit_uncertain(step.post_id)
