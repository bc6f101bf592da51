"""Rows of buttons and menus as Mattermost's message attachments, each context signed.

Owned here: ids, contexts, the shape of `props.attachments`. Reading what an agent wrote is `core.presentation`; judging
a click is `core.interactions`.

Facts (tests/contract/README.md, "Buttons"): an action id with anything but letters and digits is stored but never
called back; the `integration` is given out to nobody; a context may be anything, so only its signature makes it ours.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import field, frozen

from oc_trio.core.presentation import Menu, Rows
from oc_trio.core.signing import sign_context
from oc_trio.core.turn_events import Button

ACTION_ID = "action_id"
CALLBACK_DATA = "callback_data"
# The name that OpenClaw's gateway checks, so that ours refuse other channels there too.
CHANNEL_ID = "__openclaw_channel_id"
NONCE = "__oc_nonce"
EXPIRES_AT = "__oc_expires_at"

_NOT_ALPHANUMERIC = re.compile(r"[^A-Za-z0-9]+")
_ID_LENGTH = 32
_MATTERMOST_STYLES = frozenset({"default", "primary", "success", "good", "warning", "danger"})


@frozen
class Binding:
    """What the buttons of one post are bound to, all of it inside the signed contexts.

    `nonce` is random and unique per post: the first click uses it up. `expires_at` is in milliseconds since the epoch,
    0 for never. `extra` goes into every context as it is (a picker's state, a question's id).
    """

    callback_url: str
    channel_id: str = ""
    nonce: str = ""
    expires_at: int = 0
    extra: Mapping[str, Any] = field(factory=dict, hash=False)


def action_ids(wishes: Iterable[str]) -> tuple[str, ...]:
    """One id per wish, of letters and digits only and unique within the post.

    A wish that is fit for an id and free is taken as it is; otherwise what is left of it gets a digest or a number, so
    that `a-b` and `ab` stay apart.
    """
    taken: set[str] = set()
    ids = []
    for position, wish in enumerate(wishes, 1):
        base = _NOT_ALPHANUMERIC.sub("", wish)[:_ID_LENGTH]
        if not base:
            base = "b" + hashlib.sha256(wish.encode("utf-8", "surrogatepass")).hexdigest()[:12]
        chosen = base
        # Numbers run on from the position: at most one round per button taken before.
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
    binding: Binding,
    text: str = "",
    custom: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[dict[str, Any]]:
    """The list for `props.attachments`: one attachment per row, the first with `text`, menus last.

    Empty for no buttons and menus. `fallback` is what notifications and old clients show. `custom` holds, by
    `Button.id` or `Menu.id`, what goes into that one's context besides.
    """
    own = custom or {}
    wishes = [button.id or button.value or button.label for row in rows for button in row]
    ids = iter(action_ids([*wishes, *(menu.id or menu.label for menu in menus)]))
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


def context(action_id: str, binding: Binding, custom: Mapping[str, Any]) -> dict[str, Any]:
    """The unsigned context of one action; what the gateway checks can't be overridden by `custom`."""
    bound: dict[str, Any] = {ACTION_ID: action_id}
    if binding.channel_id:
        bound[CHANNEL_ID] = binding.channel_id
    if binding.nonce:
        bound[NONCE] = binding.nonce
    if binding.expires_at:
        bound[EXPIRES_AT] = binding.expires_at
    return {**binding.extra, **custom, **bound}


def _action(
    action_id: str, kind: str, name: str, bot_token: str, binding: Binding, custom: Mapping[str, Any]
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
    action_id: str, menu: Menu, bot_token: str, binding: Binding, custom: Mapping[str, Any]
) -> dict[str, Any]:
    options = [{"text": text, "value": value} for text, value in menu.options]
    return _action(action_id, "select", menu.label, bot_token, binding, custom) | {"options": options}
