"""What was said around a message, for the model: bounded, labelled with its authors, filtered by who may be read.

Names, channel names and texts come from strangers: labels are neutralised here, and a text is never more than a text.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from enum import Enum

from attrs import evolve, frozen

from oc_trio.core.access import refuse_post
from oc_trio.core.events import Post
from oc_trio.core.mentions import is_blank
from oc_trio.core.prompt_lines import escape, unescape
from oc_trio.ids import ChannelId, FileId, PostId, ThreadRoot, UserId

HISTORY_HEADER = "[Chat messages since your last reply, for context]"
CURRENT_HEADER = "[Current message, reply to this]"
_RENDERED = re.compile(
    r"^\[Mattermost [^\]\n]*\] [^:\n]*: (.*?)\n\[mattermost message id: [^\]\n]*\]$", re.DOTALL | re.MULTILINE
)
_UNSAFE_IN_LABELS = re.compile(r"[\[\]\x00-\x1f\x7f-\x9f\u2028\u2029]+")


class ContextVisibility(Enum):
    """Whose earlier words the model may read: everybody's, those who may talk to the bot, or these and the quoted."""

    ALL = "all"
    ALLOWLIST = "allowlist"
    ALLOWLIST_QUOTE = "allowlist_quote"


@frozen
class ContextPolicy:
    """`limit` entries per conversation, 0 for none at all; `max_chars` bounds one entry's text."""

    limit: int = 50
    max_chars: int = 4000
    visibility: ContextVisibility = ContextVisibility.ALL


@frozen
class Entry:
    """A post that was not addressed to the bot. `trusted`: its author may talk to the bot; `files` counts them."""

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


def entry_of(post: Post, *, name: str, trusted: bool, bot: UserId) -> Entry:
    """A post as history; `name` may be empty where it is not known."""
    return Entry(
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


def remember(entries: tuple[Entry, ...], new: Entry, policy: ContextPolicy) -> tuple[Entry, ...]:
    """The history with one more entry, the oldest dropped beyond the limit; the same post again replaces itself."""
    if policy.limit == 0:
        return ()
    clipped = evolve(new, text=_clip(new.text, policy.max_chars))
    kept = [entry for entry in entries if entry.post_id != new.post_id]
    return tuple(sorted((*kept, clipped), key=lambda entry: (entry.at, entry.post_id)))[-policy.limit :]


def visible(
    entries: Iterable[Entry],
    policy: ContextPolicy,
    *,
    until: int,
    without: frozenset[PostId] = frozenset(),
    quoted: frozenset[PostId] = frozenset(),
) -> tuple[Entry, ...]:
    """What the model may read before a message of the time `until`: not newer, not the turn's own posts, the last ones.

    `quoted` holds posts that the message itself refers to, such as its thread's root.
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
) -> tuple[Entry, ...]:
    """A thread as the server has it, for a conversation without a record: bounded history, oldest first.

    `author` gives a user's name and whether they may talk to the bot. System posts, integrations' posts, deleted and
    empty ones, other threads' and later ones are left out. The order of `posts` does not matter: the server promises
    none.
    """
    entries: tuple[Entry, ...] = ()
    for post in sorted(posts, key=lambda post: (post.create_at, post.id)):
        if post.thread != root or post.channel_id != channel_id or post.create_at > until or not _is_told(post, bot):
            continue
        name, trusted = ("", True) if post.user_id == bot else author(post.user_id)
        entries = remember(entries, entry_of(post, name=name, trusted=trusted, bot=bot), policy)
    return visible(entries, policy, until=until, quoted=frozenset({PostId(root)}))


def render(entries: Iterable[Entry], current: str, files: Mapping[PostId, str] | None = None) -> str:
    """The current message with what was said before it; just the message where there is nothing.

    `files` describes those of earlier posts that were read.
    """
    lines = [render_entry(entry, (files or {}).get(entry.post_id, "")) for entry in entries]
    return "\n".join((HISTORY_HEADER, *lines, "", CURRENT_HEADER, current)) if lines else current


def render_entry(entry: Entry, files: str = "") -> str:
    """One line of history, continued lines indented so that no text can pass for another author's line."""
    who = "you" if entry.is_ours else sender_label(entry.name, entry.user_id)
    attached = "" if not entry.files else "[attachment]" if entry.files == 1 else f"[{entry.files} attachments]"
    words = escape(entry.text.strip())
    said = f"{words}\n{files}" if files else " ".join(filter(None, (words, attached)))
    text = "\n  ".join(said.strip().splitlines())
    return f"[{clock(entry.at)}] {who}: {text} [id:{entry.post_id} channel:{entry.channel_id}]"


def render_message(
    text: str, *, name: str, user_id: UserId, post_id: PostId, channel_id: ChannelId, at: int, files: str = ""
) -> str:
    """The message that a turn answers: who said it and when, the text, and the ids by which tools can refer to it.

    `files` describes the message's files, in lines of ours.
    """
    said = spoken_by(text, name=name, user_id=user_id, at=at)
    if files:
        said = f"{said if text else said[:-1]}{files}\n"
    return f"{said}[mattermost message id: {post_id} channel: {channel_id}]"


def spoken_by(text: str, *, name: str, user_id: UserId, at: int) -> str:
    """The beginning of a rendered message, its last line ended: where files were read, they follow."""
    return f"[Mattermost {clock(at)}] {sender_label(name, user_id)}: {escape(text)}\n"


def spoken(rendered: str) -> str:
    """The words alone of what `render_message` and `render` made, if they did: for a reader that is no model."""
    current = rendered.rpartition(f"\n{CURRENT_HEADER}\n")[2]
    return "\n\n".join(map(unescape, _RENDERED.findall(current))) or current


def sender_label(name: str, user_id: UserId) -> str:
    """`@alice (id)`, or the id alone; brackets and line breaks in a name can't break out of the label."""
    clean = label(name.removeprefix("@"))
    return f"@{clean} ({user_id})" if clean else user_id


def label(text: str, limit: int = 80) -> str:
    """Foreign words fit for a header: one line, no square brackets, not too long."""
    return _clip(" ".join(_UNSAFE_IN_LABELS.sub(" ", text).split()), limit)


def clock(at: int) -> str:
    """A server time for people and models, in UTC."""
    try:
        return datetime.fromtimestamp(at / 1000, UTC).strftime("%a %Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return "unknown time"  # beyond the year 9999


def _may_read(entry: Entry, visibility: ContextVisibility, quoted: frozenset[PostId]) -> bool:
    if entry.trusted or entry.is_ours or visibility is ContextVisibility.ALL:
        return True
    return visibility is ContextVisibility.ALLOWLIST_QUOTE and entry.post_id in quoted


def _is_told(post: Post, bot: UserId) -> bool:
    if refuse_post(post, bot) not in (None, "own_post"):
        return False
    return bool(post.file_ids) or not is_blank(post.message)


def _clip(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
