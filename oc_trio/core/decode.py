"""Decodes websocket frames and posts; anything malformed raises PayloadError and nothing else.

Field facts: tests/contract/wire, recorded from a Mattermost 11 server. What is neither a post nor an event is
`decode_entities`'s.
"""

from collections.abc import Callable

from oc_trio.core.decode_posted import decode_posted
from oc_trio.core.events import (
    ActionReply,
    ChannelAppeared,
    ChannelArchived,
    ChannelChanged,
    ChannelType,
    Event,
    EventFrame,
    Frame,
    Hello,
    MemberAdded,
    MemberRemoved,
    Post,
    PostDeleted,
    Posted,
    PostEdited,
    Reacted,
    TeamJoined,
    TeamLeft,
    Typed,
    Unhandled,
    UserChanged,
)
from oc_trio.core.json_fields import Fields
from oc_trio.errors import PayloadError
from oc_trio.ids import ChannelId, FileId, PostId, TeamId, UserId

_Reader = Callable[[Fields, Fields], Event]


def decode_frame(text: str) -> Frame:
    """The event in a text frame with its sequence number, or the reply to an action of ours.

    An event that no part of the gateway acts on becomes `Unhandled(name)`. A known event with unreadable content raises
    PayloadError with `seq` set: skip it. Without `seq` the sequence is lost: close the connection.
    """
    # Most frames by far.
    if (posted := decode_posted(text)) is not None:
        return posted
    envelope = Fields.parse(text, "frame")
    # Only replies to actions have no event name.
    if not envelope.has("event"):
        return _reply(envelope)
    name = envelope.need("event")
    if not envelope.has("seq"):
        raise PayloadError(f"event {_safe_name(name)} has no seq")
    seq = envelope.number("seq")
    try:
        return EventFrame(seq, _event(name, envelope))
    except PayloadError as err:
        raise PayloadError(f"event {_safe_name(name)}: {err}", seq=seq) from err


def _safe_name(name: str) -> str:
    """The event name if we know it: anything else could put text of the peer into the log."""
    return name if name in _READERS else "of an unknown kind"


def decode_post(value: object) -> Post:
    """A post as REST returns it and as `data.post` contains it."""
    return read_post(Fields.of(value, "post"))


def read_post(post: Fields) -> Post:
    return Post(
        id=PostId(post.need("id")),
        channel_id=ChannelId(post.need("channel_id")),
        user_id=UserId(post.need("user_id")),
        message=post.text("message"),
        root_id=post.text("root_id"),
        type=post.text("type"),
        create_at=post.number("create_at"),
        update_at=post.number("update_at"),
        edit_at=post.number("edit_at"),
        delete_at=post.number("delete_at"),
        original_id=post.text("original_id"),
        pending_post_id=post.text("pending_post_id"),
        props=post.object("props").data,
        file_ids=tuple(FileId(file_id) for file_id in post.texts("file_ids")),
    )


def channel_type(letter: str) -> ChannelType | None:
    """The type for Mattermost's letter, None if it is absent or unknown to this version."""
    return _TYPES.get(letter)


_TYPES = {kind.value: kind for kind in ChannelType}


def _reply(envelope: Fields) -> ActionReply:
    # The reply to an action that was sent without `seq` has no `seq_reply`.
    error = envelope.object("error")
    return ActionReply(
        seq_reply=envelope.number("seq_reply"),
        ok=envelope.need("status") == "OK",
        status_code=error.number("status_code"),
        error_id=error.text("id"),
    )


def _event(name: str, envelope: Fields) -> Event:
    # Servers have many more events than the gateway needs, and each release adds some.
    reader = _READERS.get(name)
    if reader is None:
        return Unhandled(name)
    return reader(envelope.object("data"), envelope.object("broadcast"))


def _hello(data: Fields, _: Fields) -> Event:
    return Hello(data.need("connection_id"), data.text("server_version"))


def _posted(data: Fields, _: Fields) -> Event:
    return Posted(
        post=read_post(data.object("post")),
        channel_type=channel_type(data.text("channel_type")),
        channel_name=data.text("channel_name"),
        channel_display_name=data.text("channel_display_name"),
        sender_name=data.text("sender_name"),
        team_id=TeamId(data.text("team_id")),
        mentions=frozenset(UserId(user_id) for user_id in data.texts("mentions")),
    )


def _post_edited(data: Fields, _: Fields) -> Event:
    return PostEdited(read_post(data.object("post")))


def _post_deleted(data: Fields, _: Fields) -> Event:
    return PostDeleted(read_post(data.object("post")))


def _reacted(added: bool) -> _Reader:
    def read(data: Fields, broadcast: Fields) -> Event:
        reaction = data.object("reaction")
        return Reacted(
            user_id=UserId(reaction.need("user_id")),
            post_id=PostId(reaction.need("post_id")),
            # From the broadcast where the reaction itself has no channel.
            channel_id=ChannelId(_either(reaction, broadcast, "channel_id")),
            emoji=reaction.need("emoji_name"),
            added=added,
            create_at=reaction.number("create_at"),
        )

    return read


def _typed(data: Fields, broadcast: Fields) -> Event:
    return Typed(UserId(data.need("user_id")), ChannelId(broadcast.need("channel_id")), data.text("parent_id"))


def _member_added(data: Fields, broadcast: Fields) -> Event:
    channel = ChannelId(broadcast.need("channel_id"))
    return MemberAdded(UserId(data.need("user_id")), channel, TeamId(data.text("team_id")))


def _member_removed(data: Fields, broadcast: Fields) -> Event:
    # The removed user gets the channel in `data` and their id in `broadcast`; everybody else the other way round.
    return MemberRemoved(
        UserId(_either(data, broadcast, "user_id")),
        ChannelId(_either(data, broadcast, "channel_id")),
        data.text("remover_id"),
    )


def _channel_appeared(data: Fields, broadcast: Fields) -> Event:
    return ChannelAppeared(ChannelId(_either(data, broadcast, "channel_id")), TeamId(data.text("team_id")))


def _channel_changed(data: Fields, broadcast: Fields) -> Event:
    channel = data.object("channel")
    # `channel_updated` has the whole channel, `channel_converted` its id only.
    return ChannelChanged(ChannelId(channel.text("id") or _either(data, broadcast, "channel_id")))


def _channel_archived(data: Fields, broadcast: Fields) -> Event:
    return ChannelArchived(ChannelId(_either(data, broadcast, "channel_id")))


def _team_joined(data: Fields, _: Fields) -> Event:
    return TeamJoined(UserId(data.need("user_id")), TeamId(data.need("team_id")))


def _team_left(data: Fields, _: Fields) -> Event:
    return TeamLeft(UserId(data.need("user_id")), TeamId(data.need("team_id")))


def _user_changed(data: Fields, _: Fields) -> Event:
    user = data.object("user")
    return UserChanged(UserId(user.need("id")), user.text("username"))


def _either(data: Fields, broadcast: Fields, key: str) -> str:
    return data.text(key) or broadcast.need(key)


_READERS: dict[str, _Reader] = {
    "hello": _hello,
    "posted": _posted,
    "post_edited": _post_edited,
    "post_deleted": _post_deleted,
    "reaction_added": _reacted(added=True),
    "reaction_removed": _reacted(added=False),
    "typing": _typed,
    "user_added": _member_added,
    "user_removed": _member_removed,
    "channel_created": _channel_appeared,
    "channel_restored": _channel_appeared,
    "direct_added": _channel_appeared,
    "group_added": _channel_appeared,
    "channel_updated": _channel_changed,
    "channel_converted": _channel_changed,
    "channel_deleted": _channel_archived,
    "added_to_team": _team_joined,
    "leave_team": _team_left,
    "user_updated": _user_changed,
}
