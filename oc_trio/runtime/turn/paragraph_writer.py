"""Posts completed paragraphs of a reply, each once, for a turn without drafts (`streaming.block`).

A block is a completed paragraph outside code, or a message that a tool call ended. How blocks are joined into posts,
and when one is posted, is decided by `core.coalesce`. What is not posted when the answer is complete is left to the
final. Text that turns out to be reasoning (a lone `</think>` reveals it afterwards) is taken back: later blocks are
written over it, and the posts that remain are in `stale`, to be deleted.
"""

import math
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import NoReturn

import trio

from oc_trio.classes import frozen
from oc_trio.core.coalesce import CoalesceRules, PendingText, after_silence, due_at, flush, with_block
from oc_trio.core.code_fences import fence_after
from oc_trio.core.draft_view import SILENT_TOKEN, DraftView
from oc_trio.core.final_plan import ReplyRules, split_reply
from oc_trio.core.preview import DraftState
from oc_trio.core.reasoning import without_reasoning
from oc_trio.core.tables import convert_tables
from oc_trio.errors import MattermostRejected
from oc_trio.ids import PostId
from oc_trio.runtime.turn.previewer import WRITE_SECONDS
from oc_trio.telemetry.log import get_logger
from oc_trio.wakeup import Wakeup

# A text of up to _SHORT characters is parsed for every delta, a longer one after _MOMENT seconds (see `_throttle`).
_SHORT, _MOMENT = 4_000, 0.5

log = get_logger(part="paragraph_writer")


@frozen
class _Begun:
    """The state when a message began: `posts` and `published` are counts, the rest is text that waited."""

    posts: int = 0
    published: int = 0
    waiting: PendingText = PendingText()
    unsent: tuple[str, ...] = ()


class ParagraphWriter:
    """Posts one turn's blocks; `post(number, text)` writes post number 0, 1, ..., each number once.

    There is no draft, so `state` never changes. `earlier_posts` are the posts of an earlier run by number, which are
    edited instead of posted anew.
    """

    def __init__(
        self,
        view: DraftView,
        *,
        post: Callable[[int, str], Awaitable[PostId]],
        rules: CoalesceRules,
        reply: ReplyRules,
        edit: Callable[[PostId, str], Awaitable[None]],
        earlier_posts: Mapping[int, PostId] | None = None,
    ) -> None:
        self.view = view
        self.state = DraftState()
        self.published: list[str] = []
        self.posts: list[PostId] = []
        self.number = 0
        self._post, self._edit, self._rules, self._reply = post, edit, rules, reply
        self._earlier_posts = dict(earlier_posts or {})
        # Texts of posts still to be written, the blocks in them, and how many written posts consist of whole blocks.
        self._parts: list[str] = []
        self._blocks: list[str] = []
        self._whole = 0
        self._waiting = PendingText()
        # The blocks in `_waiting`, as they are in the answer.
        self._unsent: list[str] = []
        self._parsed_length = 0
        self._messages = 0
        self._taken = 0
        # Of the current message: the text of the blocks taken from it, and the state when it began.
        self._held = ""
        self._begun = _Begun()
        self._is_refused = False
        self._changed = Wakeup()

    @property
    def stale(self) -> tuple[PostId, ...]:
        """Posts that are not in the final answer: of an earlier run, reasoning, the beginning of a refused block."""
        later = (post for number, post in sorted(self._earlier_posts.items()) if number >= self.number)
        return (*self.posts[self._whole :], *later)

    def adopt(self, post_id: PostId) -> None:
        """Never called: there are no drafts."""
        raise AssertionError(f"a turn without drafts was given the draft {post_id}")

    def unpublished(self) -> str:
        """Empty: there is no draft that it could be added to."""
        return ""

    async def finish(self) -> None:
        """Finish the posts that are being written, after the agent's final event; the rest is the final's. `run` has
        ended.

        No timeout: one shorter than the delivery's retries would restart them forever. After a cancellation here the
        turn continues after the restart.
        """
        await self._send_parts()
        is_said = self._messages < len(self.view.messages)
        self._retract_reasoning(_visible_text(self.view.messages[self._messages] if is_said else self.view.text))

    def show(self, view: DraftView) -> None:
        """`view` is the newest. Never waits."""
        self.view = view
        self._changed.set()

    def post_deleted(self, post_id: PostId) -> bool:
        """A block that somebody deleted stays deleted; there is no draft to lose."""
        return False

    def has_post(self, post_id: PostId) -> bool:
        """Whether a post is one of this turn's."""
        return post_id in self.posts or post_id in self._earlier_posts.values()

    async def run(self) -> NoReturn:
        """Post what is complete, until the task slot cancels it."""
        while True:
            await self._throttle()
            for block in self._completed():
                await self._take(block)
            at = due_at(self._waiting, self._rules)
            with trio.move_on_at(math.inf if at is None else at):
                await self._changed.wait_next()
                continue
            self._waiting, posts = after_silence(self._waiting, trio.current_time(), self._rules)
            await self._send(posts)

    async def _throttle(self) -> None:
        """Parse a long text again only when it has grown by a sixteenth, or after a moment."""
        length = self.view.streamed_text.length
        # Parsing all text for each delta would take time that grows with the square of its length.
        if _SHORT < length < self._parsed_length + self._parsed_length // 16:
            await trio.sleep(_MOMENT)
        self._parsed_length = self.view.streamed_text.length

    def _completed(self) -> Iterator[str]:
        """The blocks that are complete and were not taken before."""
        while self._messages < len(self.view.messages):
            text = _visible_text(self.view.messages[self._messages])
            self._retract_reasoning(text)
            block, self._taken, self._messages = text[self._taken :], 0, self._messages + 1
            if block.strip():
                yield block
            self._held = ""
            self._save_state()
        text = _visible_text(self.view.text)
        self._retract_reasoning(text)
        end = text.rfind("\n\n")
        # A blank line within a code block ends no paragraph: half of a code block would be shown as text.
        while end > self._taken and fence_after(text[:end]):
            end = text.rfind("\n\n", 0, end)
        if end > self._taken:
            block, self._taken, self._held = text[self._taken : end], end, text[:end]
            yield block

    def _save_state(self) -> None:
        self._begun = _Begun(len(self.posts), len(self.published), self._waiting, tuple(self._unsent))

    def _retract_reasoning(self, text: str) -> None:
        """Take back the blocks of this message where its text no longer begins with them: they were reasoning."""
        if text.startswith(self._held.rstrip()) or self._is_refused:
            return
        begun = self._begun
        # They are edited like the posts of an earlier run, so reasoning disappears from the channel as the answer is
        # written.
        self._earlier_posts |= dict(enumerate(self.posts[begun.posts :], begun.posts))
        del self.posts[begun.posts :], self.published[begun.published :]
        self.number = self._whole = begun.posts
        self._waiting, self._unsent = begun.waiting, list(begun.unsent)
        self._taken, self._held = 0, ""

    async def _take(self, block: str) -> None:
        before = self._waiting.text
        self._waiting, posts = with_block(self._waiting, block, trio.current_time(), self._rules)
        self._unsent.append(block)
        if posts and posts != (before,):
            # The newest block itself was cut: its rest follows at once, so that only whole blocks are posted.
            self._waiting, rest = flush(self._waiting)
            posts = (*posts, *rest)
        await self._send(posts)

    async def _send(self, posts: tuple[str, ...]) -> None:
        if not posts or self._is_refused:
            return
        newest = self._unsent[-1:] if self._waiting.text else []
        self._blocks = self._unsent[: len(self._unsent) - len(newest)]
        self._unsent = newest
        parts: list[str] = []
        for text in posts:
            parts += split_reply(text, self._reply, prefix=not self.posts and not parts)
        if self.number + len(parts) >= self._reply.bounds.posts:
            # The remaining posts that a turn may have are the final answer's.
            self._is_refused = True
            return
        self._parts += parts
        while self._parts and not self._is_refused:
            await self._send_on()
        if not self._held:
            self._save_state()  # nothing of the current message was in it

    async def _send_on(self) -> None:
        """Finish what has begun: half a block in the channel, repeated by the final, would read badly."""
        # A cancellation takes effect here, before the shield, and not between two posts of a block.
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
        earlier_posts = self._earlier_posts.get(self.number)
        if earlier_posts is None:
            return await self._post(self.number, text)
        await self._edit(earlier_posts, text)
        return earlier_posts


def _visible_text(text: str) -> str:
    text = without_reasoning(text, streaming=True).lstrip()
    return "" if SILENT_TOKEN.startswith(text.strip()) else text
