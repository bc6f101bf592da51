"""The model picker: posts buttons to choose a conversation's model by, and answers the clicks on them.

A choice is admitted as the command `/model NAME`, so that it is made once and survives a restart.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, assert_never

import trio
from attrs import evolve

from oc_trio.classes import frozen
from oc_trio.core.access import COMMAND_NOT_ALLOWED, Access, Origin, denial_text
from oc_trio.core.chat_commands import ChatCommand, ChooseModel, ListModels
from oc_trio.core.inbound import InboundMessage
from oc_trio.core.interactions import Click, ephemeral_reply
from oc_trio.core.ledger import Obligation, OutboxKind, Source
from oc_trio.core.model_picker import Chosen, Denied, Model, Picker, View, parse_model
from oc_trio.errors import MattermostRejected
from oc_trio.ids import ChannelId, SessionKey
from oc_trio.runtime.conversation.mailbox import Job
from oc_trio.runtime.conversation.settings import load_settings
from oc_trio.runtime.delivery.buttons import ButtonMaker
from oc_trio.runtime.delivery.fallback import ANSWER, send_with_fallback
from oc_trio.runtime.delivery.outbox_message import OutboxMessage
from oc_trio.runtime.error_boundary import DEFECT
from oc_trio.runtime.inbound.chat_commands import reply_id
from oc_trio.runtime.inbound.request_admission import RequestAdmission, once
from oc_trio.runtime.people import Caller
from oc_trio.runtime.turn.end_without_agent import settle
from oc_trio.runtime.turn.result import not_delivered
from oc_trio.telemetry.log import get_logger

log = get_logger(part="model_picker")


@frozen(eq=False)
class ModelPickerHandler:
    """One account's pickers; their posts are written by children of `nursery`."""

    requests: RequestAdmission
    buttons: ButtonMaker
    nursery: trio.Nursery

    async def view_for(self, message: InboundMessage, command: ChatCommand | None) -> View | None:
        """The picker's page for `/model` without a name, or `/models`; None where there is nothing to choose from."""
        picker, default = await self._picker(message.session, message.agent, message.user_id)
        if not picker.models:
            return None
        match command:
            case ListModels(provider):
                return picker.page(provider, 1) if provider else picker.providers()
            case ChooseModel():
                return picker.summary(default=default)
            case _:
                return None

    def open(self, obligation: Obligation, message: InboundMessage, view: View) -> None:
        """Post the picker as the answer to `obligation`. Never waits."""
        about = {"post": obligation.trigger}

        async def work() -> None:
            services = self.requests.services
            post_picker = partial(self._open, obligation, message, view)
            if await services.boundary.contain(post_picker, "command", about) is not None:
                await settle(services, [Job(obligation, message)], DEFECT)

        self.nursery.start_soon(work)

    async def _open(self, obligation: Obligation, message: InboundMessage, view: View) -> None:
        services = self.requests.services
        picker_post = OutboxMessage(
            id=reply_id(obligation),
            channel_id=message.channel_id,
            message=view.text,
            kind=OutboxKind.NOTICE,
            root_id=message.reply_root,
            props=self._props(message.channel_id, view),
        )
        try:
            outcome = (await send_with_fallback(services.delivery, picker_post, ANSWER)).outcome
        except MattermostRejected as refusal:
            outcome = not_delivered(refusal)
        await services.store.obligations.close([obligation.id], outcome, services.clock.now_ms())
        services.metrics.obligations.labels(services.account, outcome.state.value).inc()

    async def click(self, click: Click, caller: Caller) -> dict[str, Any]:
        """The response to a click on a picker: the update that the server applies to the post."""
        callback, post, services = click.callback, click.post, self.requests.services
        if not services.policies.may_command(caller.sender.user_id, caller.sender.username):
            # The picker may have been opened before the rules changed.
            return ephemeral_reply(denial_text(Access(False, COMMAND_NOT_ALLOWED), Origin.COMMAND, callback.user_id))
        route = self.requests.route(caller, root_id=post.root_id)
        picker, _ = await self._picker(route.session, route.agent, callback.user_id)
        step = picker.click(callback.context, callback.user_id)
        match step:
            case Denied(text):
                return ephemeral_reply(text)
            case View():
                return self._update(click, step)
            case Chosen(model, page):
                command = ChooseModel(str(model))
                # A click has a trigger id of its own, so a callback that Mattermost repeats is the same choice.
                unique = callback.trigger_id or services.clock.new_id()
                message = self.requests.message(
                    caller,
                    route,
                    trigger=once(f"interaction:{post.id}:select", str(model), unique),
                    source=Source.BUTTON,
                    text=f"/model {model}",
                    root_id=post.root_id,
                )
                await self.requests.admit(message, command, reason="model_chosen")
                return self._update(click, evolve(picker, current=model).page(model.provider, page))
            case _:
                assert_never(step)

    async def _picker(self, session: SessionKey, agent: str, owner: str) -> tuple[Picker, Model | None]:
        services = self.requests.services
        settings = await load_settings(services.store, session)
        default = next((parse_model(name) for key, name in services.agents.primary.items() if key == agent), None)
        models = tuple(model for name in services.agents.models if (model := parse_model(name)) is not None)
        chosen = parse_model(settings.model) if settings.model else None
        return Picker(models, chosen or default, owner, services.policies.command_prefix), default

    def _update(self, click: Click, view: View) -> dict[str, Any]:
        # Props are replaced as a whole, and ours has the key of the post.
        other_props: Mapping[str, Any] = {key: value for key, value in click.post.props.items() if key != "attachments"}
        return {"update": {"message": view.text, "props": {**other_props, **self._props(click.post.channel_id, view)}}}

    def _props(self, channel_id: ChannelId, view: View) -> dict[str, Any]:
        # Not single-use: people page through the same picker. Only its opener may.
        return self.buttons.props(channel_id, view.rows, single_use=False, custom=view.contexts)
