"""The files of an answer on their way to the server: read or fetched, uploaded, and reported where that fails.

Nothing here raises for a file: the answer goes out without it and says so. Addresses are judged in `fetch`.
Each upload is written down before the next: a restart goes on with the ids that it finds, and uploads none again.
"""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import trio
from attrs import frozen

from oc_trio.core.backoff import RetryPolicy, no_sooner_than
from oc_trio.core.turn_events import Media
from oc_trio.errors import MattermostError, MattermostRejected, MattermostUnavailable
from oc_trio.ids import ChannelId, FileId
from oc_trio.mattermost.files import FileService, Outgoing, from_bytes, from_path
from oc_trio.runtime.clock import Clock
from oc_trio.runtime.delivery.fetch import CantFetch
from oc_trio.telemetry.log import get_logger

_TRIES = 4
# The whole of an answer that is cut in the chat.
REST_NAME = "answer.md"

log = get_logger(part="uploads")


@frozen
class SentFile:
    """What became of a file: it is on the server under `file_id`, or `problem` is a sentence that says why not."""

    file_id: str = ""
    problem: str = ""


@frozen(eq=False)
class FileUploader:
    """One account's outgoing files; `fetch(url, limit)` gives the bytes behind an address, or raises CantFetch."""

    files: FileService
    fetch: Callable[[str, int], Awaitable[bytes]]
    clock: Clock
    retries: RetryPolicy

    async def complete(
        self,
        wanted: Sequence[Media | Outgoing],
        known: tuple[SentFile, ...],
        channel_id: ChannelId,
        note: Callable[[tuple[SentFile, ...]], Awaitable[None]],
    ) -> tuple[SentFile, ...]:
        """What became of the `wanted` files, one after the other, in their order; `known` is what an earlier run left,
        and `note` makes what is known by now durable.

        What an earlier run uploaded is sent again only where the server does not have it any more: it would leave the
        file out of the post without a word.
        """
        files = known
        for at, media in enumerate(wanted):
            if at < len(files) and await self._is_there(files[at]):
                continue
            sent = await self.send(channel_id, media)
            files = (*files[:at], sent, *files[at + 1 :])
            # Shielded: between the server's answer and this row, a cancellation would leave a file that no post uses.
            with trio.CancelScope(shield=True):
                await note(files)
        return files

    async def send(self, channel_id: ChannelId, media: Media | Outgoing) -> SentFile:
        """Upload one file, or say why that can't be done."""
        name = media.name if isinstance(media, Outgoing) else _name(media)
        try:
            file = media if isinstance(media, Outgoing) else await self._open(media, name)
            return SentFile(await self.upload(channel_id, file))
        except (OSError, ValueError, CantFetch, MattermostError) as problem:  # ValueError: a path with NUL
            why = _why(problem)  # names and addresses of files are words of people and models: not for the log
            log.warning("a file could not be sent", channel=channel_id, problem=f"{type(problem).__name__}: {why}")
            return SentFile(problem=f"The file `{name}` could not be attached: {why}.")

    async def _is_there(self, file: SentFile) -> bool:
        if not file.file_id:
            return True  # people were told, or are about to be: the answer stays as it was written down
        try:
            await self.files.api.files.info(FileId(file.file_id))
        except MattermostRejected as refusal:
            return refusal.status != 404
        except MattermostError:
            return True  # it was; a server that is away has not lost it by that
        return True

    async def _open(self, media: Media, name: str) -> Outgoing:
        if media.path:
            return await from_path(Path(media.path))
        return from_bytes(name, await self.fetch(media.url, await self.files.size_limit()))

    async def upload(self, channel_id: ChannelId, file: Outgoing) -> FileId:
        """Upload one file, again where the server is away. Raises MattermostError."""
        attempt = 0
        while True:
            try:
                return (await self.files.upload(channel_id, file)).id
            except MattermostUnavailable as problem:
                attempt += 1
                if attempt >= _TRIES:
                    raise
                wait = no_sooner_than(self.retries.delay(attempt - 1, self.clock.random.random()), problem.retry_after)
            await trio.sleep(wait)


def _name(media: Media) -> str:
    """What people see; never a path of ours."""
    if media.name:
        return media.name.replace("`", "")
    try:
        where = media.path or urlsplit(media.url).path
    except ValueError:  # `http://[`
        where = ""
    return PurePosixPath(where).name.replace("`", "") or "file"


def _why(problem: Exception) -> str:
    match problem:
        case FileNotFoundError():
            return "it does not exist"
        case OSError() | ValueError():
            return "it can't be read"
        case MattermostRejected() if problem.status == 413:
            return "it is too large for this server"
        case CantFetch():
            return problem.for_user
        case _:
            return "the server did not take it"
