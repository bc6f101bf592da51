"""Decides how a turn's result is posted: by editing the draft, as new posts, or not at all.

A text that fits goes into the draft. Of a longer one the first chunk goes into the draft and the rest below it in the
same thread, so that nothing people have read is deleted. Media, buttons and errors are sent as new posts; the draft is
deleted afterwards, and kept if the delivery failed. A final post is never edited again. `runtime.turn` carries it out.
"""

import re
from enum import Enum

from oc_trio.classes import frozen
from oc_trio.core.bounds import AnswerBounds, cut_at_posts
from oc_trio.core.chunking import DEFAULT_LIMIT, SERVER_LIMIT, ChunkMode, chunk
from oc_trio.core.code_fences import fence_after
from oc_trio.core.draft_view import SILENT_TOKEN
from oc_trio.core.mention_escape import clean, escape_channel_mentions
from oc_trio.core.preview import DraftPhase, DraftState
from oc_trio.core.reasoning import is_reasoning_only, without_reasoning
from oc_trio.core.tables import TableMode, convert_tables, header_after
from oc_trio.core.text_prefix import with_prefix
from oc_trio.core.turn_events import Failed, Final
from oc_trio.ids import PostId

STOPPED = "_(stopped)_"
INTERRUPTED = "_(interrupted, will continue)_"
_BLANK_LINES = re.compile(r"\A(?:[ \t]*\n)+")
_ALREADY_PUBLISHED = "the answer is already published in blocks"
SORRY = "Sorry, I could not answer this."


class Notify(Enum):
    """Which post notifies people: edits never notify in Mattermost. `BOTH`: answer in the draft, then a short post."""

    DRAFT = "draft"
    FINAL = "final"
    BOTH = "both"


@frozen
class ReplyRules:
    """How the text of an answer is split into posts, escaped and delivered."""

    limit: int = DEFAULT_LIMIT
    chunk_mode: ChunkMode = ChunkMode.LENGTH
    tables: TableMode = TableMode.OFF
    response_prefix: str = ""
    allow_channel_mentions: bool = False
    notify: Notify = Notify.DRAFT
    done_notice: str = "✅ The answer above is complete."
    bounds: AnswerBounds = AnswerBounds()


@frozen
class EditInPlace:
    """Edit the draft to `text`, then send `then` as posts of the same thread.

    If the edit is refused or given up, send `text` and `then` fresh. `is_cut`: there was more than these posts hold.
    """

    post_id: PostId
    text: str
    then: tuple[str, ...] = ()
    unchanged: bool = False
    is_cut: bool = False


@frozen
class FreshPosts:
    """Send `texts` in order, then delete the draft `delete_preview`. Media and buttons go with the first post.

    `texts` may be empty when there is media. `is_cut`: there was more than these posts hold.
    """

    texts: tuple[str, ...]
    delete_preview: PostId | None = None
    is_cut: bool = False


@frozen
class NoPost:
    """No final post. `delete_preview` is a draft that holds nothing to keep; `reason` is for the operator.

    `is_in_blocks`: no post is needed because sealed blocks already hold the whole answer.
    """

    reason: str
    delete_preview: PostId | None = None
    is_in_blocks: bool = False


FinalPlan = EditInPlace | FreshPosts | NoPost


def plan_final(
    state: DraftState,
    end: Final | Failed,
    rules: ReplyRules,
    *,
    published: tuple[str, ...] = (),
    kept_posts: int = 0,
    streamed_text: str = "",
    is_cut: bool = False,
) -> FinalPlan:
    """The plan for a turn whose draft is `state`; no write may be in flight.

    `published` are the reply texts in sealed blocks, oldest first; `kept_posts` counts the posts of the turn that stay
    beside the answer. The answer is cut where the turn would exceed `bounds.posts`. `streamed_text` is what the agent
    had written before it failed: it stays, with the error sentence below it. `is_cut` says that `end` is cut already: a
    file with all of it joins a new post then.
    """
    assert state.in_flight is None, "wait for the write in flight first"
    preview = state.leftover_post
    if isinstance(end, Failed):
        texts = _failed_reply(streamed_text, end, published, rules, kept_posts)
        if (
            preview is None
            or not streamed_text.strip()
            or state.phase is not DraftPhase.DRAFT
            or rules.notify is Notify.FINAL
        ):
            return FreshPosts(texts, preview)
        return EditInPlace(preview, texts[0], texts[1:])
    whole, empty_reason = _answer_posts(clean(end.text), published, rules)
    # At least one: an answer of which nothing is posted would look like no answer.
    texts = cut_at_posts(whole, max(1, rules.bounds.posts - kept_posts), rules.bounds.posts)
    is_cut = is_cut or len(texts) < len(whole)
    # Files can't be added to a post by an edit.
    if end.media or end.buttons or (is_cut and len(texts) == 1):
        return FreshPosts(texts, preview, is_cut)
    if not texts:
        is_in_blocks = empty_reason == _ALREADY_PUBLISHED
        return NoPost(empty_reason if is_in_blocks else end.silent_reason or empty_reason, preview, is_in_blocks)
    if preview is None or state.phase is not DraftPhase.DRAFT or rules.notify is Notify.FINAL:
        return FreshPosts(texts, preview, is_cut)
    notice = (rules.done_notice,) if rules.notify is Notify.BOTH and rules.done_notice else ()
    return EditInPlace(preview, texts[0], texts[1:] + notice, unchanged=texts[0] == state.written, is_cut=is_cut)


def failed_text(streamed_text: str, end: Failed) -> str:
    """What people read when an agent failed: the text it had streamed, code fences closed, and the error sentence."""
    sentence = end.for_user.strip() or SORRY
    text = streamed_text.rstrip()
    if fence := fence_after(text):
        text = f"{text}\n{fence.closing}"
    return f"{text}\n\n{sentence}" if text.strip() else sentence


def split_reply(text: str, rules: ReplyRules, *, prefix: bool = True) -> tuple[str, ...]:
    """The posts for a text: tables converted, prefix added, mentions escaped, and cut to the server's limit."""
    text = convert_tables(clean(text), rules.tables)
    if prefix and text.strip():
        text = with_prefix(text, rules.response_prefix)
    safe = clean if rules.allow_channel_mentions else escape_channel_mentions
    # A cut inside a code span turns a mention in it into a live one, so each chunk is escaped again. That adds
    # characters: if a chunk is then too long for the server, cut again into shorter ones.
    limit = min(rules.limit, SERVER_LIMIT)
    while True:
        texts = tuple(safe(piece) for piece in chunk(safe(text), limit, rules.chunk_mode))
        if limit <= 1 or all(len(piece) <= SERVER_LIMIT for piece in texts):
            return texts
        # Each escape adds one character: one round is nearly always enough.
        limit = limit * 3 // 4


def remaining_text(text: str, published: tuple[str, ...], rules: ReplyRules) -> str:
    """The part of the answer that no sealed block holds; all of it if the answer does not begin with the blocks.

    It begins with them if their characters, ignoring white space, are a prefix of the answer that ends at a line end.
    Header rows that a block repeats to continue the table of the block before count once.
    """
    rest = _remaining_text(text, published, rules)
    deduplicated = _without_repeated_headers(published)
    return _remaining_text(text, deduplicated, rules) if rest == text and deduplicated != published else rest


def _without_repeated_headers(published: tuple[str, ...]) -> tuple[str, ...]:
    header, blocks = "", list[str]()
    for block in published:
        is_repeated = bool(header) and block.startswith(f"{header}\n")
        blocks.append(block.removeprefix(header) if is_repeated else block)
        header = header_after(block)
    return tuple(blocks)


def _remaining_text(text: str, published: tuple[str, ...], rules: ReplyRules) -> str:
    # Blocks were reformatted on their way into posts; what stays the same is their characters.
    wanted = "".join("".join(block.split()) for block in published)
    prefix = "".join(rules.response_prefix.split())
    if prefix:
        wanted = wanted.removeprefix(prefix)
    if not wanted:
        return text
    at = _end_of_prefix(text, wanted, rules)
    if at is None:
        return text
    rest = text[at:]
    # In the middle of a line it is no continuation, but another answer that begins with the same words.
    if rest.strip() and not rest.lstrip(" \t").startswith("\n"):
        return text
    return _BLANK_LINES.sub("", rest).rstrip()


def interrupted_text(text: str, mark: str) -> str:
    """The last text of a draft whose turn was stopped or interrupted: the text so far, a fence closed, and the mark.

    Idempotent: an earlier mark is removed first, so a turn that was interrupted twice has one.
    """
    # First the mark of an earlier interruption, or a second one would be added below it.
    text = without_mark(text)
    if not text:
        return mark
    if fence := fence_after(text):
        text = f"{text}\n{fence.closing}"
    tail = f"\n\n{mark}"
    limit = SERVER_LIMIT - len(tail)
    if len(text) > limit:
        # A draft is one post: what does not fit beside the mark is left out.
        text = chunk(text, limit)[0]
    return text + tail


def without_mark(text: str) -> str:
    """The text of an interrupted draft without its mark."""
    text = text.rstrip()
    for mark in (STOPPED, INTERRUPTED):
        if text.endswith(mark):
            return text.removesuffix(mark).rstrip()
    return text


def _end_of_prefix(text: str, wanted: str, rules: ReplyRules) -> int | None:
    """The offset in `text` after the characters of `wanted`, ignoring white space; None if it does not begin so."""
    if not rules.allow_channel_mentions:
        # Escaped mentions have a zero width space that the answer's own text lacks.
        wanted = wanted.replace("\u200b", "")
    matched = 0
    for at, char in enumerate(text):
        if matched == len(wanted):
            return at
        if char.isspace() or (char == "\u200b" and not rules.allow_channel_mentions):
            continue
        if char != wanted[matched]:
            return None
        matched += 1
    return len(text) if matched == len(wanted) else None


def _failed_reply(
    streamed_text: str, end: Failed, published: tuple[str, ...], rules: ReplyRules, kept_posts: int
) -> tuple[str, ...]:
    """The posts of an answer that failed: what no block holds of it, with the error sentence as last paragraph."""
    sentence = split_reply(end.for_user.strip() or SORRY, rules, prefix=False)
    if not streamed_text.strip():
        return sentence
    text = convert_tables(streamed_text.rstrip(), rules.tables)
    tail = remaining_text(text, published, rules)
    if not tail.strip():
        return sentence
    if fence := fence_after(tail):
        tail = f"{tail}\n{fence.closing}"
    texts = split_reply(tail, rules, prefix=tail.startswith(text))
    texts = cut_at_posts(texts, max(1, rules.bounds.posts - kept_posts), rules.bounds.posts)
    joined = f"{texts[-1]}\n\n{sentence[0]}"
    if len(joined) > min(rules.limit, SERVER_LIMIT):
        return (*texts, *sentence)
    return (*texts[:-1], joined, *sentence[1:])


def _answer_posts(text: str, published: tuple[str, ...], rules: ReplyRules) -> tuple[tuple[str, ...], str]:
    """The posts that the answer still needs; if none, also the reason."""
    if not text.strip():
        return (), "the agent returned an empty answer"
    # Before the reasoning is taken off: only an answer that is nothing but the token is silence.
    if text.strip() == SILENT_TOKEN:
        return (), "the agent chose to say nothing"
    if is_reasoning_only(text):
        return (), "the answer held only reasoning"
    text = convert_tables(without_reasoning(text), rules.tables)
    tail = remaining_text(text, published, rules)
    if not tail:
        return (), _ALREADY_PUBLISHED
    return split_reply(tail, rules, prefix=tail == text), "nothing visible is left of the answer"
