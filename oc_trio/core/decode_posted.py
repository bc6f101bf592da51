"""Reads the frame of a new post in one pass, with types for its fields: nearly all that a busy server sends.

It reads only what needs no mending. Whatever else it meets is left to `decode`, which mends it or says what is wrong.
"""

from typing import Annotated, Any, Literal

import msgspec

from oc_trio.core.events import ChannelType, EventFrame, Post, Posted
from oc_trio.core.json_body import needs_no_mending
from oc_trio.core.json_fields import MAX_INT
from oc_trio.ids import ChannelId, FileId, PostId, TeamId, UserId

# How a frame begins from Mattermost, and from servers that put spaces between the parts.
_BEGINNINGS = ('{"event":"posted"', '{"event": "posted"')
_TYPES = {kind.value: kind for kind in ChannelType}

_Id = Annotated[str, msgspec.Meta(min_length=1)]
_Number = Annotated[int, msgspec.Meta(ge=-MAX_INT, le=MAX_INT)] | None


class _Data(msgspec.Struct):
    post: str
    channel_type: str | None = None
    channel_name: str | None = None
    channel_display_name: str | None = None
    sender_name: str | None = None
    team_id: str | None = None
    mentions: str | None = None


class _Frame(msgspec.Struct):
    event: Literal["posted"]
    data: _Data
    seq: Annotated[int, msgspec.Meta(ge=-MAX_INT, le=MAX_INT)]


class _Post(msgspec.Struct):
    id: _Id
    channel_id: _Id
    user_id: _Id
    message: str | None = None
    root_id: str | None = None
    type: str | None = None
    create_at: _Number = None
    update_at: _Number = None
    edit_at: _Number = None
    delete_at: _Number = None
    original_id: str | None = None
    pending_post_id: str | None = None
    props: dict[str, Any] | None = None
    file_ids: tuple[str, ...] | None = None


_FRAME = msgspec.json.Decoder(_Frame)
_POST = msgspec.json.Decoder(_Post)
_IDS = msgspec.json.Decoder(tuple[str, ...])


def decode_posted(text: str) -> EventFrame | None:
    """The event of a new post with its sequence number; None for every other frame, and where a field is unusual."""
    if not text.startswith(_BEGINNINGS) or not needs_no_mending(text):
        return None
    try:
        frame = _FRAME.decode(text)
        data, mentions = frame.data, frame.data.mentions or "[]"
        # These are JSON within a string of JSON.
        if not (needs_no_mending(data.post) and needs_no_mending(mentions)):
            return None
        post, mentioned = _POST.decode(data.post), _IDS.decode(mentions)
    # Besides its own error, msgspec raises these two for a number or a nesting beyond all bounds.
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return EventFrame(
        frame.seq,
        Posted(
            Post(
                PostId(post.id),
                ChannelId(post.channel_id),
                UserId(post.user_id),
                post.message or "",
                post.root_id or "",
                post.type or "",
                post.create_at or 0,
                post.update_at or 0,
                post.edit_at or 0,
                post.delete_at or 0,
                post.original_id or "",
                post.pending_post_id or "",
                post.props or {},
                tuple(map(FileId, post.file_ids or ())),
            ),
            _TYPES.get(data.channel_type or ""),
            data.channel_name or "",
            data.channel_display_name or "",
            data.sender_name or "",
            TeamId(data.team_id or ""),
            frozenset(map(UserId, mentioned)),
        ),
    )
