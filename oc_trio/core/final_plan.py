"""How a turn's end becomes posts: the draft edited in place, fresh posts, or nothing visible.

A text that fits goes into the draft. A longer one puts its first chunk there and goes on below in the same thread, so
that nothing that was read is deleted. Media, buttons and errors are delivered as fresh posts, after which the preview
is removed, and kept if the delivery failed. A finalised post is never touched again. Doing it is the runtime's part.
"""

import re
from enum import Enum

from attrs import frozen

from oc_trio.core.bounds import AnswerBounds, cut_at_posts
from oc_trio.core.chunking import DEFAULT_LIMIT, SERVER_LIMIT, ChunkMode, chunk
from oc_trio.core.draft_view import SILENT_TOKEN
from oc_trio.core.fences import fence_after
from oc_trio.core.mention_escape import clean, defuse
from oc_trio.core.preview import DraftState, Phase
from oc_trio.core.reasoning import is_reasoning_only, without_reasoning
from oc_trio.core.tables import TableMode, convert_tables, header_after
from oc_trio.core.text_prefix import with_prefix
from oc_trio.core.turn_events import Failed, Final
from oc_trio.ids import PostId

STOPPED = "_(stopped)_"
INTERRUPTED = "_(interrupted, will continue)_"
_BLANK_LINES = re.compile(r"\A(?:[ \t]*\n)+")
_ALREADY_OUT = "the answer is already published in blocks"
SORRY = "Sorry, I could not answer this."


class Notify(Enum):
    """Which post notifies people; edits never do. `BOTH` leaves the answer in the draft and adds a short post."""

    DRAFT = "draft"
    FINAL = "final"
    BOTH = "both"


@frozen
class ReplyRules:
    """How the words of an answer are prepared and where they go."""

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
    """Finalise the draft with `text`, then send `then` as posts of the same thread.

    If the edit is refused or given up, send `text` and `then` fresh. `is_cut`: there was more than these posts hold.
    """

    post_id: PostId
    text: str
    then: tuple[str, ...] = ()
    unchanged: bool = False
    is_cut: bool = False


@frozen
class FreshPosts:
    """Send `texts` in order; only when all are out delete `delete_preview`. Media and buttons join the first post.

    `texts` may be empty when there is media. `is_cut`: there was more than these posts hold.
    """

    texts: tuple[str, ...]
    delete_preview: PostId | None = None
    is_cut: bool = False


@frozen
class NothingVisible:
    """No post. `delete_preview` is a draft that showed nothing worth keeping; `reason` is for the operator.

    `is_out` where that is because blocks hold the whole answer.
    """

    reason: str
    delete_preview: PostId | None = None
    is_out: bool = False


FinalPlan = EditInPlace | FreshPosts | NothingVisible


def plan_final(
    state: DraftState,
    end: Final | Failed,
    rules: ReplyRules,
    *,
    published: tuple[str, ...] = (),
    standing: int = 0,
    words: str = "",
    is_cut: bool = False,
) -> FinalPlan:
    """The plan for a turn whose draft is `state`, no write in flight.

    `published` are the reply texts that sealed blocks hold, oldest first; `standing` how many posts of the turn stay
    beside the answer's. The answer is cut where the turn would have more posts than it may. `words` are those that the
    agent had said when it failed: they stay, with the sentence below them. `is_cut` says that `end` is cut already; a
    file with all of it joins a fresh post then.
    """
    assert state.in_flight is None, "settle the write in flight first"
    preview = state.lingers
    if isinstance(end, Failed):
        texts = _broken_off(words, end, published, rules, standing)
        if preview is None or not words.strip() or state.phase is not Phase.DRAFT or rules.notify is Notify.FINAL:
            return FreshPosts(texts, preview)
        return EditInPlace(preview, texts[0], texts[1:])
    whole, why_none = _texts(clean(end.text), published, rules)
    texts = cut_at_posts(whole, max(1, rules.bounds.posts - standing), rules.bounds.posts)
    is_cut = is_cut or len(texts) < len(whole)
    if end.media or end.buttons or (is_cut and len(texts) == 1):
        return FreshPosts(texts, preview, is_cut)
    if not texts:
        is_out = why_none == _ALREADY_OUT
        return NothingVisible(why_none if is_out else end.silent_reason or why_none, preview, is_out)
    if preview is None or state.phase is not Phase.DRAFT or rules.notify is Notify.FINAL:
        return FreshPosts(texts, preview, is_cut)
    notice = (rules.done_notice,) if rules.notify is Notify.BOTH and rules.done_notice else ()
    return EditInPlace(preview, texts[0], texts[1:] + notice, unchanged=texts[0] == state.written, is_cut=is_cut)


def failed_words(words: str, end: Failed) -> str:
    """What people read in the end where an agent failed after these words: the words, a fence closed, the sentence."""
    sentence = end.for_user.strip() or SORRY
    words = words.rstrip()
    if fence := fence_after(words):
        words = f"{words}\n{fence.closing}"
    return f"{words}\n\n{sentence}" if words.strip() else sentence


def prepared(text: str, rules: ReplyRules, *, prefix: bool = True) -> tuple[str, ...]:
    """The posts of a text: tables rewritten, prefixed, defused and cut, each within the server's limit."""
    text = convert_tables(clean(text), rules.tables)
    if prefix and text.strip():
        text = with_prefix(text, rules.response_prefix)
    safe = clean if rules.allow_channel_mentions else defuse
    # Cutting may tear a code span open and bare a mention in it, so each chunk is defused by itself. That adds
    # characters; where the result is too long for the server, shorter chunks leave room.
    limit = min(rules.limit, SERVER_LIMIT)
    while True:
        texts = tuple(safe(piece) for piece in chunk(safe(text), limit, rules.chunk_mode))
        if limit <= 1 or all(len(piece) <= SERVER_LIMIT for piece in texts):
            return texts
        limit = limit * 3 // 4


def unpublished(text: str, published: tuple[str, ...], rules: ReplyRules) -> str:
    """What of the answer no block holds yet; all of it where the blocks don't line up with its beginning.

    Blocks line up when their characters, white space apart, begin the answer and end at one of its line ends. Header
    rows that only go on with a table of the block before count once.
    """
    rest = _unpublished(text, published, rules)
    once = _without_repeated_headers(published)
    return _unpublished(text, once, rules) if rest == text and once != published else rest


def _without_repeated_headers(published: tuple[str, ...]) -> tuple[str, ...]:
    header, once = "", list[str]()
    for block in published:
        is_repeated = bool(header) and block.startswith(f"{header}\n")
        once.append(block.removeprefix(header) if is_repeated else block)
        header = header_after(block)
    return tuple(once)


def _unpublished(text: str, published: tuple[str, ...], rules: ReplyRules) -> str:
    wanted = "".join("".join(block.split()) for block in published)
    prefix = "".join(rules.response_prefix.split())
    if prefix:
        wanted = wanted.removeprefix(prefix)
    if not wanted:
        return text
    at = _behind(text, wanted, rules)
    if at is None:
        return text
    rest = text[at:]
    if rest.strip() and not rest.lstrip(" \t").startswith("\n"):
        return text
    return _BLANK_LINES.sub("", rest).rstrip()


def sealed_text(said: str, mark: str) -> str:
    """The last text of a draft whose turn was cut off: what was said, an open fence closed, and the mark.

    Idempotent; earlier marks are taken off, so a turn that was interrupted twice carries one.
    """
    said = unsealed(said)
    if not said:
        return mark
    if fence := fence_after(said):
        said = f"{said}\n{fence.closing}"
    tail = f"\n\n{mark}"
    room = SERVER_LIMIT - len(tail)
    if len(said) > room:
        said = chunk(said, room)[0]
    return said + tail


def unsealed(text: str) -> str:
    """The text of a sealed draft without its mark."""
    text = text.rstrip()
    for mark in (STOPPED, INTERRUPTED):
        if text.endswith(mark):
            return text.removesuffix(mark).rstrip()
    return text


def _behind(text: str, wanted: str, rules: ReplyRules) -> int | None:
    """Where `text` goes on after the characters of `wanted`, both without white space; None if it begins otherwise."""
    if not rules.allow_channel_mentions:
        wanted = wanted.replace("\u200b", "")
    found = 0
    for at, char in enumerate(text):
        if found == len(wanted):
            return at
        if char.isspace() or (char == "\u200b" and not rules.allow_channel_mentions):
            continue
        if char != wanted[found]:
            return None
        found += 1
    return len(text) if found == len(wanted) else None


def _broken_off(
    words: str, end: Failed, published: tuple[str, ...], rules: ReplyRules, standing: int
) -> tuple[str, ...]:
    """The posts of an answer that broke off: what no block holds of it, and the sentence as its last paragraph."""
    sentence = prepared(end.for_user.strip() or SORRY, rules, prefix=False)
    if not words.strip():
        return sentence
    said = convert_tables(words.rstrip(), rules.tables)
    tail = unpublished(said, published, rules)
    if not tail.strip():
        return sentence
    if fence := fence_after(tail):
        tail = f"{tail}\n{fence.closing}"
    texts = prepared(tail, rules, prefix=tail.startswith(said))
    texts = cut_at_posts(texts, max(1, rules.bounds.posts - standing), rules.bounds.posts)
    joined = f"{texts[-1]}\n\n{sentence[0]}"
    if len(joined) > min(rules.limit, SERVER_LIMIT):
        return (*texts, *sentence)
    return (*texts[:-1], joined, *sentence[1:])


def _texts(text: str, published: tuple[str, ...], rules: ReplyRules) -> tuple[tuple[str, ...], str]:
    """The posts that an answer still needs, and why there are none if there are none."""
    if not text.strip():
        return (), "the agent returned an empty answer"
    if text.strip() == SILENT_TOKEN:
        return (), "the agent chose to say nothing"
    if is_reasoning_only(text):
        return (), "the answer held only reasoning"
    text = convert_tables(without_reasoning(text), rules.tables)
    tail = unpublished(text, published, rules)
    if not tail:
        return (), _ALREADY_OUT
    return prepared(tail, rules, prefix=tail == text), "nothing visible is left of the answer"
