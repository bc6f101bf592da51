"""Handles button clicks, menu choices and dialogs: verified against the post, authorised, and admitted once.

The order of the checks is that of `core.interactions`. The admission row makes a click single-use: it is written in one
transaction with the obligation, so that a restart neither loses a click nor runs it twice.
"""

from collections.abc import Mapping
from typing import Any

import trio
from attrs import evolve

from oc_trio.classes import frozen
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
from oc_trio.runtime.inbound.request_admission import RequestAdmission
from oc_trio.runtime.people import Caller
from oc_trio.telemetry.log import get_logger

log = get_logger(part="button_clicks")

# Mattermost waits 30 s for the response to a click, and so does the person.
VALIDATE_SECONDS = 10.0


@frozen(eq=False)
class ButtonClickHandler:
    """Answers the callbacks of one account's buttons, menus and dialogs."""

    requests: RequestAdmission
    models: ModelPickerHandler
    questions: Questions

    async def click(self, callback: ButtonCallback) -> Mapping[str, Any]:
        """The JSON response to a click. Raises CallbackRefused with the documented texts, StoreError."""
        services = self.requests.services
        # The post is read from the server: what the caller sends of it may be forged. `used` is left to the admission
        # row, which decides it atomically.
        verified = verify_click(callback, await self._post(callback), now_ms=services.clock.now_ms(), used=False)
        services.health.called_back(services.account, "click")
        if isinstance(verified, Notice):
            return ephemeral_reply(verified.text)
        # The signature proves the button, not the person who clicked: rights may have changed since the post was made.
        caller = await self._caller(callback.user_id, callback.channel_id)
        if not caller.access.allowed:
            services.metrics.admissions.labels(services.account, "denied", caller.access.reason).inc()
            log.info(
                "mattermost: interaction not allowed",
                account=services.account,
                reason=caller.access.reason,
                post=callback.post_id,
                user=callback.user_id,
            )
            return ephemeral_reply(not_allowed(caller.channel_label))
        # The body names whoever it likes; the server knows the user.
        verified = evolve(verified, callback=evolve(verified.callback, user_name=caller.sender.username))
        if is_picker(callback.context):
            return await self.models.click(verified, caller)
        if questions.question_of(callback.context) is not None:
            reply = await self.questions.click(verified, caller.sender)
            if reply is not None:
                return reply
            # The turn that asked has ended, but the choice still means something to the agent.
            return await self._admit(evolve(verified, value=verified.label), caller, question=verified.post.message)
        return await self._admit(verified, caller)

    async def dialog(self, answer: DialogAnswer) -> Mapping[str, Any]:
        """The JSON response to a submitted dialog: empty closes it, an error is shown in it."""
        caller = await self._caller(UserId(answer.user_id), ChannelId(answer.channel_id))
        if not caller.access.allowed:
            return {"error": not_allowed(caller.channel_label)}
        return await self.questions.dialog(answer, caller.sender.username)

    async def _post(self, callback: ButtonCallback) -> Post:
        try:
            with trio.fail_after(VALIDATE_SECONDS):
                return await self.requests.services.api.posts.get(callback.post_id)
        except (MattermostError, trio.TooSlowError) as problem:
            log.warning("mattermost: interaction can't be validated", post=callback.post_id, problem=str(problem))
            # Fails closed: without the server's post there is nothing to compare the click with.
            raise not_validated() from None

    async def _caller(self, user_id: UserId, channel_id: ChannelId) -> Caller:
        try:
            with trio.fail_after(VALIDATE_SECONDS):
                return await self.requests.services.people.resolve(user_id, channel_id, Origin.BUTTON)
        except (MattermostError, trio.TooSlowError) as problem:
            log.warning("mattermost: interaction authorization failed", user=user_id, problem=str(problem))
            raise CallbackRefused(500, "Interaction authorization failed") from None

    async def _admit(self, click: Click, caller: Caller, *, question: str = "") -> Mapping[str, Any]:
        """Admit the click as a message of the post's thread; a second click is told that it was used."""
        requests, post = self.requests, click.post
        route = requests.route(caller, root_id=post.root_id, post_id=post.id)
        text = click_text(click) + (f"\nquestion: {question}" if question else "")
        message = requests.message(
            caller, route, trigger=click.trigger, source=Source.BUTTON, text=text, root_id=post.root_id
        )
        if await requests.admit(message, reason="button") is None:
            return ephemeral_reply(USED)
        log.info(
            "mattermost: interaction accepted",
            account=requests.services.account,
            post=post.id,
            user=caller.sender.user_id,
        )
        return selected_reply(click)
