"""Uploaded files, with their bytes and metadata. A file belongs to one post at most."""

import mimetypes
import struct
from collections.abc import Iterable

from oc_trio.sandbox.clock import SandboxClock
from oc_trio.sandbox.errors import ApiError
from oc_trio.sandbox.records import FileRecord


def mime_type_of(name: str) -> str:
    """The type by the extension, as the server guesses it; text types have a charset."""
    guessed = mimetypes.guess_type(name)[0] or "application/octet-stream"
    # As Go's `mime` package does, in which the real server is written.
    return f"{guessed}; charset=utf-8" if guessed.startswith("text/") else guessed


def image_size(data: bytes) -> tuple[int, int]:
    """Width and height of a PNG or GIF, else (0, 0): other formats have no preview here."""
    if data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) >= 24:
        width, height = struct.unpack(">II", data[16:24])
        return width, height
    if data[:6] in {b"GIF87a", b"GIF89a"} and len(data) >= 10:
        width, height = struct.unpack("<HH", data[6:10])
        return width, height
    return 0, 0


class Files:
    """All files of a world, by id."""

    def __init__(self, clock: SandboxClock) -> None:
        self._clock = clock
        self._by_id: dict[str, FileRecord] = {}

    def add(self, user_id: str, channel_id: str, name: str, data: bytes) -> FileRecord:
        # An empty file is refused, an empty message is not (contract scenarios file_upload_errors and post_empty).
        if not data:
            raise ApiError(400, "api.file.upload_file.read_request.app_error", "The file is empty.")
        width, height = image_size(data)
        now = self._clock.now()
        info = FileRecord(self._clock.new_id(), user_id, channel_id, name, mime_type_of(name), now, data)
        info.width, info.height = width, height
        self._by_id[info.id] = info
        return info

    def get(self, file_id: str) -> FileRecord:
        info = self._by_id.get(file_id)
        if info is None or info.delete_at:
            raise ApiError(404, "api.file.get_file_info.app_error", "Unable to get the file info.")
        return info

    def usable(self, file_ids: Iterable[str], user_id: str, channel_id: str) -> list[FileRecord]:
        """The files that a new post of this user may attach, sorted by id; others are silently ignored."""
        # Sorted by id and not as sent; somebody else's, unknown and used ones are dropped without an error (contract
        # scenarios file_upload_simple and file_access).
        files = (self._by_id.get(file_id) for file_id in sorted(set(file_ids)))
        return [
            info
            for info in files
            if info is not None and info.user_id == user_id and info.channel_id == channel_id and not info.post_id
        ]

    def attach(self, file_ids: Iterable[str], post_id: str) -> None:
        for file_id in file_ids:
            self._by_id[file_id].post_id = post_id

    def of(self, file_ids: Iterable[str]) -> list[FileRecord]:
        return [self._by_id[file_id] for file_id in file_ids if file_id in self._by_id]
