"""What was said around a message: overheard posts kept for the next turn, and a thread that we have no record of.

Owns where these come from and go to; what the model may read of them is decided in `core.context`.
"""

import json
import re
from collections.abc import Sequence

import trio
from attrs import asdict, evolve, frozen

from oc_trio.agent.port import Message, Role
from oc_trio.core import context
from oc_trio.core.access import authorise
from oc_trio.core.chat import Chat, Sender
from oc_trio.core.events import Post
from oc_trio.core.inbound import InboundMessage
from oc_trio.core.prompt_lines import one_line, unescape
from oc_trio.errors import MattermostError, MattermostRejected
from oc_trio.ids import AccountId, PostId, SessionKey, ThreadRoot, UserId
from oc_trio.mattermost.client import Api
from oc_trio.mattermost.directory import Directory
from oc_trio.runtime.conversation.attachments import AttachmentReader
from oc_trio.runtime.policies import Policies
from oc_trio.store.damage import reading
from oc_trio.store.store import Store
from oc_trio.telemetry.log import get_logger

# An answer without the thread's past beats one that comes late.
THREAD_SECONDS = 5.0
MOST_EARLIER_FILES = 10
_PERMALINK = re.compile(r"/pl/([a-z0-9]{26})(?![a-z0-9])")

log = get_logger(part="context")


@frozen(eq=False)
class ConversationContext:
    """The surroundings of one account's conversations."""

    account: AccountId
    bot: UserId
    api: Api
    directory: Directory
    store: Store
    policies: Policies

    async def overheard(self, session: SessionKey, entry: context.Entry) -> None:
        """Keep an unaddressed post for the next turn of its conversation."""
        limit = self.policies.context.limit
        if limit:
            [kept] = context.remember((), entry, self.policies.context)
            row = json.dumps(asdict(kept), ensure_ascii=False, separators=(",", ":"))
            await self.store.context.add(session, entry.post_id, row, entry.at, limit)

    async def reworded(self, session: SessionKey, post: Post) -> None:
        """An overheard post was edited: if it still waits for a turn, it reads as it does now."""
        waiting = _entries(session, await self.store.context.take(session, post.create_at))
        before = next((entry for entry in waiting if entry.post_id == post.id), None)
        if before is not None:
            await self.overheard(
                session, evolve(before, text=post.message, files=len(post.file_ids), file_ids=post.file_ids)
            )

    async def asked(
        self,
        messages: Sequence[InboundMessage],
        *,
        has_history: bool,
        dropped: Sequence[str] = (),
        reader: AttachmentReader | None = None,
    ) -> Message:
        """What a turn answers, with what was said around it, as the model reads it.

        `dropped` are messages that were too many, by one line each; `reader` reads the files of the others.
        """
        last, policy = messages[-1], self.policies.context
        entries = _entries(last.session, await self.store.context.take(last.session, last.create_at))
        is_root_known = any(entry.post_id == last.root_id for entry in entries)
        if not is_root_known and not has_history and last.root_id and policy.limit:
            known = {entry.post_id for entry in entries}
            thread = [entry for entry in await self._thread(last) if entry.post_id not in known]
            entries = tuple(sorted((*thread, *entries), key=lambda entry: (entry.at, entry.post_id)))
        told = context.visible(
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
        files = await _files_of(told, last.root_id, reader) if reader is not None else {}
        images = tuple(reader.images) if reader is not None else ()
        return Message(Role.USER, context.render(told, "\n\n".join(texts), files), images)

    async def _thread(self, message: InboundMessage) -> tuple[context.Entry, ...]:
        """The thread so far, from the server; nothing where it can't be had in time."""
        chat = Chat(message.channel_id, message.channel_type, message.team_id)
        limit = self.policies.context.limit
        try:
            with trio.fail_after(THREAD_SECONDS):
                posts = await self.api.posts.thread(PostId(message.root_id), limit=limit + 1)
                people = {post.user_id: await self._sender(post.user_id) for post in posts}
                paired = await self.store.pairing.approved(self.account) if chat.is_direct else frozenset()
        except (MattermostError, trio.TooSlowError) as problem:
            log.info("could not read a thread", account=self.account, root=message.root_id, problem=str(problem))
            return ()

        def author(user_id: UserId) -> tuple[str, bool]:
            sender = people[user_id]
            return sender.username, authorise(sender, chat, self.policies.access, paired=paired).allowed

        return context.from_thread(
            posts,
            self.policies.context,
            root=ThreadRoot(message.root_id),
            channel_id=message.channel_id,
            until=message.create_at,
            bot=self.bot,
            author=author,
        )

    async def _sender(self, user_id: UserId) -> Sender:
        try:
            user = await self.directory.user(user_id)
        except MattermostRejected:
            return Sender(user_id)
        return Sender(user.id, user.username, user.is_bot)


def _entries(session: SessionKey, rows: Sequence[str]) -> tuple[context.Entry, ...]:
    with reading("context", f"session {session}"):
        entries = [context.Entry(**json.loads(row)) for row in rows]
        return tuple(evolve(entry, file_ids=tuple(entry.file_ids)) for entry in entries)


def _quoted(messages: Sequence[InboundMessage]) -> frozenset[PostId]:
    """The posts that the messages refer to: the root of their thread, and permalinks."""
    roots = [message.root_id for message in messages if message.root_id]
    links = [found for message in messages for found in _PERMALINK.findall(message.text)]
    return frozenset(map(PostId, (*roots, *links)))


def is_in_prompt(message: InboundMessage, told: str) -> bool:
    """Whether the agent has been told of a message, in whatever words: `told` is what it was asked."""
    return (message.post_id or message.trigger) in told


def is_in_prompt_verbatim(message: InboundMessage, told: str) -> bool:
    """Whether it has been told in the words that the message has now."""
    if not message.text:
        return True  # only files, of which there is no telling
    words = context.spoken_by(message.text, name=message.user_name, user_id=message.user_id, at=message.create_at)
    return words in told or unescape(words) in told  # an older version escaped nothing


async def _files_of(entries: Sequence[context.Entry], root_id: str, reader: AttachmentReader) -> dict[PostId, str]:
    """What the files of earlier posts hold, by post: those of the thread's root first, then the newest."""
    described = dict[PostId, str]()
    wanted = sorted(entries, key=lambda entry: (entry.post_id != root_id, -entry.at))
    left = MOST_EARLIER_FILES
    with trio.move_on_after(THREAD_SECONDS * 6):
        for entry in wanted:
            if entry.file_ids and left > 0:
                described[entry.post_id] = await reader.describe(entry.file_ids[:left])
                left -= len(entry.file_ids)
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
    )
