"""Decodes users, teams, channels, files, commands and pages of posts from REST responses; raises only PayloadError."""

from oc_trio.core.decode import channel_type, decode_post
from oc_trio.core.entities import Channel, FileInfo, PostPage, SlashCommand, Team, User
from oc_trio.core.events import Post
from oc_trio.core.json_fields import Fields
from oc_trio.errors import PayloadError
from oc_trio.ids import ChannelId, CommandId, FileId, TeamId, UserId


def decode_user(value: object) -> User:
    """A user; `is_bot` is absent for people."""
    user = Fields.of(value, "user")
    return User(
        id=UserId(user.need("id")),
        username=user.need("username"),
        # People have no such key at all (contract scenario users_me).
        is_bot=user.flag("is_bot"),
        first_name=user.text("first_name"),
        last_name=user.text("last_name"),
        nickname=user.text("nickname"),
        delete_at=user.number("delete_at"),
        update_at=user.number("update_at"),
    )


def decode_team(value: object) -> Team:
    team = Fields.of(value, "team")
    return Team(TeamId(team.need("id")), team.need("name"), team.text("display_name"))


def decode_channel(value: object) -> Channel:
    """A channel; one of an unknown type is refused, since what is not known to be public can't be judged."""
    channel = Fields.of(value, "channel")
    kind = channel_type(channel.text("type"))
    if kind is None:
        raise PayloadError("channel has an unknown type")
    return Channel(
        id=ChannelId(channel.need("id")),
        type=kind,
        team_id=TeamId(channel.text("team_id")),
        name=channel.text("name"),
        display_name=channel.text("display_name"),
        last_post_at=channel.number("last_post_at"),
        delete_at=channel.number("delete_at"),
    )


def decode_file(value: object) -> FileInfo:
    """A file's description; its `name` is whatever the uploader called it."""
    info = Fields.of(value, "file")
    return FileInfo(
        id=FileId(info.need("id")),
        name=info.text("name"),
        size=info.number("size"),
        mime_type=info.text("mime_type"),
        extension=info.text("extension"),
        post_id=info.text("post_id"),
        width=info.number("width"),
        height=info.number("height"),
    )


def decode_command(value: object) -> SlashCommand:
    command = Fields.of(value, "command")
    return SlashCommand(
        id=CommandId(command.need("id")),
        team_id=TeamId(command.text("team_id")),
        trigger=command.text("trigger"),
        method=command.text("method", "P"),
        url=command.text("url"),
        token=command.text("token"),
        creator_id=UserId(command.text("creator_id")),
        delete_at=command.number("delete_at"),
        description=command.text("description"),
        auto_complete=command.flag("auto_complete"),
        auto_complete_desc=command.text("auto_complete_desc"),
        auto_complete_hint=command.text("auto_complete_hint"),
        display_name=command.text("display_name"),
    )


def decode_page(value: object) -> PostPage:
    """A page of posts in the order of `order`; roots that come along unasked stay out of it."""
    page = Fields.of(value, "page")
    posts = page.object("posts")
    return PostPage(
        # The roots of listed replies are in `posts`, too (contract scenario posts_page_with_replies).
        posts=tuple(_member(posts, post_id) for post_id in page.texts("order")),
        prev_post_id=page.text("prev_post_id"),
        next_post_id=page.text("next_post_id"),
    )


def _member(posts: Fields, post_id: str) -> Post:
    if not posts.has(post_id):
        # Leaving it out would look like a page without that post, and catch-up would pass over it.
        raise PayloadError("page lists a post without giving it")
    return decode_post(posts.data[post_id])
