"""Composes messages on request (target, text, files, buttons) into posts of one account.

Owns how a message becomes posts (root, parts, uploads) and what is reported of it. Two ways to send it: `post_now`
here, for a command, and `runtime.delivery.message_sender`, through the outbox, for the gateway itself.
"""

from collections.abc import Callable

from oc_trio.classes import frozen
from oc_trio.core.entities import NewPost, User
from oc_trio.core.events import Post
from oc_trio.core.final_plan import ReplyRules, split_reply
from oc_trio.core.presentation import Presentation
from oc_trio.core.ratelimit import Lane
from oc_trio.errors import MattermostError, MattermostRejected, UnknownTarget
from oc_trio.ids import AccountId, ChannelId, FileId, PostId
from oc_trio.mattermost.client import Api
from oc_trio.mattermost.direct import DirectChannels
from oc_trio.mattermost.directory import Directory
from oc_trio.mattermost.post_creator import PostCreator
from oc_trio.runtime.clock import Clock
from oc_trio.runtime.delivery.buttons import ButtonMaker
from oc_trio.runtime.delivery.fetch import MediaRefused
from oc_trio.runtime.delivery.post_parts import PostPart, post_parts
from oc_trio.runtime.delivery.targets import Place, TargetResolver, refusal_text
from oc_trio.runtime.delivery.uploads import FileUploader

# Called with the file's name, the bytes sent so far and its size.
Progress = Callable[[str, int, int], None]


class EmptyMessage(ValueError):
    """There is nothing to send; str() is a sentence."""


@frozen
class MessageRequest:
    """A message to send. `media` are paths or addresses; `reply_to` is any post of a thread, empty for none."""

    text: str = ""
    media: tuple[str, ...] = ()
    presentation: Presentation = Presentation()
    reply_to: str = ""


@frozen
class Attachment:
    """What became of one file: `file_id` is set when the server has it, else `problem` says why not."""

    source: str
    name: str = ""
    size: int = 0
    file_id: str = ""
    problem: str = ""


@frozen
class ComposedMessage:
    """A message ready to be posted; `channel_id` is empty while the direct channel of `place` is not open yet."""

    place: Place
    channel_id: ChannelId
    root_id: str
    parts: tuple[PostPart, ...]
    attachments: tuple[Attachment, ...] = ()


@frozen
class SentPosts:
    """What became of a message."""

    account: AccountId
    channel_id: ChannelId
    root_id: str = ""
    posts: tuple[PostId, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        return bool(self.posts) and not self.problems and not any(each.problem for each in self.attachments)


@frozen(eq=False)
class OutboundClient:
    """Composes and sends one account's messages on request."""

    account: AccountId
    user: User
    api: Api
    directory: Directory
    targets: TargetResolver
    direct: DirectChannels
    sender: PostCreator
    uploader: FileUploader
    rules: ReplyRules
    buttons: ButtonMaker
    clock: Clock

    async def channel_id(self, place: Place) -> ChannelId:
        """The channel of a place; a person's direct channel is opened. Raises MattermostError."""
        if place.user is None:
            return place.channel_id
        return (await self.direct.channel(place.user_id)).id

    async def thread_root(self, post_id: str, channel_id: ChannelId) -> str:
        """The root of the thread that a post is in: the server refuses replies to replies. Raises UnknownTarget."""
        try:
            post = await self.api.posts.get(PostId(post_id))
        except MattermostRejected as refusal:
            # A refused token says nothing about the post.
            if refusal.is_auth:
                raise
            raise UnknownTarget(f"There is no post {post_id} to reply to, or the bot may not see it.") from refusal
        if post.channel_id != channel_id:
            raise UnknownTarget(f"The post {post_id} is in another channel.")
        return post.thread

    async def compose(
        self,
        place: Place,
        message: MessageRequest,
        *,
        root_id: str = "",
        from_disk: bool = False,
        rules: ReplyRules | None = None,
        on_progress: Progress | None = None,
    ) -> ComposedMessage:
        """Upload the files and cut the text into posts. A refused file is reported; text and other files are kept.

        `root_id` counts where `message.reply_to` is empty. Raises EmptyMessage, TargetError, MattermostError.
        """
        presentation = message.presentation
        if not (message.text.strip() or message.media or presentation.text or presentation.rows or presentation.menus):
            raise EmptyMessage("The message is empty.")
        # Files, buttons and replies need the channel's id; plain text can wait until the direct channel is open.
        has_parts = bool(message.media or presentation.rows or presentation.menus or message.reply_to)
        channel_id = await self.channel_id(place) if has_parts else place.channel_id
        if message.reply_to:
            root_id = await self.thread_root(message.reply_to, channel_id)
        attachments = tuple([await self._upload(channel_id, src, from_disk, on_progress) for src in message.media])
        text = "\n\n".join(part for part in (message.text, presentation.text) if part.strip())
        texts = split_reply(text, rules or self.rules, prefix=False)
        props = self.buttons.props(channel_id, presentation.rows, presentation.menus)
        file_ids = [FileId(each.file_id) for each in attachments if each.file_id]
        # Buttons and files go with the last of several posts, where the message ends.
        parts = post_parts(texts, props, file_ids, main=-1)
        return ComposedMessage(place, channel_id, root_id, parts, attachments)

    async def post_now(self, composed: ComposedMessage) -> SentPosts:
        """Post each part once, in order; after a failure the rest is left out. Raises MattermostError where the
        direct channel can't be opened.
        """
        channel_id = composed.channel_id or await self.channel_id(composed.place)
        # A new id for each call: a command that is typed twice posts twice. Within the call it makes retries
        # idempotent.
        batch, posts, problems = self.clock.new_id(), list[PostId](), list[str]()
        if not composed.parts:
            problems.append("nothing was posted: no file could be sent and there is no text")
        for number, part in enumerate(composed.parts):
            new = NewPost(
                channel_id, part.text, composed.root_id, f"{self.user.id}:{batch}.{number}", part.props, part.file_ids
            )
            try:
                posts.append((await self.sender.create(new, lane=Lane.FINAL)).id)
            except MattermostError as problem:
                left = len(composed.parts) - number
                problems.append(
                    f"{left} of {len(composed.parts)} posts not sent: {self.error_text(problem, composed.place)}"
                )
                break
        return SentPosts(
            self.account, channel_id, composed.root_id, tuple(posts), composed.attachments, tuple(problems)
        )

    async def edit(self, post_id: PostId, text: str) -> Post:
        """Change the text of one of the bot's posts; buttons and files stay. Raises MattermostRejected."""
        try:
            return await self.api.posts.patch(post_id, message=text, lane=Lane.FINAL)
        except MattermostRejected as refusal:
            if refusal.status != 403:
                raise
            # The server says 403 of a deleted post as well as of another's.
            problem = f"{post_id} can't be edited: it is not @{self.user.username}'s, or it was deleted"
            raise MattermostRejected(problem, status=403, code=refusal.code) from refusal

    def error_text(self, problem: MattermostError, place: Place) -> str:
        """A failure as a sentence for a person."""
        if isinstance(problem, MattermostRejected):
            return refusal_text(problem, place, self.user)
        return str(problem)

    async def _upload(
        self, channel_id: ChannelId, source: str, from_disk: bool, on_progress: Progress | None
    ) -> Attachment:
        try:
            file = await self.uploader.media.open(source, from_disk=from_disk)
        except (MediaRefused, MattermostError) as problem:
            return Attachment(source, problem=str(problem))
        on_bytes = None if on_progress is None else lambda sent: on_progress(file.name, sent, file.size)
        try:
            file_id = await self.uploader.upload(channel_id, file, on_bytes)
        except MattermostError as problem:
            return Attachment(source, file.name, file.size, problem=str(problem))
        return Attachment(source, file.name, file.size, file_id)
