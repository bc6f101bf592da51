"""Builds Mattermost message attachments from rows of buttons and menus, with signed contexts.

`core.presentation` reads the buttons that an agent wrote; `core.interactions` verifies clicks.

Facts (tests/contract/README.md, "Buttons"): Mattermost stores an action whose id has other characters than letters and
digits, but never calls it back; it shows the `integration` to nobody; anyone may post any context, so only the
signature proves that it is ours.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import field

from oc_trio.classes import frozen
from oc_trio.core.presentation import Menu, Rows
from oc_trio.core.signing import sign_context
from oc_trio.core.turn_events import Button

ACTION_ID = "action_id"
CALLBACK_DATA = "callback_data"
# OpenClaw's gateway checks this name, so it too refuses our buttons in another channel.
CHANNEL_ID = "__openclaw_channel_id"
NONCE = "__oc_nonce"
EXPIRES_AT = "__oc_expires_at"

_NOT_ALPHANUMERIC = re.compile(r"[^A-Za-z0-9]+")
# An id is part of a URL that Mattermost's clients call: `/posts/<post>/actions/<id>`.
_ID_LENGTH = 32
_MATTERMOST_STYLES = frozenset({"default", "primary", "success", "good", "warning", "danger"})


@frozen
class ButtonBinding:
    """What the buttons of one post are bound to; all of it is part of the signed contexts.

    `nonce` is random and unique per post: the first click uses it up. `expires_at` is in milliseconds since the epoch,
    0 for never. `extra` goes into every context as it is (a picker's state, a question's id).
    """

    callback_url: str
    channel_id: str = ""
    nonce: str = ""
    expires_at: int = 0
    extra: Mapping[str, Any] = field(factory=dict, hash=False)


def action_ids(preferred: Iterable[str]) -> tuple[str, ...]:
    """One id per preferred id, of letters and digits only and unique within the post.

    A preferred id is used as it is if possible. Otherwise other characters are removed and a number or a digest is
    added, so that `a-b` and `ab` differ.
    """
    taken: set[str] = set()
    ids = []
    for position, wanted in enumerate(preferred, 1):
        base = _NOT_ALPHANUMERIC.sub("", wanted)[:_ID_LENGTH]
        if not base:
            # Of a label in another script nothing is left; the digest is the same after a restart.
            base = "b" + hashlib.sha256(wanted.encode("utf-8", "surrogatepass")).hexdigest()[:12]
        chosen = base
        # Counting from the position needs at most one step per earlier button.
        while chosen in taken:
            chosen = f"{base}x{position}"
            position += 1
        taken.add(chosen)
        ids.append(chosen)
    return tuple(ids)


def attachments(
    rows: Rows,
    menus: tuple[Menu, ...],
    *,
    bot_token: str,
    binding: ButtonBinding,
    text: str = "",
    custom: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[dict[str, Any]]:
    """The list for `props.attachments`: one attachment per row, the first with `text`, menus last.

    Empty if there are no buttons or menus. `fallback` is shown by notifications and old clients. `custom` holds, by
    `Button.id` or `Menu.id`, more fields for that context.
    """
    own = custom or {}
    preferred = [button.id or button.value or button.label for row in rows for button in row]
    ids = iter(action_ids([*preferred, *(menu.id or menu.label for menu in menus)]))
    groups: list[list[dict[str, Any]]] = [
        [
            _action(next(ids), "button", button.label, bot_token, binding, {**_data(button), **own.get(button.id, {})})
            | {"style": button.style if button.style in _MATTERMOST_STYLES else "default"}
            for button in row
        ]
        for row in rows
        if row
    ]
    if menus:
        groups.append([_menu_action(next(ids), menu, bot_token, binding, own.get(menu.id, {})) for menu in menus])
    return [
        {
            "text": text if number == 0 else "",
            "fallback": " | ".join(action["name"] for action in actions),
            "actions": actions,
        }
        for number, actions in enumerate(groups)
    ]


def context(action_id: str, binding: ButtonBinding, custom: Mapping[str, Any]) -> dict[str, Any]:
    """The unsigned context of one action; `custom` can't override the fields that the gateway checks."""
    bound: dict[str, Any] = {ACTION_ID: action_id}
    if binding.channel_id:
        bound[CHANNEL_ID] = binding.channel_id
    if binding.nonce:
        bound[NONCE] = binding.nonce
    if binding.expires_at:
        bound[EXPIRES_AT] = binding.expires_at
    # `bound` last: a custom field must not replace the channel, the nonce or the expiry.
    return {**binding.extra, **custom, **bound}


def _action(
    action_id: str, kind: str, name: str, bot_token: str, binding: ButtonBinding, custom: Mapping[str, Any]
) -> dict[str, Any]:
    signed = sign_context(bot_token, context(action_id, binding, custom))
    return {
        "id": action_id,
        "type": kind,
        "name": name,
        "integration": {"url": binding.callback_url, "context": signed},
    }


def _data(button: Button) -> dict[str, Any]:
    return {CALLBACK_DATA: button.value} if button.value else {}


def _menu_action(
    action_id: str, menu: Menu, bot_token: str, binding: ButtonBinding, custom: Mapping[str, Any]
) -> dict[str, Any]:
    options = [{"text": text, "value": value} for text, value in menu.options]
    return _action(action_id, "select", menu.label, bot_token, binding, custom) | {"options": options}
