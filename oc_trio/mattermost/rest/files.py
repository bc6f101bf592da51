"""REST endpoints for files. Limits and content checks are in `mattermost.files`."""

from collections.abc import AsyncIterator, Callable

from oc_trio.classes import frozen
from oc_trio.core.decode_entities import decode_file
from oc_trio.core.entities import FileInfo
from oc_trio.errors import PayloadError
from oc_trio.ids import ChannelId, FileId
from oc_trio.mattermost.rest.paths import segment
from oc_trio.mattermost.transport import Transport


@frozen(eq=False)
class FilesApi:
    """`/files`."""

    transport: Transport

    async def upload(
        self,
        channel_id: ChannelId,
        name: str,
        content: AsyncIterator[bytes],
        size: int,
        *,
        on_progress: Callable[[int], None] | None = None,
    ) -> FileInfo:
        """Stream `size` bytes as the raw body (no multipart needed); `on_progress` gets the bytes sent so far.

        Only the uploader can use the id in a post. Too large is 413.
        """
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        params = {"channel_id": channel_id, "filename": name}
        body = content if on_progress is None else _with_progress(content, on_progress)
        answer = await self.transport.upload("/files", body, headers=headers, params=params)
        match answer:
            case {"file_infos": [info, *_]}:
                return decode_file(info)
            case _:
                raise PayloadError("POST /files: no file_infos in the answer")

    async def download(self, file_id: FileId, *, limit: int) -> bytes:
        """The content, at most `limit` bytes."""
        return await self.transport.download(f"/files/{segment(file_id)}", limit=limit)

    async def info(self, file_id: FileId) -> FileInfo:
        """Name, size and type as the server has them."""
        return decode_file(await self.transport.request("GET", f"/files/{segment(file_id)}/info"))


async def _with_progress(content: AsyncIterator[bytes], on_progress: Callable[[int], None]) -> AsyncIterator[bytes]:
    sent = 0
    async for chunk in content:
        yield chunk
        sent += len(chunk)
        on_progress(sent)
