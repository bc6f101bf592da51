"""Writes the draft posts of one turn while its answer grows: at most one write in flight, newest text wins.

Cancel the wait, never the write: the pause between two edits can be cancelled at once, a request that has begun is
shielded and bounded. When the slot that runs `run` has been joined, nothing of it is under way any more. What to
write and when is decided by `core.draft_view`, `core.preview` and `core.pacing`.
"""

from collections.abc import Awaitable, Callable
from typing import NoReturn, Protocol, assert_never

import trio

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


class Pace(Protocol):
    """How often this turn may edit now, and who is told how writes went."""

    def interval(self, length: int) -> float: ...
    def answered(self, seconds: float) -> None: ...
    def throttled(self) -> None: ...


class Previewer:
    """One turn's drafts. `create(number, text)` writes draft number 0, 1, ..., the same number meaning the same post;
    `edit` patches a post's message. `split` cuts a sealed block's text into posts.
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
        state: DraftState | None = None,
        number: int = 0,
    ) -> None:
        self.view = view
        self.state = state or DraftState()
        self.published: list[str] = []
        self.posts: list[PostId] = []
        self._create, self._edit, self._drafted, self._split = create, edit, drafted, split
        self._pace, self._rules = pace, rules
        self.number = number
        self._sealed = 0
        self._news = trio.Event()
        self._urgent = trio.Event()
        self._kind = BlockKind.WORK

    @property
    def draft_is_reply(self) -> bool:
        """False where the draft holds signs of work that stay in the channel as a block of their own."""
        return self.view.style.mode is not StreamMode.BLOCK or self._kind is BlockKind.REPLY

    def show(self, view: DraftView) -> None:
        """`view` is the newest. Never waits."""
        is_sealing = len(view.sealed) > len(self.view.sealed)
        self.view = view
        self._news.set()
        if is_sealing:
            self._urgent.set()

    def lost(self, post_id: PostId) -> bool:
        """Somebody deleted a post; true if it was this turn's draft, which is then never edited again."""
        if post_id != self.state.post_id:
            return False
        self.state = post_deleted(self.state)
        self._urgent.set()
        self._news.set()
        return True

    async def run(self) -> NoReturn:
        """Write what is to be seen, for as long as the slot lets it."""
        while True:
            visible = self.view.visible()
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
            self._next_post()
        if kind is BlockKind.REPLY and is_whole:
            # Only what stands in the channel may be left out of the final.
            self.published.append(text)
        await self._drafted(None)

    def _next_post(self) -> None:
        if self.state.post_id is not None and self.state.phase is Phase.SEALED:
            self.posts.append(self.state.post_id)
        self.number += 1
        self.state = DraftState(ended_at=self.state.ended_at)

    async def _step(self, *, wait_for_news: bool) -> None:
        interval = self._pace.interval(len(self.state.wanted)) if wait_for_news else 0.0
        step = next_step(self.state, trio.current_time(), interval, self._rules)
        match step:
            case Create() | Edit():
                await self._write(step)
            case WaitUntil():
                # Text that arrives meanwhile is picked up afterwards: waking for every word would cost more
                # than it shows.
                self._urgent = trio.Event()
                with trio.move_on_at(step.at):
                    await self._urgent.wait()
            case Idle() | Settled():
                self._news = trio.Event()
                await self._news.wait()
            case _:
                assert_never(step)

    async def _write(self, step: Create | Edit) -> None:
        self.state = begun(self.state, step)
        began = trio.current_time()
        how, post_id = Wrote.UNAVAILABLE, None
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
                if problem.status == 429:
                    self._pace.throttled()
            except PayloadError:
                how = Wrote.UNAVAILABLE
        ended = trio.current_time()
        if how is Wrote.OK:
            self._pace.answered(ended - began)
        self.state = wrote(self.state, how, ended, self._rules, post_id)
