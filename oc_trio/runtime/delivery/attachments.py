"""Opens the files that go out with messages, from a path or a web address, ready to be uploaded.

Fetching is `fetch`'s, uploading `uploads`'.
"""

import mimetypes
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import trio

from oc_trio.classes import frozen
from oc_trio.mattermost.files import FileService, OutgoingFile, from_bytes, from_path
from oc_trio.mattermost.sniff import sniff
from oc_trio.runtime.delivery.fetch import Fetcher, MediaRefused, MediaTooLarge

_LONGEST_NAME = 120
_SCHEMES = ("http://", "https://")


def is_address(source: str) -> bool:
    """Whether a source is fetched rather than read from disk."""
    return source.lower().startswith(_SCHEMES)


@frozen(eq=False)
class MediaLoader:
    """One account's. What is fetched may have `limit` bytes (mediaMaxMb), and no more than the server takes."""

    limit: int
    files: FileService
    fetcher: Fetcher

    async def open(self, source: str, *, from_disk: bool) -> OutgoingFile:
        """The file behind an address, or behind a path where `from_disk` allows it.

        Raises MediaRefused, and MattermostError where the server does not tell its limit.
        """
        if is_address(source):
            return await self.fetch(source)
        if not from_disk:
            raise MediaRefused("only addresses (https://...) can be sent from here, no files of the gateway")
        try:
            # trio.Path: a file may be on a network share, and a blocking stat would hold up every other task.
            path = trio.Path(source)
            if not await path.is_file():
                raise MediaRefused("there is no such file" if not await path.exists() else "it is not a file")
            return await from_path(Path(source))
        except (OSError, ValueError) as problem:  # ValueError: a path with NUL
            raise MediaRefused(f"it can't be read: {getattr(problem, 'strerror', None) or problem}") from problem

    async def fetch(self, url: str, name: str = "") -> OutgoingFile:
        """The file at `url`, named by its address where `name` is empty. Raises as `open` does."""
        server_limit = await self.files.size_limit()
        try:
            fetched = await self.fetcher(url, min(self.limit, server_limit))
        except MediaTooLarge as problem:
            limit_name = "mediaMaxMb" if self.limit <= server_limit else "the server's limit"
            raise MediaRefused(f"{problem} ({limit_name})") from None
        # Fetched files are held in memory: an upload needs the size first and may be repeated, and `limit` bounds them.
        return from_bytes(name or _name(fetched.url, fetched.content[:64]), fetched.content)


def _name(url: str, head: bytes) -> str:
    """The last part of the path; without one, `upload` with an ending by content."""
    # Its end, which says what kind of file it is.
    name = PurePosixPath(unquote(urlsplit(url).path)).name.replace("\0", "")[-_LONGEST_NAME:]
    return name or f"upload{mimetypes.guess_extension(sniff(head)) or ''}"
