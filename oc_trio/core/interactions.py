"""Parses and verifies the callback of a button click or a menu choice.

The order of the checks decides which refusal a caller sees, so it is kept in one place: method, source, body, JSON,
context, token, signature, action_id, channel; then post, channel of the post, action; then expiry and use.
`read_button_callback` does what needs the body only, `verify_click` what needs the post. Whether this user may click is
the access policy; remembering used clicks is the ledger's, by `Click.trigger`.

Only the context is signed. Everything else in the body is just what the sender claims, so its source address matters.
"""

from collections.abc import Mapping
from typing import Any

from attrs import field

from oc_trio.classes import frozen
from oc_trio.core.buttons import ACTION_ID, CALLBACK_DATA, CHANNEL_ID, EXPIRES_AT, NONCE
from oc_trio.core.events import Post
from oc_trio.core.inbound import CLICK_LABEL
from oc_trio.core.json_body import BadJson, read_object
from oc_trio.core.mention_escape import escape_channel_mentions
from oc_trio.core.signing import TOKEN_KEY, verify_context
from oc_trio.errors import CallbackRefused
from oc_trio.ids import ChannelId, PostId, TeamId, UserId

# A click has the button's context in it, some kilobytes; it comes from the server at once.
MAX_BODY_BYTES = 65_536
BODY_SECONDS = 10.0
SELECTED_OPTION = "selected_option"

# Both are told to the person, and not refused: Mattermost shows no words of a refusal.
EXPIRED = "This choice has expired."
USED = "This was already answered."

_RESERVED = frozenset({ACTION_ID, CALLBACK_DATA, CHANNEL_ID, EXPIRES_AT, NONCE, TOKEN_KEY, SELECTED_OPTION})


@frozen
class ButtonCallback:
    """A callback whose context we have signed, with this bot's token and for this channel.

    `context` is the signed context without the token. `selected` is the choice from a menu, which is not signed.
    """

    user_id: UserId
    user_name: str
    channel_id: ChannelId
    team_id: TeamId
    post_id: PostId
    action_id: str
    context: Mapping[str, Any] = field(hash=False)
    selected: str = ""
    trigger_id: str = field(default="", repr=False)

    @property
    def nonce(self) -> str:
        nonce = self.context.get(NONCE)
        return nonce if isinstance(nonce, str) else ""

    @property
    def trigger(self) -> str:
        """The trigger by which the journal admits the click once: for our own buttons, once per post."""
        # Buttons that a script has signed have no nonce: each of them can be used once.
        return f"interaction:{self.post_id}:{self.nonce or self.action_id}"

    @property
    def custom(self) -> dict[str, Any]:
        """The fields of the context except those that the gateway checks."""
        return {key: value for key, value in self.context.items() if key not in _RESERVED}


@frozen
class Click:
    """A verified click: `label` as the user saw it, `value` is the callback data or the option chosen."""

    callback: ButtonCallback
    post: Post
    label: str
    value: str

    @property
    def trigger(self) -> str:
        return self.callback.trigger


@frozen
class Notice:
    """The click is genuine but has no effect; `text` is shown only to the user who clicked."""

    text: str


def not_validated() -> CallbackRefused:
    """The refusal if the post can't be read from the server, so that the click can't be verified."""
    return CallbackRefused(500, "Failed to validate interaction")


def read_button_callback(body: bytes, *, bot_token: str) -> ButtonCallback:
    """The callback in a request body. Raises CallbackRefused with the documented status and text."""
    try:
        payload = read_object(body)
    except BadJson:
        raise CallbackRefused(400, "Invalid request body") from None
    context = payload.get("context")
    if not isinstance(context, dict):
        raise CallbackRefused(400, "Missing context")
    if not isinstance(context.get(TOKEN_KEY), str):
        raise CallbackRefused(403, "Missing token")
    signed, selected = _verified(context, payload.get("type") == "select", bot_token)
    action_id = signed.get(ACTION_ID)
    if not isinstance(action_id, str):
        raise CallbackRefused(400, "Missing action_id in context")
    callback = ButtonCallback(
        user_id=UserId(_text(payload, "user_id")),
        user_name=_text(payload, "user_name"),
        channel_id=ChannelId(_text(payload, "channel_id")),
        team_id=TeamId(_text(payload, "team_id")),
        post_id=PostId(_text(payload, "post_id")),
        action_id=action_id,
        context={key: value for key, value in signed.items() if key != TOKEN_KEY},
        selected=selected,
        trigger_id=_text(payload, "trigger_id"),
    )
    if CHANNEL_ID in signed and signed[CHANNEL_ID] != callback.channel_id:
        raise CallbackRefused(403, "Channel mismatch")
    if not callback.user_id or not callback.post_id:
        raise CallbackRefused(400, "Invalid request body")
    return callback


def _verified(context: dict[str, Any], is_menu: bool, bot_token: str) -> tuple[dict[str, Any], str]:
    """The signed part of the context, and the menu's choice, which Mattermost adds to the context."""
    if is_menu and SELECTED_OPTION in context:
        signed = {key: value for key, value in context.items() if key != SELECTED_OPTION}
        if verify_context(bot_token, signed):
            return signed, _text(context, SELECTED_OPTION)
    elif verify_context(bot_token, context):
        return context, ""
    raise CallbackRefused(403, "Invalid token")


def verify_click(callback: ButtonCallback, post: Post, *, now_ms: int, used: bool) -> Click | Notice:
    """The click on an action of `post` in its current version; `used`: its trigger was admitted before.

    Raises CallbackRefused if the post is in another channel or has no such action, or a menu no such option.
    """
    if post.channel_id != callback.channel_id or post.id != callback.post_id:
        # A genuine context in a forged body: the signature says nothing about the post.
        raise CallbackRefused(403, "Post/channel mismatch")
    action = _find_action(post, callback.action_id)
    if action is None:
        raise CallbackRefused(403, "Unknown action")
    # Before expiry and use: who sends an option that was never offered is not told how the question stands.
    label, value = _choice(callback, action)
    if _expired(callback, now_ms):
        return Notice(EXPIRED)
    if used:
        return Notice(USED)
    return Click(callback, post, label, value)


def _choice(callback: ButtonCallback, action: Mapping[str, Any]) -> tuple[str, str]:
    if action.get("type") != "select":
        data = callback.context.get(CALLBACK_DATA)
        return str(action["name"]), data if isinstance(data, str) else callback.action_id
    # A menu of users or channels: Mattermost fills it, so the post lists no options to compare with.
    if action.get("data_source"):
        return callback.selected, callback.selected
    for option in action.get("options") or ():
        if isinstance(option, Mapping) and option.get("value") == callback.selected:
            return str(option.get("text") or callback.selected), callback.selected
    # The choice is not signed, so a caller could send an option that was never offered.
    raise CallbackRefused(403, "Unknown action")


def _expired(callback: ButtonCallback, now_ms: int) -> bool:
    expires_at = callback.context.get(EXPIRES_AT, 0)
    # A signed expiry that is no number is a mistake: treat it as expired.
    return not isinstance(expires_at, (int, float)) or 0 < expires_at <= now_ms


def _attachments(post: Post) -> list[Mapping[str, Any]]:
    return _mappings(post.props.get("attachments"))


def _actions(attachment: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return _mappings(attachment.get("actions"))


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, (list, tuple)) else []


def _find_action(post: Post, action_id: str) -> Mapping[str, Any] | None:
    for attachment in _attachments(post):
        for action in _actions(attachment):
            if action.get("id") == action_id and action.get("name"):
                return action
    return None


def selected_line(click: Click) -> str:
    """The line that replaces the buttons after a click."""
    return escape_channel_mentions(f"✓ **{click.label}** selected by @{click.callback.user_name}")


def selected_reply(click: Click) -> dict[str, Any]:
    """The response that makes the server replace the buttons; the message, other props and attachments stay.

    Other attachments lose their buttons: the server does not return their integrations, so they would not work. An
    attachment that has nothing else to show is removed.
    """
    kept: list[Mapping[str, Any]] = []
    for attachment in _attachments(click.post):
        actions = _actions(attachment)
        if any(action.get("id") == click.callback.action_id for action in actions):
            # In place of the row that was clicked, so that it stands where people look.
            kept.append({"text": selected_line(click)})
        elif not actions:
            kept.append(attachment)
        else:
            rest = {key: value for key, value in attachment.items() if key != "actions"}
            if any(rest.get(key) for key in ("text", "pretext", "title", "fields", "image_url", "thumb_url")):
                kept.append(rest)
    return {"update": {"message": click.post.message, "props": {**click.post.props, "attachments": kept}}}


def ephemeral_reply(text: str) -> dict[str, str]:
    """The response that only the user who clicked sees."""
    return {"ephemeral_text": text}


def not_allowed(channel: str) -> str:
    """What a user reads whom the access policy does not let click."""
    return f"oc_trio ignored this action for {channel}."


def click_text(click: Click) -> str:
    """The message for the agent: who chose what, and the callback data if it differs from the label."""
    label = " ".join(click.label.split()).replace('"', "'")
    line = f'{CLICK_LABEL}user @{click.callback.user_name} selected "{label}"]'
    # In one line, or the data could imitate lines of other labels.
    return line if click.value == click.label else f"{line}\ncallback_data: {' '.join(click.value.splitlines())}"


def _text(source: Mapping[str, Any], name: str) -> str:
    value = source.get(name)
    return value if isinstance(value, str) else ""
