"""The JSON of users, teams, channels, members, files and reactions, as the real server shows them."""

from typing import Any

from oc_trio.sandbox.records import (
    AccessToken,
    ChannelRecord,
    FileRecord,
    IncomingHook,
    Reaction,
    TeamRecord,
    UserRecord,
)

Json = dict[str, Any]

_NOTIFY = {
    "channel": "true",
    "comments": "never",
    "desktop": "mention",
    "desktop_sound": "true",
    "email": "true",
    "first_name": "false",
    "mention_keys": "",
    "push": "mention",
}
_CHANNEL_NOTIFY = {"desktop": "default", "email": "default", "mark_unread": "all", "push": "default"}


def user_view(user: UserRecord, *, own: bool = False) -> Json:
    """A user as others see them; `own` adds what only they and admins see. People have no `is_bot` key."""
    body: Json = {
        "id": user.id,
        "create_at": user.create_at,
        "update_at": user.update_at,
        "delete_at": user.delete_at,
        "username": user.username,
        "auth_service": "",
        "email": user.email,
        "nickname": user.nickname,
        "first_name": user.first_name,
        "last_name": user.last_name,
        "position": user.position,
        "roles": user.roles,
        "locale": "en",
        "timezone": {"automaticTimezone": "", "manualTimezone": "", "useAutomaticTimezone": "true"},
    }
    # People have no `is_bot` key at all (contract scenario users_me).
    if user.is_bot:
        body["is_bot"] = True
        if user.bot_description:
            body["bot_description"] = user.bot_description
    if own:
        body["notify_props"] = dict(_NOTIFY)
    return body


def bot_view(bot: UserRecord) -> Json:
    body: Json = {
        "user_id": bot.id,
        "username": bot.username,
        "display_name": bot.first_name,
        "owner_id": bot.bot_owner_id,
        "create_at": bot.create_at,
        "update_at": bot.update_at,
        "delete_at": bot.delete_at,
    }
    if bot.bot_description:
        body["description"] = bot.bot_description
    return body


def token_view(access: AccessToken, *, reveal: bool = False) -> Json:
    body = {
        "id": access.id,
        "user_id": access.user_id,
        "description": access.description,
        "is_active": access.is_active,
    }
    return {**body, "token": access.token} if reveal else body


def status_view(user: UserRecord) -> Json:
    return {
        "user_id": user.id,
        "status": user.status,
        "manual": user.status_manual,
        "last_activity_at": user.last_activity_at,
    }


def team_view(team: TeamRecord) -> Json:
    return {
        "id": team.id,
        "create_at": team.create_at,
        "update_at": team.update_at,
        "delete_at": team.delete_at,
        "display_name": team.display_name,
        "name": team.name,
        "description": team.description,
        "email": team.email,
        "type": team.type,
        "company_name": "",
        "allowed_domains": "",
        "invite_id": team.invite_id,
        "allow_open_invite": False,
    }


def team_member_view(team: TeamRecord, user_id: str) -> Json:
    roles = team.roles[user_id]
    return {
        "team_id": team.id,
        "user_id": user_id,
        "roles": roles,
        "delete_at": 0,
        "scheme_guest": False,
        "scheme_user": True,
        "scheme_admin": "team_admin" in roles,
        "explicit_roles": "",
    }


def channel_view(channel: ChannelRecord) -> Json:
    return {
        "id": channel.id,
        "create_at": channel.create_at,
        "update_at": channel.update_at,
        "delete_at": channel.delete_at,
        "team_id": channel.team_id,
        "type": channel.type,
        "display_name": channel.display_name,
        "name": channel.name,
        "header": channel.header,
        "purpose": channel.purpose,
        "last_post_at": channel.last_post_at,
        "total_msg_count": channel.total_msg_count,
        "extra_update_at": 0,
        "creator_id": channel.creator_id,
        "scheme_id": None,
        "props": None,
        "group_constrained": None,
        "shared": None,
    }


def channel_member_view(channel: ChannelRecord, user_id: str) -> Json:
    roles = channel.members[user_id]
    return {
        "channel_id": channel.id,
        "user_id": user_id,
        "roles": roles,
        "last_viewed_at": 0,
        "msg_count": 0,
        "mention_count": 0,
        "notify_props": dict(_CHANNEL_NOTIFY),
        "last_update_at": channel.create_at,
        "scheme_guest": False,
        "scheme_user": True,
        "scheme_admin": "channel_admin" in roles,
        "explicit_roles": "",
    }


def file_view(info: FileRecord) -> Json:
    body: Json = {
        "id": info.id,
        "user_id": info.user_id,
        "channel_id": info.channel_id,
        "create_at": info.create_at,
        "update_at": info.create_at,
        "delete_at": info.delete_at,
        "name": info.name,
        "extension": info.extension,
        "size": len(info.data),
        "mime_type": info.mime_type,
        "mini_preview": None,
        "remote_id": "",
        "archived": False,
    }
    if info.post_id:
        body["post_id"] = info.post_id
    if info.width:
        body.update(width=info.width, height=info.height, has_preview_image=True)
    return body


def reaction_view(reaction: Reaction) -> Json:
    return {
        "user_id": reaction.user_id,
        "post_id": reaction.post_id,
        "emoji_name": reaction.emoji_name,
        "create_at": reaction.create_at,
        "update_at": reaction.create_at,
        "delete_at": 0,
        "remote_id": "",
        "channel_id": reaction.channel_id,
    }


def hook_view(hook: IncomingHook) -> Json:
    return {
        "id": hook.id,
        "create_at": hook.create_at,
        "update_at": hook.create_at,
        "delete_at": 0,
        "user_id": hook.user_id,
        "channel_id": hook.channel_id,
        "team_id": hook.team_id,
        "display_name": hook.display_name,
        "description": hook.description,
        "username": hook.username,
        "icon_url": hook.icon_url,
        "channel_locked": hook.channel_locked,
    }
