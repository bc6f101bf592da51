"""Uploads files to Mattermost: an answer's media, and files of single messages.

Of the errors of an answer's file only LeaseLost is raised: with any other the answer goes out without it and says so.
Each upload of an answer is recorded before the next: a restart goes on with the recorded ids, and uploads none of them
again.
"""

import math
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TypeVar
from urllib.parse import urlsplit

import trio

from oc_trio.classes import frozen
from oc_trio.core.backoff import RetryPolicy
from oc_trio.core.turn_events import Media
from oc_trio.errors import LeaseLost, MattermostError, MattermostRejected, MattermostUnavailable
from oc_trio.ids import ChannelId, FileId
from oc_trio.mattermost.files import FileService, OutgoingFile, from_path
from oc_trio.runtime.clock import Clock
from oc_trio.runtime.delivery.attachments import MediaLoader
from oc_trio.runtime.delivery.fetch import MediaRefused
from oc_trio.runtime.delivery.retry import with_few_tries
from oc_trio.runtime.journal_write import finish_write
from oc_trio.telemetry.log import get_logger

# How long an answer's files wait for a server that is away, as in a restart: its text can't be posted, either.
AWAY_SECONDS = 300.0
# The name of the file with the whole of an answer that is cut in the chat.
REST_NAME = "answer.md"

T = TypeVar("T")

log = get_logger(part="uploads")


@frozen
class SentFile:
    """What became of a file: it is on the server under `file_id`, or `problem` is a sentence that says why not."""

    file_id: str = ""
    problem: str = ""


@frozen(eq=False)
class FileUploader:
    """One account's outgoing files."""

    files: FileService
    media: MediaLoader
    clock: Clock
    retries: RetryPolicy = RetryPolicy(initial=0.5, maximum=30.0)

    async def complete(
        self,
        wanted: Sequence[Media | OutgoingFile],
        known: tuple[SentFile, ...],
        channel_id: ChannelId,
        record: Callable[[tuple[SentFile, ...]], Awaitable[None]],
    ) -> tuple[SentFile, ...]:
        """Upload the `wanted` files one after the other; returns what became of each, in their order. Raises LeaseLost.

        `known` is what an earlier run recorded; `record` makes the results so far durable. What an earlier run uploaded
        is uploaded again only where the server does not have it any more: it would leave it out of the post silently.
        """
        files, away_until = known, trio.current_time() + AWAY_SECONDS
        # One after the other: their order is the order in the post, and each result is recorded.
        for at, media in enumerate(wanted):
            if at < len(files) and await self._is_on_server(files[at]):
                continue
            # After the end of the lease nothing is wrong with the file: whoever serves the account next uploads it.
            sent = await self._send(channel_id, media, away_until, LeaseLost)
            files = (*files[:at], sent, *files[at + 1 :])
            # Between the server's answer and this row, a cancellation would leave a file that no post uses.
            await finish_write(partial(record, files))
        return files

    async def send_at_once(self, channel_id: ChannelId, media: Media) -> SentFile:
        """Upload one file, or say why that can't be done, with a few tries: for a caller that can come again.

        Raises MattermostUnavailable.
        """
        return await self._send(channel_id, media, -math.inf, MattermostUnavailable)

    async def _send(
        self,
        channel_id: ChannelId,
        media: Media | OutgoingFile,
        away_until: float,
        raised: type[MattermostUnavailable],
    ) -> SentFile:
        name = media.name if isinstance(media, OutgoingFile) else _name(media)
        try:
            # A file to be fetched needs an answer of the server, too: how large it may be.
            file = (
                media
                if isinstance(media, OutgoingFile)
                else await self._with_retries(partial(self._open, media, name), away_until)
            )
            upload = partial(self.files.upload, channel_id, file)
            return SentFile((await self._with_retries(upload, away_until)).id)
        except raised:
            raise
        except (OSError, ValueError, MediaRefused, MattermostError) as problem:  # ValueError: a path with NUL
            # Not the exception's text: names and addresses of files are private, and do not belong in the log.
            reason = _reason(problem)
            log.warning("a file could not be sent", channel=channel_id, problem=f"{type(problem).__name__}: {reason}")
            return SentFile(problem=f"The file `{name}` could not be attached: {reason}.")

    async def upload(
        self, channel_id: ChannelId, file: OutgoingFile, on_progress: Callable[[int], None] | None = None
    ) -> FileId:
        """Upload one file, with a few tries; `on_progress` gets the bytes sent so far.

        An upload whose answer was lost leaves a file that no post uses: trying again is harmless. Raises
        MattermostError, OSError.
        """
        upload = partial(self.files.upload, channel_id, file, on_progress=on_progress)
        return (await self._with_retries(upload)).id

    async def _with_retries(self, call: Callable[[], Awaitable[T]], away_until: float = -math.inf) -> T:
        return await with_few_tries(call, self.retries, self.clock.random.random, away_until=away_until)

    async def _is_on_server(self, file: SentFile) -> bool:
        if not file.file_id:
            return True  # people have read, or will read, that it is missing: the answer stays as it was recorded
        try:
            await self.files.api.files.info(FileId(file.file_id))
        except MattermostRejected as refusal:
            return refusal.status != 404
        except MattermostError:
            return True  # it was there, and a server that is away has not lost it by that
        return True

    async def _open(self, media: Media, name: str) -> OutgoingFile:
        return await from_path(Path(media.path)) if media.path else await self.media.fetch(media.url, name)


def _name(media: Media) -> str:
    """The name that people see; never a path of the gateway's machine."""
    if media.name:
        return media.name.replace("`", "")
    try:
        path = media.path or urlsplit(media.url).path
    except ValueError:  # `http://[`
        path = ""
    return PurePosixPath(path).name.replace("`", "") or "file"


def _reason(problem: Exception) -> str:
    match problem:
        case FileNotFoundError():
            return "it does not exist"
        case OSError() | ValueError():
            return "it can't be read"
        case MattermostRejected() if problem.status == 413:
            return "it is too large for this server"
        case MediaRefused():
            return str(problem)
        case _:
            return "the server did not take it"
