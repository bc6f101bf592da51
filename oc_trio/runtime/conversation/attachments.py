"""Reads attached files for a model: images as images, texts within a budget, others as a line with name and size.

A file's type is sniffed from its content. One that can't be downloaded becomes the same line as in OpenClaw.
"""

import json
import re
from collections.abc import Callable, Sequence
from functools import partial

import trio
from attrs import evolve, field

from oc_trio.agent.failures import PICTURE_REFUSED, PICTURE_TOO_LARGE, REFUSED, TOO_LONG
from oc_trio.agent.image_bounds import ImageBounds
from oc_trio.agent.port import ImagePart, Message, Role
from oc_trio.classes import define
from oc_trio.core.backoff import RetryPolicy
from oc_trio.core.context import label
from oc_trio.core.entities import FileInfo
from oc_trio.core.prompt_lines import escape
from oc_trio.core.text import clean
from oc_trio.errors import MattermostError, PayloadError, PictureUnusable
from oc_trio.ids import FileId
from oc_trio.mattermost.files import Downloaded, FileService
from oc_trio.mattermost.sniff import TEXT
from oc_trio.runtime.conversation.pictures import Pictures
from oc_trio.runtime.delivery.retry import with_few_tries

# As many as one post may have files: what one message shows is never cut.
MAX_IMAGES = 10
TEXT_BUDGET = 60_000  # characters of a turn's files, about 15,000 tokens
# For one file, the wait for its picture's conversion (`FIT_SECONDS`) included.
READ_SECONDS = 120.0
# How long all files of a turn wait for a server that is away, as in a restart.
AWAY_SECONDS = 30.0
_RETRY = RetryPolicy(initial=0.5, maximum=5.0)
# All images of a request together: Anthropic takes 32 MB in base64.
IMAGE_BYTES = 20 * 1024 * 1024
# How long a turn waits for the images of earlier messages.
EARLIER_IMAGES_SECONDS = 30.0
# Mattermost's have 256 characters at most: this bounds what another server says.
_LONGEST_NAME = 512
_REFUSALS = (PICTURE_TOO_LARGE, PICTURE_REFUSED, REFUSED, TOO_LONG)
_BACKTICKS = re.compile(r"`{3,}")


@define(eq=False)
class AttachmentReader:
    """Reads the files of one turn; budgets are shared by its messages. `limit` is in bytes per file (mediaMaxMb).

    Without `bounds` the model takes no images. `random` spreads retries.
    """

    files: FileService
    limit: int
    pictures: Pictures
    bounds: ImageBounds | None
    random: Callable[[], float]
    images: list[ImagePart] = field(init=False, factory=list)
    _text_left: int = field(init=False, default=TEXT_BUDGET)
    _away_until: float = field(init=False, factory=lambda: trio.current_time() + AWAY_SECONDS)

    async def describe(self, file_ids: Sequence[FileId]) -> str:
        """Lines about the files, to put below a message; empty without files. Images are added to `images`."""
        parts, missing = list[str](), list[str]()
        # A message may name a file twice; the model reads it once.
        for file_id in dict.fromkeys(file_ids):
            try:
                with trio.fail_after(READ_SECONDS):
                    describe = partial(self._describe_one, file_id)
                    part = await with_few_tries(describe, _RETRY, self.random, away_until=self._away_until)
                    parts.append(part)
            # One file that can't be read costs that file, not the answer to the message.
            except (MattermostError, trio.TooSlowError):
                missing.append(await self._name(file_id))
        if missing:
            count = "attachment" if len(missing) == 1 else f"{len(missing)} attachments"
            names = " ".join(json.dumps(name, ensure_ascii=False) for name in missing if name)
            parts.append(f"[mattermost {count} unavailable] {names}".rstrip())
        return "\n".join(parts)

    async def reload_images(self, messages: Sequence[Message], current: int) -> tuple[Message, ...]:
        """The messages with their images downloaded again, the newest first, as far as limits and time allow.

        The last `current` messages are the present turn's. Messages before a refusal by the model's server get no
        images: these may be the reason. A line says how many images are left out.
        """
        reloaded, bytes_left, images_left, is_refused = list[Message](), IMAGE_BYTES, MAX_IMAGES, False
        with trio.move_on_after(EARLIER_IMAGES_SECONDS) as scope:
            # From the newest backwards: what is asked now is most likely about the latest images.
            for at in range(len(messages) - 1, -1, -1):
                message = messages[at]
                is_refused = is_refused or (at < len(messages) - current and _is_refusal(message))
                images = list[ImagePart]()
                for image in message.images if self.bounds is not None and not is_refused else ():
                    loaded = await self._reload(image, bytes_left) if images_left and not image.data else image
                    if loaded.data and images_left:
                        images.append(loaded)
                        bytes_left, images_left = bytes_left - len(loaded.data), images_left - 1
                reloaded.append(_with_images(message, images))
        # Time ran out in the middle: the rest of the conversation goes without images rather than not at all.
        if scope.cancelled_caught:
            # At least one message is missing here, so the slice does not begin at -1.
            reloaded += [_with_images(message, ()) for message in messages[len(messages) - len(reloaded) - 1 :: -1]]
        return tuple(reversed(reloaded))

    async def _reload(self, image: ImagePart, bytes_left: int) -> ImagePart:
        """The image with its data; without where it can't be downloaded or read, or has more than `bytes_left`."""
        if self.bounds is None:
            return image
        try:
            file = await self.files.download(FileId(image.file_id), limit=self.limit)
            picture = await self.pictures.fitted(file.content, file.mime_type, self.bounds)
        except (MattermostError, PictureUnusable):
            return image
        return evolve(image, mime=picture.mime, data=picture.data) if len(picture.data) <= bytes_left else image

    async def _describe_one(self, file_id: FileId) -> str:
        info = await self.files.api.files.info(file_id)
        # By its info first, so that a large file is not downloaded for nothing.
        if info.size > self.limit:
            return f"{_head(info, info.mime_type)}; it is too large to be read]"
        try:
            file = await self.files.download(file_id, limit=self.limit)
        except PayloadError:  # larger than its file info says
            return f"{_head(info, info.mime_type)}; it is too large to be read]"
        if file.mime_type.startswith("image/") and self.bounds is not None and len(self.images) < MAX_IMAGES:
            return await self._image_line(info, file, self.bounds)
        if file.mime_type == TEXT:
            return self._text_lines(info, clean(file.content.decode("utf-8", "replace")))
        return f"{_head(info, file.mime_type)}; its content is not shown]"

    async def _image_line(self, info: FileInfo, file: Downloaded, bounds: ImageBounds) -> str:
        try:
            picture = await self.pictures.fitted(file.content, file.mime_type, bounds)
        except PictureUnusable as problem:
            return f"{_head(info, file.mime_type)}; the image is not shown: {problem}]"
        if sum(len(image.data) for image in self.images) + len(picture.data) > IMAGE_BYTES:
            return f"{_head(info, file.mime_type)}; the image is not shown: with the others it is too large]"
        self.images.append(ImagePart(picture.mime, picture.data, info.id))
        note = f", {picture.note}" if picture.note else ""
        return f"{_head(info, file.mime_type)}; the image is attached{note}]"

    def _text_lines(self, info: FileInfo, text: str) -> str:
        if self._text_left <= 0:
            return f"{_head(info, TEXT)}; its content is not shown]"
        excerpt = text[: self._text_left]
        self._text_left -= len(excerpt)
        # A fence longer than every run of backticks inside, so that the content can't end it.
        longest = max((len(run) for run in _BACKTICKS.findall(excerpt)), default=2)
        fence = "`" * (longest + 1)
        cut = f"\n[{len(text) - len(excerpt)} more characters are not shown]" if len(excerpt) < len(text) else ""
        # A file may imitate the lines by which the gateway marks who says what.
        inner = escape(f"\n{excerpt.rstrip()}\n")
        return f"{_head(info, TEXT)}]\n{fence}{inner}{fence}{cut}"

    async def _name(self, file_id: FileId) -> str:
        try:
            return label((await self.files.api.files.info(file_id)).name, _LONGEST_NAME)
        except MattermostError:
            return ""


def _is_refusal(message: Message) -> bool:
    return message.role is Role.ASSISTANT and message.text.endswith(_REFUSALS)


def _with_images(message: Message, images: Sequence[ImagePart]) -> Message:
    lost = len(message.images) - len(images)
    images_are = "1 image above is" if lost == 1 else f"{lost} images above are"
    text = f"{message.text}\n[{images_are} not shown any more]" if lost else message.text
    return evolve(message, images=tuple(images), text=text)


def _head(info: FileInfo, mime_type: str) -> str:
    return f"[file {label(info.name, _LONGEST_NAME)}, {mime_type or 'unknown type'}, {_size(info.size)}"


def _size(count: int) -> str:
    size, unit = float(count), "bytes"
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            break
        size /= 1024
    return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
