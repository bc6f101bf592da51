"""Questions of an agent to people, and approvals of its tool calls: shown as buttons, answered by click or by text.

Up to four options are buttons, more are a menu; without options the answer is free text, as a message or in a dialog.
Who may answer is the access policy; `runtime.handlers.questions` waits for the answer.
"""

import json
from collections.abc import Mapping
from typing import Any

from oc_trio.classes import frozen
from oc_trio.core.json_body import BadJson, read_object
from oc_trio.core.presentation import Menu, Rows
from oc_trio.core.signing import sign_context, verify_context
from oc_trio.core.turn_events import Button
from oc_trio.errors import CallbackRefused

MARK = "oc_question"
QUESTION_ID = "question_id"
OPTION_INDEX = "option_index"

# As many buttons as a message may have (`presentation.MAX_BUTTONS`).
MAX_OPTIONS = 25
# More options than that become a menu; OpenClaw has buttons for as many.
_MAX_BUTTONS = 4
_DIALOG_TITLE = 24  # Mattermost's limit for a dialog's title, in characters

SUBMITTED = "Answer submitted."
ANSWERED = "This question was already answered."
FAILED = "Could not submit the answer. Please try again."
APPROVE, DENY = 0, 1


@frozen
class Question:
    """`id` is unique per account. `free_text` accepts any text as answer; it is always set if there are no options.

    With `clicks_only` no text is an answer, not even an option's label.
    """

    id: str
    text: str
    options: tuple[str, ...] = ()
    free_text: bool = True
    clicks_only: bool = False


@frozen
class Answer:
    """`option` is the index of the chosen option, None for free text; `text` is the answer for the agent."""

    question: str
    text: str
    option: int | None = None


@frozen
class QuestionControls:
    """A question as buttons or a menu: `contexts` by their ids, for `buttons.attachments(custom=)`."""

    rows: Rows
    menus: tuple[Menu, ...]
    contexts: Mapping[str, Mapping[str, Any]]


def read_question(id_: str, arguments: Mapping[str, Any]) -> Question:
    """The question in the arguments of the ask_user tool: `question`, `options` (texts or {label}), `free_text`.

    Raises ValueError with a sentence for the model.
    """
    text = arguments.get("question")
    if not isinstance(text, str) or not text.strip():
        raise ValueError("question is required.")
    given = arguments.get("options") or []
    if not isinstance(given, list):
        raise ValueError("options must be a list of texts.")
    labels = [option.get("label") if isinstance(option, Mapping) else option for option in given]
    if not all(isinstance(label, str) and label.strip() for label in labels):
        raise ValueError("each option must be a text.")
    options = tuple(str(label).strip() for label in labels)
    # One option is no choice.
    if len(options) == 1 or len(options) > MAX_OPTIONS:
        raise ValueError(f"give 2 to {MAX_OPTIONS} options, or none.")
    # A typed answer is compared without case, so options that differ by case alone could not be told apart.
    if len({option.casefold() for option in options}) < len(options):
        raise ValueError("the options must differ.")
    return Question(id_, text.strip(), options, bool(arguments.get("free_text", True)) or not options)


def approval(id_: str, text: str) -> Question:
    """The question whether a tool may be called; `text` is from `core.approvals`. Only its two buttons answer it."""
    return Question(id_, text, ("Approve", "Deny"), free_text=False, clicks_only=True)


def show(question: Question) -> QuestionControls:
    """The question's buttons (ids `question0`, `question1` ...) or, for many options, its menu."""
    base = {MARK: True, QUESTION_ID: question.id}
    if len(question.options) > _MAX_BUTTONS:
        options = tuple((label, str(index)) for index, label in enumerate(question.options))
        return QuestionControls((), (Menu("Choose an answer", options, id="question"),), {"question": base})
    buttons = tuple(Button(label, id=f"question{index}") for index, label in enumerate(question.options))
    contexts = {f"question{index}": {**base, OPTION_INDEX: index} for index in range(len(buttons))}
    return QuestionControls((buttons,) if buttons else (), (), contexts)


def question_of(context: Mapping[str, Any]) -> str | None:
    """The id of the question that a signed context belongs to, or None."""
    id_ = context.get(QUESTION_ID)
    return id_ if context.get(MARK) is True and isinstance(id_, str) else None


def answer_of_click(question: Question, context: Mapping[str, Any], selected: str) -> Answer | None:
    """The answer given by a click; None if it belongs to another question or to no option."""
    if question_of(context) != question.id:
        return None
    index = context.get(OPTION_INDEX)
    if index is None and selected.isascii() and selected.isdigit():
        # Cut, because int() raises for thousands of digits.
        index = int(selected[:4])
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(question.options):
        return None
    return Answer(question.id, question.options[index], index)


def answer_of_text(question: Question, text: str) -> Answer | None:
    """The answer given by a message: an option by its label or its number from 1, else free text if allowed.

    Labels win over numbers, so that options which are numbers can be answered by their label.
    """
    reply = text.strip()
    if not reply or question.clicks_only:
        return None
    bare = reply.rstrip(".!").casefold()
    for index, label in enumerate(question.options):
        if label.casefold() in (bare, reply.casefold()):
            return Answer(question.id, label, index)
    number = reply.rstrip(".)")
    if number.isascii() and number.isdigit() and 1 <= int(number[:4]) <= len(question.options):
        index = int(number[:4]) - 1
        return Answer(question.id, question.options[index], index)
    return Answer(question.id, reply) if question.free_text else None


def dialog_request(
    question: Question, *, trigger_id: str, callback_url: str, channel_id: str, bot_token: str
) -> dict[str, Any]:
    """The body of `POST /actions/dialogs/open` for a free answer; its state is signed like a button's context."""
    state = sign_context(bot_token, {MARK: True, QUESTION_ID: question.id, "channel_id": channel_id})
    # 3,000 characters are Mattermost's limit for a text area.
    element = {"display_name": "Answer", "name": "answer", "type": "textarea", "max_length": 3000}
    return {
        "trigger_id": trigger_id,
        "url": callback_url,
        "dialog": {
            "callback_id": MARK,
            "title": question.text[:_DIALOG_TITLE],
            "introduction_text": question.text,
            "elements": [element],
            "submit_label": "Send",
            "notify_on_cancel": False,
            "state": json.dumps(state),
        },
    }


@frozen
class DialogAnswer:
    """A submitted dialog: the answer, who gave it and where; `cancelled`: it was closed without an answer."""

    answer: Answer
    user_id: str
    channel_id: str
    cancelled: bool = False


def read_dialog(body: bytes, *, bot_token: str) -> DialogAnswer:
    """The answer in the body of a dialog submission. Raises CallbackRefused with the texts of the button endpoint."""
    try:
        payload = read_object(body)
        state = read_object(str(payload.get("state", "")).encode("utf-8", "replace"))
    except BadJson:
        raise CallbackRefused(400, "Invalid request body") from None
    id_ = question_of(state)
    if id_ is None or not verify_context(bot_token, state):
        raise CallbackRefused(403, "Invalid token")
    if state.get("channel_id") != payload.get("channel_id"):
        raise CallbackRefused(403, "Channel mismatch")
    submission, user_id = payload.get("submission"), payload.get("user_id")
    text = submission.get("answer") if isinstance(submission, dict) else None
    cancelled = payload.get("cancelled") is True
    if not isinstance(user_id, str) or not user_id or not (cancelled or isinstance(text, str)):
        raise CallbackRefused(400, "Invalid request body")
    answer = Answer(id_, text.strip() if isinstance(text, str) else "")
    return DialogAnswer(answer, user_id, str(state["channel_id"]), cancelled)
