"""Turns an agent's events into the text that the draft post of a turn should show.

    view = view.with_event(event)      # cheap: called for every event
    view.visible()                     # renders: called only before a write

In modes `partial` and `progress` there is one current text. In mode `block` there are also sealed texts, each of which
stays as a post of its own. `preview` decides when a text is written, `final_plan` what is posted at the end.
"""

from collections.abc import Iterable
from enum import Enum
from typing import assert_never

from attrs import evolve, field

from oc_trio.classes import frozen
from oc_trio.core.appendable_text import AppendableText
from oc_trio.core.mention_escape import clean, escape_channel_mentions
from oc_trio.core.progress import ProgressStyle, Work, render
from oc_trio.core.reasoning import without_reasoning
from oc_trio.core.tables import TableMode, convert_tables
from oc_trio.core.text_prefix import begins_with, with_prefix
from oc_trio.core.tool_rows import bounded, ended_row, makes_row, row_of
from oc_trio.core.turn_events import (
    AgentEvent,
    Failed,
    Final,
    Headline,
    PlanUpdated,
    TextDelta,
    Thinking,
    ToolEnded,
    ToolStarted,
)

THINKING = "Thinking…"
WAITING = "Waiting: {} before this one…"
NEXT = "Waiting: next…"
SILENT_TOKEN = "NO_REPLY"  # noqa: S105 - what a model says to say nothing, not a credential
# Characters, the newest: models think tens of thousands.
_KEPT_REASONING = 2_000


class StreamMode(Enum):
    """`streaming.mode`. What tells modes apart is asked of them, so that the type checker asks it of a new one."""

    OFF = "off"
    PARTIAL = "partial"
    BLOCK = "block"
    PROGRESS = "progress"

    @property
    def shows_all_words(self) -> bool:
        """Whether one post shows all messages of the turn: people have read them, so they lead the final text."""
        match self:
            case StreamMode.PARTIAL:
                return True
            case StreamMode.OFF | StreamMode.BLOCK | StreamMode.PROGRESS:
                return False
        assert_never(self)

    @property
    def leaves_blocks(self) -> bool:
        """Whether completed stretches of text and work stay as posts of their own."""
        match self:
            case StreamMode.BLOCK:
                return True
            case StreamMode.OFF | StreamMode.PARTIAL | StreamMode.PROGRESS:
                return False
        assert_never(self)

    @property
    def words_may_shrink(self) -> bool:
        """Whether a text with words of the reply may be replaced by a beginning of it."""
        match self:
            case StreamMode.PARTIAL:
                return False
            case StreamMode.OFF | StreamMode.BLOCK | StreamMode.PROGRESS:
                return True
        assert_never(self)

    @property
    def begins_late(self) -> bool:
        """Whether the first post waits a while, since for a quick answer it would only flicker."""
        match self:
            case StreamMode.PROGRESS:
                return True
            case StreamMode.OFF | StreamMode.PARTIAL | StreamMode.BLOCK:
                return False
        assert_never(self)


@frozen
class ViewStyle:
    """What is shown. `tool_rows` is `preview.toolProgress`, `progress_rows` is `progress.toolProgress`.

    `reasoning` and `verbose` are a session's switches; `seed` picks the label; `max_chars` bounds the current text.
    """

    mode: StreamMode = StreamMode.PARTIAL
    progress: ProgressStyle = ProgressStyle()
    tool_rows: bool = True
    progress_rows: bool = False
    reasoning: bool = False
    verbose: bool = False
    response_prefix: str = ""
    tables: TableMode = TableMode.OFF
    allow_channel_mentions: bool = False
    seed: str = ""
    max_chars: int = 4_000


class BlockKind(Enum):
    """What a post of a turn holds: reply text, or progress lines (tools, plan, thinking)."""

    REPLY = "reply"
    WORK = "work"


@frozen
class Block:
    """A text to show. A sealed block is complete and may need several posts; a current one is cut to one post."""

    kind: BlockKind
    text: str


@frozen
class Visible:
    """Everything to show: `sealed` only gets longer; `current` is None if there is nothing after the sealed blocks."""

    sealed: tuple[Block, ...]
    current: Block | None


@frozen
class DraftView:
    """The turn so far: `messages` are complete (a tool call followed them), `streamed_text` is still being written.

    `earlier_messages` counts those of `messages` that come from a run before a restart: the agent does not repeat them.
    `working` is true from a tool call, plan or headline until the next text; `thinking` once reasoning came.
    `waiting` is a line that is shown while the turn waits to begin, until the agent's first event.
    """

    style: ViewStyle = ViewStyle()
    earlier_messages: int = 0
    messages: tuple[str, ...] = ()
    streamed_text: AppendableText = AppendableText()
    work: Work = Work()
    working: bool = False
    thinking: bool = False
    reasoning: str = field(default="", repr=False)
    sealed: tuple[Block, ...] = ()
    waiting: str = ""

    @property
    def text(self) -> str:
        """The message that is being written. Joins all its pieces: call it when it is shown, not for each event."""
        return str(self.streamed_text)

    def with_event(self, event: AgentEvent) -> "DraftView":
        """The view after `event`. `Final` and `Failed` change nothing: `final_plan` turns them into posts."""
        # The first event ends the wait, whatever it is.
        if self.waiting:
            return evolve(self, waiting="").with_event(event)
        match event:
            case TextDelta():
                return self._with_text(event.text)
            case Thinking():
                # Only the last line is ever shown, so the text is kept bounded.
                return evolve(self, thinking=True, reasoning=(self.reasoning + event.text)[-_KEPT_REASONING:])
            case ToolStarted():
                return self._with_tool(event)
            case ToolEnded():
                return self._with_tool_end(event)
            case PlanUpdated():
                return self._at_work(evolve(self.work, plan=event.steps))
            case Headline():
                return self._at_work(evolve(self.work, headline=event.text))
            case Final() | Failed():
                return self
        assert_never(event)

    def behind(self, ahead: int) -> "DraftView":
        """The view while so many turns will begin before this one, which has not begun."""
        return evolve(self, waiting=WAITING.format(ahead) if ahead else NEXT)

    def visible(self) -> Visible:
        """What the channel should show now; nothing in mode `off`."""
        match self.style.mode:
            case StreamMode.OFF:
                return Visible((), None)
            case StreamMode.PARTIAL:
                return Visible((), self._partial())
            case StreamMode.BLOCK:
                return Visible(self.sealed, self._current_block())
            case StreamMode.PROGRESS:
                return Visible((), self._progress())
        assert_never(self.style.mode)

    def unsealed_reply(self) -> str:
        """The streamed reply text that no sealed block holds, without progress lines: for sealing a cancelled draft.

        Empty in the modes `off` and `progress`, which don't show the reply while it is streamed.
        """
        match self.style.mode:
            case StreamMode.OFF | StreamMode.PROGRESS:
                return ""
            case StreamMode.PARTIAL:
                return self._formatted(self._visible_reply(*self.messages, self.text), first=True)
            case StreamMode.BLOCK:
                return self._formatted(self._visible_reply(self.text), first=not self.messages)
        assert_never(self.style.mode)

    def streamed_reply(self) -> str:
        """All reply text that was streamed, in any mode, without progress lines."""
        return self._visible_reply(*self.messages, self.text)

    def whole_reply(self, final_text: str) -> str:
        """`Final.text` with the turn's earlier messages before it, as far as it does not repeat them.

        In mode `partial` people have read those messages in the draft, so they must not disappear. In every mode the
        messages from before a restart are added, because the resumed agent does not know that they were only a draft.
        """
        if not self.messages:
            return final_text
        # By the letters alone: models lay a text out anew when they repeat it.
        squeezed = "".join(final_text.split())
        if not squeezed and not self.earlier_messages:
            return final_text
        missing = [reply for text in self.messages[: self.earlier_messages] if (reply := self._visible_reply(text))]
        if begins_with(final_text, missing):
            missing = []
        if self.style.mode.shows_all_words:
            later = [reply for text in self.messages[self.earlier_messages :] if (reply := self._visible_reply(text))]
            missing += [reply for reply in later if "".join(reply.split()) not in squeezed]
        return "\n\n".join([*missing, final_text] if squeezed else missing)

    def resumed(self, events: Iterable[AgentEvent]) -> "DraftView":
        """The view of a turn that resumes after `events` of an earlier run; only mode `block` shows that work again."""
        view = self
        for event in events:
            view = view.with_event(event)
        if not self.style.mode.leaves_blocks:
            view = evolve(self, messages=view.messages)
        return evolve(view, earlier_messages=len(view.messages))

    def finished(self) -> "DraftView":
        """The view once the agent has ended: the signs of work that were current are a block like those before."""
        block = self._work_block() if self.working and self.style.mode.leaves_blocks else None
        return evolve(self, working=False, work=Work(), sealed=(*self.sealed, block)) if block else self

    def _with_text(self, delta: str) -> "DraftView":
        if not self.working:
            return evolve(self, streamed_text=self.streamed_text + delta)
        # Blanks between two tool calls are no message.
        if not delta.strip():
            return self
        sealed = self.sealed
        if self.style.mode.leaves_blocks and (block := self._work_block()):
            sealed = (*sealed, block)
        # A plan belongs to the turn, rows and headline to the stretch of work that this text ends; a verbose session
        # keeps the rows of the whole turn under its one text.
        keeps = self.style.verbose and self.style.mode.shows_all_words
        work = Work(plan=self.work.plan, rows=self.work.rows if keeps else ())
        return evolve(self, streamed_text=AppendableText(delta), working=False, sealed=sealed, work=work)

    def _at_work(self, work: Work) -> "DraftView":
        if self.working:
            return evolve(self, work=work)
        reply = self._visible_reply(self.text)
        messages = (*self.messages, self.text) if reply else self.messages
        sealed = self.sealed
        if self.style.mode.leaves_blocks and reply:
            sealed = (*sealed, Block(BlockKind.REPLY, self._formatted(reply, first=not self.messages)))
        return evolve(self, work=work, working=True, messages=messages, streamed_text=AppendableText(), sealed=sealed)

    def _with_tool(self, event: ToolStarted) -> "DraftView":
        # Tools whose effect people see anyway make no row, and don't end the text before them.
        # `ask_user`, for one, posts a question.
        if not makes_row(event.name):
            return self
        row = row_of(event, self.style.progress.command_text)
        return self._at_work(evolve(self.work, rows=bounded((*self.work.rows, row))))

    def _with_tool_end(self, event: ToolEnded) -> "DraftView":
        """Marks the call's row as ended; changes nothing if the row is in a sealed block or was never shown."""
        if not any(row.call_id == event.call_id for row in self.work.rows):
            return self
        commands = self.style.progress.command_text
        rows = (ended_row(row, event, commands) if row.call_id == event.call_id else row for row in self.work.rows)
        return evolve(self, work=evolve(self.work, rows=tuple(rows)))

    def _partial(self) -> Block | None:
        reply = self._visible_reply(*self.messages, self.text)
        block = self._rendered(rows=self.style.tool_rows) if self.working else ""
        if self.style.verbose and not self.working and self.work.rows:
            block = self._rendered(rows=True)
        if not reply:
            return self._cut(BlockKind.WORK, block or self._thinking_line())
        text = self._formatted(reply, first=True)
        # Where both don't fit, the words go before the signs of work.
        if block and len(text) + len(block) + 2 <= self.style.max_chars:
            text = f"{text}\n\n{block}"
        return self._cut(BlockKind.REPLY, text)

    def _current_block(self) -> Block | None:
        if self.working:
            block = self._work_block()
            return self._cut(block.kind, block.text) if block else None
        reply = self._visible_reply(self.text)
        if reply:
            return self._cut(BlockKind.REPLY, self._formatted(reply, first=not self.messages))
        # Only before the first block: after it people see that something happens.
        return None if self.sealed else self._cut(BlockKind.WORK, self._thinking_line())

    def _progress(self) -> Block | None:
        rows = self.style.progress_rows or self.style.verbose
        has_reply = self.streamed_text.has_words or bool(self.messages)
        note = self._thinking_line() if self.thinking and not self.work.rows and not has_reply else ""
        started = self.thinking or has_reply or not self.work.is_empty
        if not started:
            return self._cut(BlockKind.WORK, self.waiting)
        return self._cut(BlockKind.WORK, self._rendered(rows=rows, note=note) or THINKING)

    def _work_block(self) -> Block | None:
        text = self._rendered(rows=self.style.tool_rows or self.style.verbose)
        return Block(BlockKind.WORK, text) if text else None

    def _rendered(self, *, rows: bool, note: str = "") -> str:
        work = evolve(self.work, rows=self.work.rows if rows else (), note=note)
        # A progress draft shows its label even with nothing else to say.
        if work.is_empty and self.style.mode is not StreamMode.PROGRESS:
            return ""
        return self._safe(render(work, self.style.progress, self.style.seed))

    def _thinking_line(self) -> str:
        """`Thinking…`, or the last line of reasoning if the session asked to see it (`/reasoning on`)."""
        if not self.thinking:
            return self.waiting
        lines = self.reasoning.strip().splitlines() if self.style.reasoning else []
        if not lines:
            return THINKING
        last = lines[-1].strip()
        width = self.style.progress.max_line_chars
        return self._safe(f"💭 {last if len(last) <= width else '…' + last[1 - width :]}")

    def _visible_reply(self, *texts: str) -> str:
        """The messages joined, without reasoning; "" while they may still become the silent token `NO_REPLY`."""
        messages = [without_reasoning(text, streaming=True).strip() for text in texts if text.strip()]
        reply = "\n\n".join(filter(None, messages))
        # Nothing may flash up where the answer turns out to be silence.
        return "" if SILENT_TOKEN.startswith(reply) else reply

    def _formatted(self, reply: str, *, first: bool) -> str:
        if not reply:
            return ""
        text = convert_tables(clean(reply), self.style.tables)
        return self._safe(with_prefix(text, self.style.response_prefix) if first else text)

    def _safe(self, text: str) -> str:
        return clean(text) if self.style.allow_channel_mentions else escape_channel_mentions(text)

    def _cut(self, kind: BlockKind, text: str) -> Block | None:
        """A block of at most `max_chars`, escaped again after the cut, which may have ended inside code."""
        if not text:
            return None
        limit = self.style.max_chars
        if len(text) > limit:
            text = self._safe(text[: max(0, limit - 3)])[: max(0, limit - 3)] + "..."
        return Block(kind, text)
