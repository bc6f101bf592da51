"""Completed blocks of a reply as posts of their own, for a turn without drafts (`streaming.block`).

A block is a paragraph that is over, outside code, or a message that a tool call ended. How blocks are joined into
posts, and when one goes out, is `core.coalesce`'s. What is not sent when the answer is complete goes with the final.
What turns out to be a thought (a lone `</think>` says so afterwards) is taken back: later blocks are written over it,
and what is left of it is named, to be deleted.
"""

import math
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import NoReturn

import trio
from attrs import frozen

from oc_trio.core.coalesce import CoalesceRules, Waiting, after_silence, due_at, flush, with_block
from oc_trio.core.draft_view import SILENT_TOKEN, DraftView
from oc_trio.core.fences import fence_after
from oc_trio.core.final_plan import ReplyRules, prepared
from oc_trio.core.preview import DraftState
from oc_trio.core.reasoning import without_reasoning
from oc_trio.core.tables import convert_tables
from oc_trio.errors import MattermostRejected
from oc_trio.ids import PostId
from oc_trio.runtime.turn.previewer import WRITE_SECONDS
from oc_trio.telemetry.log import get_logger
from oc_trio.wakeup import Wakeup

# Characters that are looked through for every word, and the seconds between two looks at more.
_SHORT, _MOMENT = 4_000, 0.5

log = get_logger(part="paragraph_writer")


@frozen
class _Begun:
    """How things stood when a message began: `posts` and `published` count, the rest is what waited."""

    posts: int = 0
    published: int = 0
    waiting: Waiting = Waiting()
    unsent: tuple[str, ...] = ()


class ParagraphWriter:
    """Writes one turn's blocks; `post(number, text)` writes post number 0, 1, ..., the same number once.

    Its `state` never leaves "no draft". `standing` are the posts
    of an earlier run by number: `edit` makes them read as they should.
    """

    def __init__(
        self,
        view: DraftView,
        *,
        post: Callable[[int, str], Awaitable[PostId]],
        rules: CoalesceRules,
        reply: ReplyRules,
        edit: Callable[[PostId, str], Awaitable[None]],
        standing: Mapping[int, PostId] | None = None,
    ) -> None:
        self.view = view
        self.state = DraftState()
        self.published: list[str] = []
        self.posts: list[PostId] = []
        self.number = 0
        self._post, self._edit, self._rules, self._reply = post, edit, rules, reply
        self._standing = dict(standing or {})
        # Posts that are under way with the blocks that they hold, and how many posts of whole blocks stand.
        self._parts: list[str] = []
        self._blocks: list[str] = []
        self._whole = 0
        self._waiting = Waiting()
        # The blocks that `_waiting` holds, as the answer has them.
        self._unsent: list[str] = []
        self._looked_at = 0
        self._messages = 0
        self._taken = 0
        # Of the message whose blocks are being taken: what they hold, and how things stood when it began.
        self._held = ""
        self._begun = _Begun()
        self._is_refused = False
        self._news = Wakeup()

    @property
    def stale(self) -> tuple[PostId, ...]:
        """Posts that the final leaves no place for: of an earlier run, thoughts, the beginning of a refused block."""
        later = (post for number, post in sorted(self._standing.items()) if number >= self.number)
        return (*self.posts[self._whole :], *later)

    def adopt(self, post_id: PostId) -> None:
        """There is no draft whose creation could have got no answer."""
        raise AssertionError(f"a turn without drafts was given the draft {post_id}")

    def unsaid(self) -> str:
        """There is no draft that could carry it."""
        return ""

    async def finish(self) -> None:
        """The agent says no more: what is under way is finished, the rest is the final's. `run` has ended.

        Without a bound: one that is shorter than the patience with a post that the server fails at would never come to
        its end. Who is cancelled here goes on after the restart.
        """
        await self._send_parts()
        is_said = self._messages < len(self.view.said)
        self._look_back(_words(self.view.said[self._messages] if is_said else self.view.text))

    def show(self, view: DraftView) -> None:
        """`view` is the newest. Never waits."""
        self.view = view
        self._news.set()

    def lost(self, post_id: PostId) -> bool:
        """A block that somebody deleted stays deleted; there is no draft to lose."""
        return False

    def holds(self, post_id: PostId) -> bool:
        """Whether a post is one of this turn's."""
        return post_id in self.posts or post_id in self._standing.values()

    async def run(self) -> NoReturn:
        """Send what is complete, for as long as the slot lets it."""
        while True:
            await self._look_seldom()
            for block in self._completed():
                await self._take(block)
            at = due_at(self._waiting, self._rules)
            with trio.move_on_at(math.inf if at is None else at):
                await self._news.wait_next()
                continue
            self._waiting, posts = after_silence(self._waiting, trio.current_time(), self._rules)
            await self._send(posts)

    async def _look_seldom(self) -> None:
        """A long text is looked through again once it has grown by a part of itself, or after a moment."""
        length = self.view.growing.length
        if _SHORT < length < self._looked_at + self._looked_at // 16:
            await trio.sleep(_MOMENT)
        self._looked_at = self.view.growing.length

    def _completed(self) -> Iterator[str]:
        """The blocks that are complete and were not taken before."""
        while self._messages < len(self.view.said):
            words = _words(self.view.said[self._messages])
            self._look_back(words)
            block, self._taken, self._messages = words[self._taken :], 0, self._messages + 1
            if block.strip():
                yield block
            self._held = ""
            self._remember()
        words = _words(self.view.text)
        self._look_back(words)
        end = words.rfind("\n\n")
        while end > self._taken and fence_after(words[:end]):
            end = words.rfind("\n\n", 0, end)
        if end > self._taken:
            block, self._taken, self._held = words[self._taken : end], end, words[:end]
            yield block

    def _remember(self) -> None:
        self._begun = _Begun(len(self.posts), len(self.published), self._waiting, tuple(self._unsent))

    def _look_back(self, words: str) -> None:
        """Take back the blocks of this message where its words no longer begin with them: they were a thought."""
        if words.startswith(self._held.rstrip()) or self._is_refused:
            return
        begun = self._begun
        self._standing |= dict(enumerate(self.posts[begun.posts :], begun.posts))
        del self.posts[begun.posts :], self.published[begun.published :]
        self.number = self._whole = begun.posts
        self._waiting, self._unsent = begun.waiting, list(begun.unsent)
        self._taken, self._held = 0, ""

    async def _take(self, block: str) -> None:
        before = self._waiting.text
        self._waiting, posts = with_block(self._waiting, block, trio.current_time(), self._rules)
        self._unsent.append(block)
        if posts and posts != (before,):
            # The newest block itself was cut: its rest follows at once, so that whole blocks are out.
            self._waiting, rest = flush(self._waiting)
            posts = (*posts, *rest)
        await self._send(posts)

    async def _send(self, posts: tuple[str, ...]) -> None:
        if not posts or self._is_refused:
            return
        kept = self._unsent[-1:] if self._waiting.text else []
        self._blocks = self._unsent[: len(self._unsent) - len(kept)]
        self._unsent = kept
        made: list[str] = []
        for text in posts:
            made += prepared(text, self._reply, prefix=not self.posts and not made)
        if self.number + len(made) >= self._reply.bounds.posts:
            # What is left of the posts of a turn is the answer's.
            self._is_refused = True
            return
        self._parts += made
        while self._parts and not self._is_refused:
            await self._send_on()
        if not self._held:
            self._remember()  # nothing of the message that is being written was in it

    async def _send_on(self) -> None:
        """Begun is finished: half a block that is out and said again by the final would read badly."""
        await trio.lowlevel.checkpoint_if_cancelled()
        with trio.move_on_after(WRITE_SECONDS, shield=True):
            await self._send_parts()

    async def _send_parts(self) -> None:
        if not self._parts or self._is_refused:
            return
        try:
            while self._parts:
                self.posts.append(await self._write(self._parts[0]))
                self.number += 1
                del self._parts[0]
        except MattermostRejected as refusal:
            self._is_refused = True
            log.info("a block was refused; the answer goes out whole", problem=str(refusal))
        else:
            self._whole = len(self.posts)
            self.published += [convert_tables(block, self._reply.tables) for block in self._blocks]

    async def _write(self, text: str) -> PostId:
        standing = self._standing.get(self.number)
        if standing is None:
            return await self._post(self.number, text)
        await self._edit(standing, text)
        return standing


def _words(text: str) -> str:
    words = without_reasoning(text, streaming=True).lstrip()
    return "" if SILENT_TOKEN.startswith(words.strip()) else words
