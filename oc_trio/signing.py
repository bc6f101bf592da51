"""Signing buttons from scripts of your own: what a webhook or a cron job needs to post buttons that oc_trio answers.

    from oc_trio.signing import build_button_attachments

    attachments = build_button_attachments(
        bot_token=os.environ["MATTERMOST_BOT_TOKEN"],
        callback_url="https://gateway.example.com/mattermost/interactions/default",
        buttons=[[{"text": "Approve", "callback_data": "approve", "style": "primary"}]],
        channel_id=channel_id,
    )
    httpx.post(f"{base_url}/api/v4/posts", headers=..., json={
        "channel_id": channel_id, "message": "Deploy?", "props": {"attachments": attachments},
    })

The scheme is OpenClaw's: `secret = hex(HMAC-SHA256(key="openclaw-mattermost-interactions", msg=bot_token))` and
`_token = hex(HMAC-SHA256(key=secret, msg=canonical JSON of the context without _token))`, the secret used as its hex
text. The canonical JSON has its keys sorted recursively, no blanks and raw non-ASCII: `oc_trio.core.canonical_json`.
Nothing here talks to a server, and nothing needs the gateway to run.
"""

import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any

from oc_trio.core.buttons import ButtonBinding, attachments
from oc_trio.core.presentation import BadPresentation, read_buttons
from oc_trio.core.signing import context_token, interaction_secret, sign_context, verify_context

__all__ = [
    "BadPresentation",
    "build_button_attachments",
    "context_token",
    "interaction_secret",
    "sign_context",
    "verify_context",
]


def build_button_attachments(
    *,
    bot_token: str,
    callback_url: str,
    buttons: Sequence[Sequence[Mapping[str, Any]]] | Sequence[Mapping[str, Any]],
    channel_id: str = "",
    text: str = "",
    context: Mapping[str, Any] | None = None,
    expires_in: float | None = None,
    single_use: bool = True,
) -> list[dict[str, Any]]:
    """The value for `props.attachments` of a post (not for a top-level `attachments`, which Mattermost ignores).

    `buttons` are rows of `{"text", "callback_data", "style"}`; styles are default, primary, success and danger.
    `callback_url` ends in `/mattermost/interactions/<account>`. `channel_id` binds the buttons to the channel they are
    posted in. `context` is added to each button's context. `expires_in` is in seconds from now, None for never. With
    `single_use` the first click on any of these buttons uses up all of them; without it, each may be clicked once.

    Raises BadPresentation (a ValueError) naming the button that can't be used; links don't fit here, put them into the
    post's message.
    """
    shown = read_buttons([list(row) if isinstance(row, Sequence) else row for row in buttons])
    if shown.text:
        raise BadPresentation("buttons: a button with a url can't be signed; write it as a link in the message.")
    binding = ButtonBinding(
        callback_url,
        channel_id=channel_id,
        nonce=secrets.token_hex(12) if single_use else "",
        expires_at=0 if expires_in is None else int((time.time() + expires_in) * 1000),
        extra=dict(context or {}),
    )
    return attachments(shown.rows, (), bot_token=bot_token, binding=binding, text=text)
