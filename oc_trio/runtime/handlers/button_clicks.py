"""Clicks, choices and dialogs of one account: verified against the post, judged like a post, and done once.

The order of the checks is that of `core.interactions`. The admission row is what uses a click up: it is written in one
transaction with the obligation, so that a click is neither lost by a restart nor run twice.
"""

from collections.abc import Mapping
from typing import Any

import trio
from attrs import evolve, frozen

from oc_trio.core import questions
from oc_trio.core.access import Origin
from oc_trio.core.events import Post
from oc_trio.core.interactions import (
    USED,
    ButtonCallback,
    Click,
    Notice,
    click_text,
    ephemeral_reply,
    not_allowed,
    not_validated,
    selected_reply,
    verify_click,
)
from oc_trio.core.ledger import Source
from oc_trio.core.model_picker import is_picker
from oc_trio.core.questions import DialogAnswer
from oc_trio.errors import CallbackRefused, MattermostError
from oc_trio.ids import ChannelId, UserId
from oc_trio.runtime.handlers.model_picker import ModelPickerHandler
from oc_trio.runtime.handlers.questions import Questions
from oc_trio.runtime.handlers.request_context import Caller, RequestContext
from oc_trio.telemetry.log import get_logger

log = get_logger(part="button_clicks")

# Mattermost waits 30 s for the answer to a press; the person waits with it.
VALIDATE_SECONDS = 10.0


@frozen(eq=False)
class ButtonClickHandler:
    """Answers the callbacks of one account's buttons, menus and dialogs."""

    front: RequestContext
    models: ModelPickerHandler
    questions: Questions

    async def click(self, press: ButtonCallback) -> Mapping[str, Any]:
        """The JSON that Mattermost acts on. Raises CallbackRefused in the documented words, StoreError."""
        services = self.front.services
        verified = verify_click(press, await self._post(press), now_ms=services.clock.now_ms(), used=False)
        if isinstance(verified, Notice):
            return ephemeral_reply(verified.text)
        visit = await self._visit(press.user_id, press.channel_id)
        if not visit.access.allowed:
            services.metrics.admissions.labels(services.account, "denied", visit.access.reason).inc()
            log.info("mattermost: interaction not allowed", account=services.account, reason=visit.access.reason)
            return ephemeral_reply(not_allowed(visit.room))
        # The name that the server knows, not the one in the body.
        verified = evolve(verified, press=evolve(verified.press, user_name=visit.sender.username))
        if is_picker(press.context):
            return await self.models.click(verified, visit)
        if questions.question_of(press.context) is not None:
            reply = await self.questions.click(verified, visit.sender)
            if reply is not None:
                return reply
            # The turn that asked is gone; what was chosen is still worth telling the agent.
            return await self._take_in(evolve(verified, value=verified.label), visit, about=verified.post.message)
        return await self._take_in(verified, visit)

    async def dialog(self, given: DialogAnswer) -> Mapping[str, Any]:
        """The JSON that Mattermost shows in the dialog; empty closes it."""
        visit = await self._visit(UserId(given.user_id), ChannelId(given.channel_id))
        if not visit.access.allowed:
            return {"error": not_allowed(visit.room)}
        return await self.questions.dialog(given, visit.sender.username)

    async def _post(self, press: ButtonCallback) -> Post:
        try:
            with trio.fail_after(VALIDATE_SECONDS):
                return await self.front.services.api.posts.get(press.post_id)
        except (MattermostError, trio.TooSlowError) as problem:
            log.warning("mattermost: interaction can't be validated", post=press.post_id, problem=str(problem))
            raise not_validated() from None

    async def _visit(self, user_id: UserId, channel_id: ChannelId) -> Caller:
        try:
            with trio.fail_after(VALIDATE_SECONDS):
                return await self.front.visit(user_id, channel_id, Origin.BUTTON)
        except (MattermostError, trio.TooSlowError) as problem:
            log.warning("mattermost: interaction authorization failed", user=user_id, problem=str(problem))
            raise CallbackRefused(500, "Interaction authorization failed") from None

    async def _take_in(self, click: Click, visit: Caller, *, about: str = "") -> Mapping[str, Any]:
        """Make a message of the click in the session of the post's thread; a second one finds it used."""
        front, post = self.front, click.post
        way = front.route(visit, root_id=post.root_id, post_id=post.id)
        text = click_text(click) + (f"\nquestion: {about}" if about else "")
        message = front.message(
            visit, way, trigger=click.trigger, source=Source.BUTTON, text=text, root_id=post.root_id
        )
        if await front.admit(message, reason="button") is None:
            return ephemeral_reply(USED)
        log.info(
            "mattermost: interaction accepted",
            account=front.services.account,
            post=post.id,
            user=visit.sender.user_id,
        )
        return selected_reply(click)
