"""The files of an answer on their way to the server: read or fetched, uploaded, and reported where that fails.

Nothing here raises for a file: the answer goes out without it and says so. Addresses are judged in `fetch`.
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
from oc_trio.runtime.env import Env
from oc_trio.runtime.fetch import CantFetch
from oc_trio.runtime.finale import Uploaded
from oc_trio.telemetry.log import get_logger

_TRIES = 4

log = get_logger(part="media")


@frozen(eq=False)
class MediaDesk:
    """One account's outgoing files; `fetch(url, limit)` gives the bytes behind an address, or raises CantFetch."""

    files: FileService
    fetch: Callable[[str, int], Awaitable[bytes]]
    env: Env
    retries: RetryPolicy

    async def upload(self, channel_id: ChannelId, media: Sequence[Media]) -> Uploaded:
        """Send the files one after the other, in their order."""
        file_ids: list[FileId] = []
        problems: list[str] = []
        for each in media:
            name = _name(each)
            try:
                file = await self._open(each, name)
                file_ids.append(await self._send(channel_id, file))
            except (OSError, CantFetch, MattermostError) as problem:
                log.warning("a file could not be sent", file=name, problem=str(problem))
                problems.append(f"The file `{name}` could not be attached: {_why(problem)}.")
        return Uploaded(tuple(file_ids), tuple(problems))

    async def _open(self, media: Media, name: str) -> Outgoing:
        if media.path:
            return await from_path(Path(media.path))
        return from_bytes(name, await self.fetch(media.url, await self.files.size_limit()))

    async def _send(self, channel_id: ChannelId, file: Outgoing) -> FileId:
        attempt = 0
        while True:
            try:
                return (await self.files.upload(channel_id, file)).id
            except MattermostUnavailable as problem:
                attempt += 1
                if attempt >= _TRIES:
                    raise
                wait = no_sooner_than(self.retries.delay(attempt - 1, self.env.random.random()), problem.retry_after)
            await trio.sleep(wait)


def _name(media: Media) -> str:
    """What people see; never a path of ours."""
    if media.name:
        return media.name.replace("`", "")
    where = media.path or urlsplit(media.url).path
    return PurePosixPath(where).name.replace("`", "") or "file"


def _why(problem: Exception) -> str:
    match problem:
        case FileNotFoundError():
            return "it does not exist"
        case OSError():
            return "it can't be read"
        case MattermostRejected() if problem.status == 413:
            return "it is too large for this server"
        case CantFetch():
            return problem.for_user
        case _:
            return "the server did not take it"
