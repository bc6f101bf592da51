"""Makes buttons for an account's posts: signed, bound to their channel, valid for one click and a limited time."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from oc_trio.classes import frozen
from oc_trio.core.buttons import ButtonBinding, attachments
from oc_trio.core.presentation import BadPresentation, Menu, Rows
from oc_trio.ids import ChannelId
from oc_trio.runtime.clock import Clock

# A week: longer than a weekend, and a forgotten button does not start something months later.
LIFETIME_MS = 7 * 86_400_000

# For the system prompt of agents whose account has the capability `inlineButtons`.
PROMPT = (
    "You can offer buttons below a message with the tool offer_buttons: rows of objects with text, callback_data and "
    "style (default, primary, success or danger). A click comes back as a message that names the label and the "
    "callback_data. Use buttons for short, clear choices."
)


# Makes the props of a post with buttons, "" where nobody could receive a click.
ButtonProps = Callable[[ChannelId, Rows], str]


class ButtonsRefused(BadPresentation):
    """Buttons would be posted where nobody receives their clicks; str() is a sentence."""


NO_LISTENER = (
    "Buttons can't be posted: the gateway listens for no clicks. Set channels.mattermost.capabilities = "
    '["inlineButtons"], and interactions.callbackBaseUrl to an address by which Mattermost reaches the gateway.'
)


@frozen(eq=False)
class ButtonMaker:
    """`url` is where Mattermost delivers this account's clicks; `has_listener` says whether anything listens there."""

    bot_token: Callable[[], str]
    url: str
    clock: Clock
    has_listener: Callable[[], bool] = lambda: True

    def props(
        self,
        channel_id: ChannelId,
        rows: Rows,
        menus: tuple[Menu, ...] = (),
        *,
        single_use: bool = True,
        lifetime_ms: int = LIFETIME_MS,
        text: str = "",
        extra: Mapping[str, Any] | None = None,
        custom: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> dict[str, Any]:
        """The props of a post that shows them; empty for no buttons. Raises ButtonsRefused."""
        if not (rows or menus):
            return {}
        if not self.has_listener():
            raise ButtonsRefused(NO_LISTENER)
        binding = ButtonBinding(
            self.url,
            channel_id=channel_id,
            # The click handler remembers used nonces; without one, a button can be clicked again and again.
            nonce=self.clock.new_id() if single_use else "",
            expires_at=self.clock.now_ms() + lifetime_ms,
            extra=dict(extra or {}),
        )
        # The token is asked for now, not kept: it may have been replaced since the gateway started.
        items = attachments(rows, menus, bot_token=self.bot_token(), binding=binding, text=text, custom=custom)
        return {"attachments": items} if items else {}

    def final_props(self, channel_id: ChannelId, rows: Rows) -> str:
        """As `props`, as JSON for a turn's result; empty for no buttons, and where nobody listens for clicks."""
        props = self.props(channel_id, rows) if self.has_listener() else {}
        return json.dumps(props, ensure_ascii=False, separators=(",", ":")) if props else ""
