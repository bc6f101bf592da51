"""Mattermost's entities except posts, as frozen values: users, teams, channels, files, slash commands.

For the fields that a bot may see, see the scenarios for users, channels, files and slash commands in tests/contract.
"""

from collections.abc import Mapping
from typing import Any

from attrs import field

from oc_trio.classes import frozen
from oc_trio.core.events import ChannelType, Post
from oc_trio.ids import ChannelId, CommandId, FileId, TeamId, UserId


@frozen
class User:
    """`is_bot` marks bot accounts; `delete_at` is set while the account is deactivated."""

    id: UserId
    username: str
    is_bot: bool = False
    first_name: str = ""
    last_name: str = ""
    nickname: str = ""
    delete_at: int = 0
    update_at: int = 0

    @property
    def display_name(self) -> str:
        # A bot's display name is its first name (contract scenario users_me).
        return f"{self.first_name} {self.last_name}".strip() or self.nickname or self.username


@frozen
class Team:
    """`name` is the name in URLs."""

    id: TeamId
    name: str
    display_name: str = ""


@frozen
class Channel:
    """`team_id` is empty for direct and group channels; a direct channel's name is `<user id>__<user id>`."""

    id: ChannelId
    type: ChannelType
    team_id: TeamId = TeamId("")
    name: str = ""
    display_name: str = ""
    last_post_at: int = 0
    delete_at: int = 0


@frozen
class FileInfo:
    """`size` in bytes; `mime_type` as the server guessed it from the name, so it says nothing about the content."""

    id: FileId
    name: str
    size: int = 0
    mime_type: str = ""
    extension: str = ""
    post_id: str = ""
    width: int = 0
    height: int = 0


@frozen
class PostPage:
    """A page of a channel's posts in the server's order, newest first; the neighbours' ids are empty at the ends."""

    posts: tuple[Post, ...]
    prev_post_id: str = ""
    next_post_id: str = ""


@frozen
class SlashCommand:
    """A registered slash command; `token` is blank if the server does not show it to us."""

    id: CommandId
    team_id: TeamId
    trigger: str
    method: str = "P"
    url: str = ""
    # Blank in lists that everybody may read (contract scenario command_list_for_team).
    token: str = field(default="", repr=False)
    creator_id: UserId = UserId("")
    delete_at: int = 0
    description: str = ""
    auto_complete: bool = False
    auto_complete_desc: str = ""
    auto_complete_hint: str = ""
    display_name: str = ""


@frozen
class NewPost:
    """A post to create. `pending_post_id` is the idempotency key: unique per bot, the same in all tries of a post."""

    channel_id: ChannelId
    message: str
    root_id: str = ""
    pending_post_id: str = ""
    props: Mapping[str, Any] = field(factory=dict, hash=False)
    file_ids: tuple[FileId, ...] = ()
