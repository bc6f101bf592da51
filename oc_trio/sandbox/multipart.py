"""Parses a multipart/form-data body, as clients upload files. Pure."""

import re

from attrs import field

from oc_trio.classes import frozen
from oc_trio.sandbox.errors import ApiError

_BOUNDARY = re.compile(r'boundary="?([^";]+)"?')
_PARAM = re.compile(r'(name|filename)="((?:[^"\\]|\\.)*)"')


@frozen
class Part:
    """One field; `filename` is "" if it is no file."""

    name: str
    filename: str
    data: bytes = field(repr=False)


def parts_of(content_type: str, body: bytes) -> tuple[Part, ...]:
    """All parts in order. Raises ApiError(400) if there is no boundary."""
    boundary = _BOUNDARY.search(content_type)
    if boundary is None:
        raise ApiError(400, "api.file.upload_file.multiple_channel_ids.app_error", "The form has no boundary.")
    # The line break before a boundary belongs to it, or each file would end with one that it does not have; the first
    # boundary has none.
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary[1].encode())
    return tuple(_part(piece) for piece in pieces[1:] if not piece.startswith(b"--"))


def _part(piece: bytes) -> Part:
    head, _, data = piece.partition(b"\r\n\r\n")
    params = dict(_PARAM.findall(head.decode("utf-8", "replace")))
    return Part(params.get("name", ""), params.get("filename", "").replace("%22", '"'), data)
