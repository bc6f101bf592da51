"""Writes the draft posts of one turn while its answer grows: at most one write in flight, newest text wins.

Cancel the wait, never the write: the pause between two edits can be cancelled at once, a request that has begun is
shielded and bounded. When the slot that runs `run` has been joined, nothing of it is under way any more. What to
write and when is decided by `core.draft_view`, `core.preview` and `core.pacing`.
"""

from collections.abc import Awaitable, Callable
from typing import NoReturn, Protocol, assert_never

import trio
from attrs import evolve

from oc_trio.core.draft_view import BlockKind, DraftView, StreamMode
from oc_trio.core.preview import (
    Create,
    DraftState,
    Edit,
    Idle,
    Phase,
    PreviewRules,
    Settled,
    WaitUntil,
    Wrote,
    begun,
    next_step,
    post_deleted,
    seal_block,
    wants,
    wrote,
)
from oc_trio.errors import MattermostRejected, MattermostUnavailable, PayloadError
from oc_trio.ids import PostId

# Longer than any server answers; then the write counts as failed and the next one repeats it.
WRITE_SECONDS = 20.0
# A status post for work that takes less than this would only flicker; tools are worth one at once.
PROGRESS_DELAY = 1.5


class Pace(Protocol):
    """How often this turn may edit now, and who is told how writes went."""

    def interval(self, length: int) -> float: ...
    async def room(self) -> bool: ...
    def answered(self, seconds: float) -> None: ...
    def throttled(self) -> None: ...


class Previewer:
    """One turn's drafts. `create(number, text)` writes draft number 0, 1, ..., the same number meaning the same post;
    `edit` patches a post's message. `split` cuts a sealed block's text into posts. `doubt` is told of a post with an
    edit of unknown outcome, `settled` of a block's last text.
    """

    def __init__(
        self,
        view: DraftView,
        *,
        create: Callable[[int, str], Awaitable[PostId]],
        edit: Callable[[PostId, str], Awaitable[None]],
        drafted: Callable[[PostId | None], Awaitable[None]],
        split: Callable[[str], tuple[str, ...]],
        pace: Pace,
        rules: PreviewRules,
        doubt: Callable[[PostId], Awaitable[None]],
        settled: Callable[[PostId, str], Awaitable[None]],
        state: DraftState | None = None,
        number: int = 0,
    ) -> None:
        self.view = view
        self.state = state or DraftState()
        self.published: list[str] = []
        self.posts: list[PostId] = []
        # Blocks that stand without their whole text, which the final says again.
        self.stale: list[PostId] = []
        self._create, self._edit, self._drafted, self._split = create, edit, drafted, split
        self._pace, self._rules = pace, rules
        self._doubt, self._settled = doubt, settled
        self.number = number
        self._sealed = 0
        self._news = trio.Event()
        self._urgent = trio.Event()
        self._kind = BlockKind.WORK
        self._first_at: float | None = None

    @property
    def draft_is_reply(self) -> bool:
        """False where the draft holds signs of work that stay in the channel as a block of their own."""
        return self.view.style.mode is not StreamMode.BLOCK or self._kind is BlockKind.REPLY

    def show(self, view: DraftView) -> None:
        """`view` is the newest. Never waits."""
        is_sealing = len(view.sealed) > len(self.view.sealed)
        begins_work = bool(view.work.rows or view.work.plan) and not (self.view.work.rows or self.view.work.plan)
        self.view = view
        self._news.set()
        if is_sealing or (begins_work and self.state.phase is Phase.NONE):
            self._urgent.set()

    def lost(self, post_id: PostId) -> bool:
        """Somebody deleted a post; true if it was this turn's draft, which is then never edited again."""
        if post_id != self.state.post_id:
            return False
        self.state = post_deleted(self.state)
        self._urgent.set()
        self._news.set()
        return True

    def holds(self, post_id: PostId) -> bool:
        """Whether a post is one of this turn's."""
        return post_id == self.state.post_id or post_id in self.posts

    async def run(self) -> NoReturn:
        """Write what is to be seen, for as long as the slot lets it."""
        while True:
            visible = self.view.visible()
            if visible.current is not None and self._is_early():
                await self._wait_until(self._first_at or 0.0)
                continue
            if len(visible.sealed) > self._sealed:
                block = visible.sealed[self._sealed]
                await self._publish(block.kind, block.text)
                self._sealed += 1
                continue
            if visible.current is not None:
                # Words of the answer only grow; signs of work come and go, and give way to words.
                shrinks = self.view.style.mode is not StreamMode.PARTIAL or self._kind is BlockKind.WORK
                self._kind = visible.current.kind
                self.state = wants(self.state, visible.current.text, may_shrink=shrinks)
            await self._step(wait_for_news=True)

    async def _publish(self, kind: BlockKind, text: str) -> None:
        """Seal a block: its whole text is on the server before the next one begins."""
        is_whole = True
        for part in self._split(text):
            self.state = seal_block(self.state, part)
            while not self.state.phase.is_over:
                await self._step(wait_for_news=False)
            is_whole = is_whole and self.state.phase is Phase.SEALED
            if self.state.phase is Phase.SEALED and self.state.post_id is not None:
                with trio.move_on_after(WRITE_SECONDS, shield=True):
                    await self._settled(self.state.post_id, part)
            self._next_post()
        if kind is BlockKind.REPLY and is_whole:
            # Only what stands in the channel may be left out of the final.
            self.published.append(text)
        await self._drafted(None)

    def _next_post(self) -> None:
        if self.state.post_id is not None and self.state.phase is Phase.SEALED:
            self.posts.append(self.state.post_id)
        elif self.state.lingers is not None:
            self.stale.append(self.state.lingers)
        self.number += 1
        self.state = DraftState(ended_at=self.state.ended_at)

    async def _step(self, *, wait_for_news: bool) -> None:
        interval = self._pace.interval(len(self.state.wanted)) if wait_for_news else 0.0
        # The least length is for words of the answer; a sign of work is short and welcome.
        rules = self._rules if self._kind is BlockKind.REPLY else evolve(self._rules, min_chars=1)
        step = next_step(self.state, trio.current_time(), interval, rules)
        match step:
            case Create() | Edit():
                # After a wait there may be newer text, or nothing to write any more: look again.
                if isinstance(step, Create) or not await self._pace.room():
                    await self._write(step)
            case WaitUntil():
                await self._wait_until(step.at)
            case Idle() | Settled():
                self._news = trio.Event()
                await self._news.wait()
            case _:
                assert_never(step)

    async def _wait_until(self, at: float) -> None:
        """Text that arrives meanwhile is picked up afterwards: waking for every word would cost more than it shows."""
        self._urgent = trio.Event()
        with trio.move_on_at(at):
            await self._urgent.wait()

    def _is_early(self) -> bool:
        """Whether a status post has to wait: it begins a while after the first sign of work, or with a tool."""
        if self.view.style.mode is not StreamMode.PROGRESS or self.state.phase is not Phase.NONE:
            return False
        now = trio.current_time()
        if self._first_at is None:
            self._first_at = now + PROGRESS_DELAY
        return now < self._first_at and not self.view.work.rows and not self.view.work.plan

    async def _write(self, step: Create | Edit) -> None:
        self.state = begun(self.state, step)
        began = trio.current_time()
        how, post_id, in_doubt = Wrote.UNAVAILABLE, None, True
        with trio.move_on_after(WRITE_SECONDS, shield=True):
            try:
                if isinstance(step, Create):
                    post_id = await self._create(self.number, step.text)
                    await self._drafted(post_id)
                else:
                    await self._edit(step.post_id, step.text)
                how = Wrote.OK
            except MattermostRejected as refusal:
                how = Wrote.GONE if refusal.status == 404 else Wrote.REFUSED
            except MattermostUnavailable as problem:
                in_doubt = problem.ambiguous
                if problem.status == 429:
                    self._pace.throttled()
            except PayloadError:
                how = Wrote.UNAVAILABLE
        ended = trio.current_time()
        if how is Wrote.OK:
            self._pace.answered(ended - began)
        self.state = wrote(self.state, how, ended, self._rules, post_id)
        if how is Wrote.UNAVAILABLE and in_doubt and isinstance(step, Edit):
            with trio.move_on_after(WRITE_SECONDS, shield=True):
                await self._doubt(step.post_id)
