"""The context of a turn: unaddressed posts kept for it, and the thread so far where we have no transcript.

Reads and stores them, and builds the prompt. What the model may read of them is decided in `core.context`.
"""

import json
import re
from collections.abc import Sequence
from functools import partial

import msgspec
import trio
from attrs import evolve

from oc_trio.agent.port import Message, Role
from oc_trio.classes import frozen
from oc_trio.core import context
from oc_trio.core.access import authorise
from oc_trio.core.chat import Chat
from oc_trio.core.events import Post
from oc_trio.core.inbound import InboundMessage
from oc_trio.core.prompt_lines import one_line, unescape
from oc_trio.errors import MattermostError
from oc_trio.ids import PostId, SessionKey, ThreadRoot, UserId
from oc_trio.mattermost.client import Api
from oc_trio.runtime.conversation.attachments import AttachmentReader
from oc_trio.runtime.people import People
from oc_trio.runtime.policies import Policies
from oc_trio.store.context import ContextPost
from oc_trio.store.damage import reading
from oc_trio.store.store import Store
from oc_trio.telemetry.log import get_logger

# After this the turn goes on without the thread's earlier posts.
# OpenClaw's deadline for the same.
THREAD_SECONDS = 5.0
# As many as one post may have.
MAX_EARLIER_FILES = 10
_PERMALINK = re.compile(r"/pl/([a-z0-9]{26})(?![a-z0-9])")

log = get_logger(part="context")


@frozen(eq=False)
class ConversationContext:
    """One account's."""

    people: People
    api: Api
    store: Store
    policies: Policies

    async def remember(self, session: SessionKey, entry: context.HistoryEntry) -> None:
        """Keep an unaddressed post for the next turn of its conversation."""
        if (kept := self.kept(session, entry)) is not None:
            await self.store.context.add(session, kept.post, kept.payload, kept.at, self.policies.context.limit)

    def kept(self, session: SessionKey, entry: context.HistoryEntry) -> ContextPost | None:
        """The journal's row of an unaddressed post; None where no context is kept."""
        if not self.policies.context.limit:
            return None
        entry = context.clip_entry(entry, self.policies.context)
        return ContextPost(session, entry.post_id, msgspec.json.encode(entry).decode(), entry.at)

    async def revise(self, session: SessionKey, post: Post) -> None:
        """A kept post was edited: if it still waits for a turn, keep its current text."""
        entries = _entries(session, await self.store.context.take(session, post.create_at))
        before = next((entry for entry in entries if entry.post_id == post.id), None)
        if before is not None:
            await self.remember(
                session, evolve(before, text=post.message, files=len(post.file_ids), file_ids=post.file_ids)
            )

    async def build_prompt(
        self,
        messages: Sequence[InboundMessage],
        *,
        has_history: bool,
        dropped: Sequence[str] = (),
        reader: AttachmentReader | None = None,
    ) -> Message:
        """The user message of a turn: the messages it answers, with their context, as the model reads them.

        `dropped` are summary lines of messages that the queue dropped; `reader` reads attached files.
        Raises StoreError, MattermostUnavailable, PayloadError.
        """
        last, policy = messages[-1], self.policies.context
        entries = _entries(last.session, await self.store.context.take(last.session, last.create_at))
        is_root_known = any(entry.post_id == last.root_id for entry in entries)
        # With a transcript the model knows the thread already; this is for a thread that began before the bot was
        # mentioned.
        if not is_root_known and not has_history and last.root_id and policy.limit:
            known = {entry.post_id for entry in entries}
            thread = [entry for entry in await self._thread(last) if entry.post_id not in known]
            entries = tuple(sorted((*thread, *entries), key=lambda entry: (entry.at, entry.post_id)))
        visible = context.visible(
            entries,
            policy,
            until=last.create_at,
            without=frozenset(PostId(message.post_id) for message in messages),
            quoted=_quoted(messages),
        )
        texts = [await _rendered(message, reader) for message in messages]
        if dropped:
            lines = "\n".join(f"- {one_line(line)}" for line in dropped)
            texts.insert(0, f"[Messages that there was no room to queue]\n{lines}")
        files = await _files_of(visible, last.root_id, reader) if reader is not None else {}
        images = tuple(reader.images) if reader is not None else ()
        return Message(Role.USER, context.render(visible, "\n\n".join(texts), files), images)

    async def _thread(self, message: InboundMessage) -> tuple[context.HistoryEntry, ...]:
        """The earlier posts of a thread, from the server; empty where they can't be read within `THREAD_SECONDS`."""
        chat = Chat(message.channel_id, message.channel_type, message.team_id)
        limit = self.policies.context.limit
        try:
            with trio.fail_after(THREAD_SECONDS):
                # One more, because the message itself is among them.
                posts = await self.api.posts.thread(PostId(message.root_id), limit=limit + 1)
                senders = {post.user_id: await self.people.sender(post.user_id) for post in posts}
                paired = await self.people.paired(chat)
        except (MattermostError, trio.TooSlowError) as problem:
            log.info("could not read a thread", account=self.people.account, root=message.root_id, problem=str(problem))
            return ()

        def author(user_id: UserId) -> tuple[str, bool]:
            sender = senders[user_id]
            return sender.username, authorise(sender, chat, self.policies.access, paired=paired).allowed

        return context.from_thread(
            posts,
            self.policies.context,
            root=ThreadRoot(message.root_id),
            channel_id=message.channel_id,
            until=message.create_at,
            bot=self.people.bot,
            author=author,
        )


def _entries(session: SessionKey, rows: Sequence[str]) -> tuple[context.HistoryEntry, ...]:
    with reading("context", f"session {session}"):
        entries = [context.HistoryEntry(**json.loads(row)) for row in rows]
        return tuple(evolve(entry, file_ids=tuple(entry.file_ids)) for entry in entries)


def _quoted(messages: Sequence[InboundMessage]) -> frozenset[PostId]:
    """The posts that the messages refer to: the root of their thread, and permalinks."""
    roots = [message.root_id for message in messages if message.root_id]
    links = [link for message in messages for link in _PERMALINK.findall(message.text)]
    return frozenset(map(PostId, (*roots, *links)))


def is_in_prompt(message: InboundMessage, prompt_text: str) -> bool:
    """Whether a prompt holds a message, with its current text or an earlier one."""
    # Each message is rendered with the id of its post, and a post's id is 26 random characters.
    return (message.post_id or message.trigger) in prompt_text


def is_in_prompt_verbatim(message: InboundMessage, prompt_text: str) -> bool:
    """Whether a prompt holds a message with its current text."""
    if not message.text:
        return True  # a post of files only leaves no text to compare, so it counts as unchanged
    header = partial(
        context.message_header, message.text, name=message.user_name, user_id=message.user_id, at=message.create_at
    )
    # Earlier releases escaped all lines but the first, or none.
    earlier = header(is_marked=True)
    return any(line in prompt_text for line in (header(is_marked=message.is_marked), earlier, unescape(earlier)))


async def _files_of(
    entries: Sequence[context.HistoryEntry], root_id: str, reader: AttachmentReader
) -> dict[PostId, str]:
    """Descriptions of earlier posts' files, by post: those of the thread's root first, then the newest."""
    described = dict[PostId, str]()
    # The root is what the thread is about.
    ordered = sorted(entries, key=lambda entry: (entry.post_id != root_id, -entry.at))
    budget = MAX_EARLIER_FILES
    # Files are larger than posts; those that come too late are left out, the turn does not wait for them.
    with trio.move_on_after(THREAD_SECONDS * 6):
        for entry in ordered:
            if entry.file_ids and budget > 0:
                described[entry.post_id] = await reader.describe(entry.file_ids[:budget])
                budget -= len(entry.file_ids)
    return described


async def _rendered(message: InboundMessage, reader: AttachmentReader | None) -> str:
    return context.render_message(
        message.text,
        name=message.user_name,
        user_id=message.user_id,
        post_id=PostId(message.post_id or message.trigger),
        channel_id=message.channel_id,
        at=message.create_at,
        files=await reader.describe(message.file_ids) if reader is not None else "",
        is_marked=message.is_marked,
    )
