"""The mutable records of a world, with the fields that clients can see; without rules and JSON."""

from typing import Any

from attrs import Factory, field

from oc_trio.classes import define


@define
class UserRecord:
    id: str
    username: str
    email: str
    create_at: int
    password: str = field(default="", repr=False)
    update_at: int = 0
    delete_at: int = 0
    roles: str = "system_user"
    first_name: str = ""
    last_name: str = ""
    nickname: str = ""
    position: str = ""
    is_bot: bool = False
    bot_description: str = ""
    bot_owner_id: str = ""
    status: str = "offline"
    status_manual: bool = False
    last_activity_at: int = 0

    @property
    def is_admin(self) -> bool:
        return "system_admin" in self.roles.split()


@define
class SessionRecord:
    """A login or one life of an access token; an open websocket checks `revoked`."""

    user_id: str
    token: str = field(repr=False)
    access_token_id: str = ""
    revoked: bool = False


@define
class AccessToken:
    id: str
    user_id: str
    description: str
    token: str = field(repr=False)
    is_active: bool = True


@define
class TeamRecord:
    id: str
    name: str
    display_name: str
    create_at: int
    invite_id: str
    type: str = "O"
    description: str = ""
    email: str = ""
    update_at: int = 0
    delete_at: int = 0
    roles: dict[str, str] = Factory(dict)  # user id -> "team_user" or "team_user team_admin"


@define
class ChannelRecord:
    id: str
    team_id: str
    type: str
    name: str
    display_name: str
    creator_id: str
    create_at: int
    header: str = ""
    purpose: str = ""
    update_at: int = 0
    delete_at: int = 0
    last_post_at: int = 0
    total_msg_count: int = 0
    members: dict[str, str] = Factory(dict)  # user id -> roles

    @property
    def is_private_talk(self) -> bool:
        return self.type in {"D", "G"}


@define
class PostRecord:
    """`history` holds (milliseconds, message) of the creation and of every later edit, for tests to read."""

    id: str
    channel_id: str
    user_id: str
    create_at: int
    message: str = ""
    root_id: str = ""
    original_id: str = ""
    type: str = ""
    props: dict[str, Any] = Factory(dict)
    hashtags: str = ""
    file_ids: list[str] = Factory(list)
    pending_post_id: str = ""
    update_at: int = 0
    edit_at: int = 0
    delete_at: int = 0
    is_pinned: bool = False
    history: list[tuple[int, str]] = Factory(list)


@define
class Reaction:
    user_id: str
    post_id: str
    emoji_name: str
    create_at: int
    channel_id: str


@define
class FileRecord:
    id: str
    user_id: str
    channel_id: str
    name: str
    mime_type: str
    create_at: int
    data: bytes = field(repr=False)
    post_id: str = ""
    delete_at: int = 0
    width: int = 0
    height: int = 0

    @property
    def extension(self) -> str:
        return self.name.rpartition(".")[2].lower() if "." in self.name else ""


@define
class Command:
    id: str
    team_id: str
    creator_id: str
    trigger: str
    method: str
    url: str
    create_at: int
    token: str = field(repr=False)
    update_at: int = 0
    delete_at: int = 0
    username: str = ""
    icon_url: str = ""
    auto_complete: bool = False
    auto_complete_desc: str = ""
    auto_complete_hint: str = ""
    display_name: str = ""
    description: str = ""


@define
class IncomingHook:
    id: str
    user_id: str
    channel_id: str
    team_id: str
    create_at: int
    display_name: str = ""
    description: str = ""
    username: str = ""
    icon_url: str = ""
    channel_locked: bool = False
