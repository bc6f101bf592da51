"""Files: limits before sending, exact lengths, types by content."""

from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from oc_trio.errors import MattermostError, MattermostRejected, PayloadError
from oc_trio.ids import ChannelId, FileId
from oc_trio.mattermost.files import FileService, from_bytes, from_path
from tests.mattermost.doubles import FakeHttp, open_api

CHAN = ChannelId("chan")
CONFIG, UPLOAD = "GET /config/client", "POST /files"


def http_with(limit: str) -> FakeHttp:
    info: dict[str, Any] = {"id": "f1", "name": "a.txt"}
    return FakeHttp({CONFIG: {"MaxFileSize": limit}, UPLOAD: {"file_infos": [info], "client_ids": []}})


async def test_too_large_a_file_is_refused_before_a_byte_is_sent(autojump_clock: trio.testing.MockClock) -> None:
    """The server's own limit is asked for once and applied here."""
    http = http_with("10")
    async with open_api(http) as api:
        service = FileService(api)
        for _ in range(2):
            with pytest.raises(MattermostRejected) as caught:
                await service.upload(CHAN, from_bytes("big", b"x" * 11))
            assert caught.value.status == 413
    assert http.log == [CONFIG]


async def test_a_file_is_streamed_with_its_length(tmp_path: Path) -> None:
    """The body is the raw content, the length is announced, progress ends at the size."""
    content = bytes(range(256)) * 1000
    (tmp_path / "a.bin").write_bytes(content)
    http, progress = http_with("1000000"), list[int]()
    async with open_api(http) as api:
        info = await FileService(api).upload(CHAN, await from_path(tmp_path / "a.bin"), on_progress=progress.append)
    sent = http.requests[-1]
    assert (info.id, sent.content, sent.headers["content-length"]) == ("f1", content, str(len(content)))
    assert dict(sent.url.params) == {"channel_id": "chan", "filename": "a.bin"}
    assert progress == sorted(progress)
    assert progress[-1] == len(content)


async def test_a_file_that_shrinks_meanwhile_is_an_error(tmp_path: Path) -> None:
    """Less content than announced never becomes half a file."""
    (tmp_path / "a.bin").write_bytes(b"x" * 100)
    async with open_api(http_with("1000")) as api:
        file = await from_path(tmp_path / "a.bin")
        (tmp_path / "a.bin").write_bytes(b"x" * 10)
        with pytest.raises(MattermostError, match="shorter"):
            await FileService(api).upload(CHAN, file)


@pytest.mark.parametrize("honest", [True, False], ids=["honest", "lying"])
async def test_a_download_beyond_the_limit_is_refused(honest: bool, autojump_clock: trio.testing.MockClock) -> None:
    """Neither the description nor the content passes the limit."""
    info = {"id": "f1", "name": "a", "size": 100 if honest else 1}
    http = FakeHttp({"GET /files/f1/info": info, "GET /files/f1": httpx.Response(200, content=b"x" * 100)})
    async with open_api(http) as api:
        with pytest.raises(PayloadError):
            await FileService(api).download(FileId("f1"), limit=99)
    assert len(http.log) == (1 if honest else 2)
