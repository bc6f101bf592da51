"""The conversation history before a message, for the model: limited, labelled with authors, filtered by access.

Names and texts come from untrusted people: they are escaped here, so that no text can imitate a label of ours.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from enum import Enum

from attrs import evolve

from oc_trio.classes import frozen
from oc_trio.core.access import refuse_post
from oc_trio.core.events import Post
from oc_trio.core.mentions import is_blank
from oc_trio.core.prompt_lines import escape, unescape
from oc_trio.ids import ChannelId, FileId, PostId, ThreadRoot, UserId

HISTORY_HEADER = "[Chat messages since your last reply, for context]"
CURRENT_HEADER = "[Current message, reply to this]"
# What `render_message` writes. No message can contain such lines itself: `escape` marks them.
_RENDERED = re.compile(
    r"^\[Mattermost [^\]\n]*\] [^:\n]*: (.*?)\n\[mattermost message id: [^\]\n]*\]$", re.DOTALL | re.MULTILINE
)
_UNSAFE_IN_LABELS = re.compile(r"[\[\]\x00-\x1f\x7f-\x9f\u2028\u2029]+")


class ContextVisibility(Enum):
    """Whose earlier posts the model may read: everybody's, those of allowed senders, or these and quoted posts."""

    ALL = "all"
    ALLOWLIST = "allowlist"
    ALLOWLIST_QUOTE = "allowlist_quote"


@frozen
class ContextPolicy:
    """`limit` is the number of entries per conversation, 0 for none; `max_chars` limits one entry's text."""

    # OpenClaw's default of `historyLimit`.
    limit: int = 50
    # One post with a log pasted into it must not take the room of all others.
    max_chars: int = 4000
    visibility: ContextVisibility = ContextVisibility.ALL


@frozen
class HistoryEntry:
    """A post that did not address the bot. `trusted`: its author may talk to the bot. `files` counts its files.

    The journal keeps entries as JSON, so the names of these fields must not change.
    """

    post_id: PostId
    channel_id: ChannelId
    user_id: UserId
    name: str
    text: str
    at: int
    trusted: bool
    files: int = 0
    is_ours: bool = False
    file_ids: tuple[FileId, ...] = ()


def entry_of(post: Post, *, name: str, trusted: bool, bot: UserId) -> HistoryEntry:
    """The history entry of a post; `name` may be empty if it is unknown."""
    return HistoryEntry(
        post.id,
        post.channel_id,
        post.user_id,
        name,
        post.message,
        post.create_at,
        trusted,
        files=len(post.file_ids),
        is_ours=post.user_id == bot,
        file_ids=post.file_ids,
    )


def remember(entries: tuple[HistoryEntry, ...], new: HistoryEntry, policy: ContextPolicy) -> tuple[HistoryEntry, ...]:
    """The history with one more entry, without the oldest beyond the limit; an entry replaces that of the same post."""
    if policy.limit == 0:
        return ()
    clipped = clip_entry(new, policy)
    # Sorted again, since an edit keeps the time of its post and catch-up brings posts late.
    kept = [entry for entry in entries if entry.post_id != new.post_id]
    return tuple(sorted((*kept, clipped), key=lambda entry: (entry.at, entry.post_id)))[-policy.limit :]


def clip_entry(entry: HistoryEntry, policy: ContextPolicy) -> HistoryEntry:
    """An entry as it is kept: with a text of limited length."""
    return entry if len(entry.text) <= policy.max_chars else evolve(entry, text=_clip(entry.text, policy.max_chars))


def visible(
    entries: Iterable[HistoryEntry],
    policy: ContextPolicy,
    *,
    until: int,
    without: frozenset[PostId] = frozenset(),
    quoted: frozenset[PostId] = frozenset(),
) -> tuple[HistoryEntry, ...]:
    """The last entries that the model may read, not newer than `until`; `without` are the turn's own posts.

    `quoted` are posts that the message itself refers to, such as its thread's root.
    """
    readable = tuple(
        entry
        for entry in entries
        if entry.at <= until and entry.post_id not in without and _may_read(entry, policy.visibility, quoted)
    )
    return readable[-policy.limit :] if policy.limit else ()


def from_thread(
    posts: Iterable[Post],
    policy: ContextPolicy,
    *,
    root: ThreadRoot,
    channel_id: ChannelId,
    until: int,
    bot: UserId,
    author: Callable[[UserId], tuple[str, bool]],
) -> tuple[HistoryEntry, ...]:
    """The history of a thread read from the server, for a conversation that has none yet; oldest first.

    `author` returns a user's name and whether they may talk to the bot. System, integration, deleted and empty posts,
    posts of other threads and later posts are left out. `posts` may be in any order: the server guarantees none.
    """
    entries: tuple[HistoryEntry, ...] = ()
    for post in sorted(posts, key=lambda post: (post.create_at, post.id)):
        if (
            post.thread != root
            or post.channel_id != channel_id
            or post.create_at > until
            or not _is_readable(post, bot)
        ):
            continue
        # Our own posts are labelled `you`, and no policy hides them from us.
        name, trusted = ("", True) if post.user_id == bot else author(post.user_id)
        entries = remember(entries, entry_of(post, name=name, trusted=trusted, bot=bot), policy)
    # Whoever writes in a thread refers to its root.
    return visible(entries, policy, until=until, quoted=frozenset({PostId(root)}))


def render(entries: Iterable[HistoryEntry], current: str, files: Mapping[PostId, str] | None = None) -> str:
    """The current message with the history before it; just the message if there is no history.

    `files` describes the files of earlier posts that were read.
    """
    lines = [render_entry(entry, (files or {}).get(entry.post_id, "")) for entry in entries]
    return "\n".join((HISTORY_HEADER, *lines, "", CURRENT_HEADER, current)) if lines else current


def render_entry(entry: HistoryEntry, files: str = "") -> str:
    """One history entry; further lines are indented, so that no text can imitate another author's line."""
    who = "you" if entry.is_ours else sender_label(entry.name, entry.user_id)
    attached = "" if not entry.files else "[attachment]" if entry.files == 1 else f"[{entry.files} attachments]"
    message = escape(entry.text.strip())
    content = f"{message}\n{files}" if files else " ".join(filter(None, (message, attached)))
    # By `splitlines`, which knows every separator that a reader may take for a new line.
    text = "\n  ".join(content.strip().splitlines())
    return f"[{clock(entry.at)}] {who}: {text} [id:{entry.post_id} channel:{entry.channel_id}]"


def render_message(
    text: str,
    *,
    name: str,
    user_id: UserId,
    post_id: PostId,
    channel_id: ChannelId,
    at: int,
    files: str = "",
    is_marked: bool = False,
) -> str:
    """The message that a turn answers: author, time, text, and the ids by which tools can refer to it.

    `files` describes the message's files, in lines written by us; `is_marked`: the text begins with a label of ours.
    """
    rendered = message_header(text, name=name, user_id=user_id, at=at, is_marked=is_marked)
    if files:
        rendered = f"{rendered if text else rendered[:-1]}{files}\n"
    return f"{rendered}[mattermost message id: {post_id} channel: {channel_id}]"


def message_header(text: str, *, name: str, user_id: UserId, at: int, is_marked: bool = False) -> str:
    """The beginning of a rendered message, ending with a newline; descriptions of files follow it."""
    return f"[Mattermost {clock(at)}] {sender_label(name, user_id)}: {escape(text, is_marked=is_marked)}\n"


def spoken(rendered: str) -> str:
    """The message texts in what `render_message` and `render` made: for readers that are no model."""
    current = rendered.rpartition(f"\n{CURRENT_HEADER}\n")[2]
    return "\n\n".join(map(unescape, _RENDERED.findall(current))) or current


def sender_label(name: str, user_id: UserId) -> str:
    """`@alice (id)`, or the id alone; brackets and line breaks are removed from the name."""
    clean = label(name.removeprefix("@"))
    return f"@{clean} ({user_id})" if clean else user_id


def label(text: str, limit: int = 80) -> str:
    """Untrusted text made safe for a label: one line, no square brackets, limited length."""
    return _clip(" ".join(_UNSAFE_IN_LABELS.sub(" ", text).split()), limit)


def clock(at: int) -> str:
    """A server time for people and models, in UTC."""
    try:
        return datetime.fromtimestamp(at / 1000, UTC).strftime("%a %Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return "unknown time"  # beyond the year 9999


def _may_read(entry: HistoryEntry, visibility: ContextVisibility, quoted: frozenset[PostId]) -> bool:
    if entry.trusted or entry.is_ours or visibility is ContextVisibility.ALL:
        return True
    return visibility is ContextVisibility.ALLOWLIST_QUOTE and entry.post_id in quoted


def _is_readable(post: Post, bot: UserId) -> bool:
    # Our own posts are refused as messages, and belong to the history all the same.
    if refuse_post(post, bot) not in (None, "own_post"):
        return False
    return bool(post.file_ids) or not is_blank(post.message)


def _clip(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
