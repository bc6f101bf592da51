"""Uploads and downloads files: checks size limits before a byte is sent, reports progress, detects types by content."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import trio

from oc_trio.classes import define, frozen
from oc_trio.core.entities import FileInfo
from oc_trio.errors import MattermostRejected, PayloadError
from oc_trio.ids import ChannelId, FileId
from oc_trio.mattermost.client import Api
from oc_trio.mattermost.sniff import sniff

MAX_PER_POST = 10  # Mattermost refuses an eleventh
# Each chunk of a file on disk costs a call in a thread, and on its way it has `REQUEST_SECONDS`: at 9 KB/s it gets
# there.
_CHUNK = 256 * 1024
# Operators change the limit rarely, and a server that refuses a file says so itself.
_CONFIG_SECONDS = 3600.0
_FALLBACK_LIMIT = 100 * 1024 * 1024  # Mattermost's default MaxFileSize


@frozen(eq=False)
class OutgoingFile:
    """A file to send: `size` in bytes, `chunks()` gives the content from the start, each time it is called."""

    name: str
    size: int
    chunks: Callable[[], AsyncIterator[bytes]]


@frozen
class Downloaded:
    """A file's content, and its type by its first bytes."""

    info: FileInfo
    content: bytes
    mime_type: str


def from_bytes(name: str, content: bytes) -> OutgoingFile:
    """A file that is in memory."""
    return OutgoingFile(name, len(content), lambda: _slices(content))


async def from_path(path: Path) -> OutgoingFile:
    """A file on disk, read as it is sent. Raises OSError."""
    size = (await trio.Path(path).stat()).st_size
    return OutgoingFile(path.name, size, lambda: _read(path, size))


@define(eq=False)
class FileService:
    """One account's files."""

    api: Api
    # 0 before it was asked for; the time is Trio's.
    _limit: int = 0
    _limit_at: float = 0.0

    async def upload(
        self, channel_id: ChannelId, file: OutgoingFile, *, on_progress: Callable[[int], None] | None = None
    ) -> FileInfo:
        """Send one file for a post in that channel; `on_progress` gets bytes sent so far.

        Raises MattermostRejected with status 413 before sending when the server's limit is known to be smaller, and
        whatever the REST calls raise.
        """
        limit = await self.size_limit()
        if file.size > limit:
            problem = f"{file.name!r} has {file.size} bytes, the server takes {limit}"
            raise MattermostRejected(problem, status=413, code="api.file.upload_file.too_large.app_error")
        return await self.api.files.upload(channel_id, file.name, file.chunks(), file.size, on_progress=on_progress)

    async def download(self, file_id: FileId, *, limit: int) -> Downloaded:
        """Fetch one file of at most `limit` bytes; PayloadError beyond, by its description if that is honest."""
        info = await self.api.files.info(file_id)
        if info.size > limit:
            raise PayloadError(f"{info.name!r} has {info.size} bytes, more than the limit of {limit}")
        # With the limit again: the info is the uploader's word.
        content = await self.api.files.download(file_id, limit=limit)
        return Downloaded(info, content, sniff(content))

    async def size_limit(self) -> int:
        """The server's `MaxFileSize` in bytes, asked for once an hour; Mattermost's default where it doesn't say."""
        now = trio.current_time()
        if self._limit == 0 or now - self._limit_at > _CONFIG_SECONDS:
            text = (await self.api.system.client_config()).get("MaxFileSize", "")
            self._limit = int(text) if text.isascii() and text.isdigit() and int(text) > 0 else _FALLBACK_LIMIT
            self._limit_at = now
        return self._limit


async def _slices(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), _CHUNK):
        # Slicing bytes never waits, and an upload of 100 MB must not hold up the other tasks.
        await trio.lowlevel.checkpoint()
        yield content[start : start + _CHUNK]


async def _read(path: Path, size: int) -> AsyncIterator[bytes]:
    """Exactly `size` bytes: the length was announced, and the file may change meanwhile.

    Opened anew for each chunk, so that an upload that breaks off leaves no file open in an abandoned generator.
    """
    for start in range(0, size, _CHUNK):
        length = min(_CHUNK, size - start)
        chunk = await trio.to_thread.run_sync(_read_at, path, start, length)
        if len(chunk) < length:
            problem = f"{path.name!r} became shorter while it was sent"
            raise MattermostRejected(problem, status=400, code="oc_trio.file_changed")
        yield chunk


def _read_at(path: Path, start: int, length: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(length)
