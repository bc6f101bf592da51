"""The tools `ask_user` and `offer_buttons`, by which an agent asks people in the conversation of its turn."""

from collections.abc import Mapping
from typing import Any

from oc_trio.agent.port import ToolSpec
from oc_trio.agent.toolbox import Approve, LocalTools, ToolFailed
from oc_trio.classes import frozen
from oc_trio.core.approvals import Approvers
from oc_trio.core.inbound import InboundMessage
from oc_trio.core.ledger import OutboxKind
from oc_trio.core.presentation import BadPresentation, read_buttons
from oc_trio.core.questions import read_question
from oc_trio.errors import MattermostError
from oc_trio.ids import OutboxId
from oc_trio.runtime.delivery.buttons import ButtonMaker
from oc_trio.runtime.delivery.outbox_message import OutboxMessage
from oc_trio.runtime.handlers.questions import ASK_SECONDS, NO_ANSWER, QuestionPlace, Questions
from oc_trio.runtime.tools.asker_places import Asked, askers_of
from oc_trio.runtime.tools.post_names import PostNames

ASK = ToolSpec(
    "ask_user",
    "Ask the people in this conversation a question and wait for the answer. With 2 to 4 options they get buttons.",
    {
        "type": "object",
        "properties": {
            "question": {"type": "string"},
            "options": {"type": "array", "items": {"type": "string"}},
            "free_text": {"type": "boolean", "description": "Whether other answers than the options are welcome."},
        },
        "required": ["question"],
    },
)
OFFER = ToolSpec(
    "offer_buttons",
    "Post a message with buttons. A click comes back later as a message; nothing is waited for.",
    {
        "type": "object",
        "properties": {
            "text": {"type": "string"},
            "buttons": {
                "type": "array",
                "items": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "text": {"type": "string"},
                            "callback_data": {"type": "string"},
                            "style": {"type": "string", "enum": ["default", "primary", "success", "danger"]},
                        },
                        "required": ["text", "callback_data"],
                    },
                },
            },
        },
        "required": ["text", "buttons"],
    },
    side_effects=True,
)


@frozen(eq=False)
class AskTools:
    """One account's; tools and approvals are made for each turn, bound to its conversation."""

    questions: Questions
    buttons: ButtonMaker

    def approval(self, here: InboundMessage, approvers: tuple[str, ...], asked: Asked) -> Approve:
        """Asks in the turn's conversation whether a tool may be called; `approvers` are as configured."""
        return self.questions.approver(_place(here), approvers=lambda: Approvers(approvers, askers_of(asked())))

    def tools(self, here: InboundMessage, names: PostNames) -> LocalTools:
        """Both tools, bound to the turn's conversation."""
        return chat_tools(self.questions, self.buttons, _place(here), names)


def _place(here: InboundMessage) -> QuestionPlace:
    return QuestionPlace(here.session, here.channel_id, here.reply_root)


def chat_tools(
    questions: Questions, buttons: ButtonMaker, place: QuestionPlace, names: PostNames, *, seconds: float = ASK_SECONDS
) -> LocalTools:
    """Both tools for the turn that runs at `place`; give `ask_user` a limit of more than `seconds` in its policy."""
    services = questions.services

    async def ask(arguments: Mapping[str, Any]) -> str:
        try:
            # The name is made of the call, so a turn that is run again waits at the question that is in the channel
            # already.
            question = read_question(await questions.id_for(names.next(ASK.name, arguments)), arguments)
            answer = await questions.ask(question, place, seconds=seconds)
        except (ValueError, MattermostError) as problem:
            raise ToolFailed(str(problem)) from None
        return answer.text if answer is not None else NO_ANSWER

    async def offer(arguments: Mapping[str, Any]) -> str:
        try:
            buttons_shown = read_buttons(arguments["buttons"])
        except BadPresentation as problem:
            raise ToolFailed(str(problem)) from None
        message = OutboxMessage(
            id=OutboxId(names.next(OFFER.name, arguments)),
            channel_id=place.channel_id,
            message="\n\n".join(text for text in (str(arguments["text"]), buttons_shown.text) if text),
            kind=OutboxKind.MESSAGE,
            root_id=place.root_id,
            props=buttons.props(place.channel_id, buttons_shown.rows),
        )
        try:
            # Not until done: the agent can go on without this post, and is told.
            await services.delivery.post_or_abandon(message)
        except MattermostError as problem:
            raise ToolFailed(f"The message could not be posted: {problem}") from None
        return "Posted."

    return LocalTools([(ASK, ask), (OFFER, offer)])
