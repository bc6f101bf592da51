import json
from typing import Any

import pytest

from oc_trio.core.buttons import ButtonBinding, attachments
from oc_trio.core.questions import (
    APPROVE,
    DENY,
    Answer,
    DialogAnswer,
    Question,
    answer_of_click,
    answer_of_text,
    approval,
    dialog_request,
    question_of,
    read_dialog,
    read_question,
    show,
)
from oc_trio.core.signing import sign_context, verify_context
from oc_trio.errors import CallbackRefused

BINDING = ButtonBinding("http://gw")
TOKEN = "test-bot-token"
COLOURS = Question("q1", "Which colour?", ("Red", "Green"))
STRICT = Question("q1", "Which colour?", ("Red", "Green"), free_text=False)
MANY = Question("q2", "Which number?", tuple(str(n) for n in range(10, 20)))


@pytest.mark.parametrize(
    ("arguments", "question"),
    [
        ({"question": " Which colour? ", "options": ["Red", {"label": "Green"}]}, COLOURS),
        ({"question": "Which colour?", "options": ["Red", "Green"], "free_text": False}, STRICT),
        ({"question": "Why?"}, Question("q1", "Why?")),
        ({"question": "Why?", "free_text": False}, Question("q1", "Why?")),
    ],
)
def test_questions_are_read(arguments: dict[str, Any], question: Question) -> None:
    assert read_question("q1", arguments) == question


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({}, "question is required"),
        ({"question": "x", "options": "ab"}, "list of texts"),
        ({"question": "x", "options": [1, 2]}, "must be a text"),
        ({"question": "x", "options": ["a"]}, "2 to 25"),
        ({"question": "x", "options": [str(n) for n in range(26)]}, "2 to 25"),
        ({"question": "x", "options": ["Yes", "yes"]}, "must differ"),
    ],
)
def test_bad_questions_are_explained(arguments: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_question("q1", arguments)


def test_few_options_are_buttons_with_the_documented_context() -> None:
    shown = show(COLOURS)
    (made,) = attachments(shown.rows, shown.menus, bot_token=TOKEN, binding=BINDING, custom=shown.contexts)
    assert [(action["id"], action["name"]) for action in made["actions"]] == [
        ("question0", "Red"),
        ("question1", "Green"),
    ]
    context = made["actions"][1]["integration"]["context"]
    assert (context["oc_question"], context["question_id"], context["option_index"]) == (True, "q1", 1)
    assert verify_context(TOKEN, context)
    assert answer_of_click(COLOURS, context, "") == Answer("q1", "Green", 1)


def test_many_options_are_a_menu() -> None:
    shown = show(MANY)
    (made,) = attachments(shown.rows, shown.menus, bot_token=TOKEN, binding=BINDING, custom=shown.contexts)
    (action,) = made["actions"]
    assert action["type"] == "select"
    chosen = action["options"][3]["value"]
    assert answer_of_click(MANY, action["integration"]["context"], chosen) == Answer("q2", "13", 3)


@pytest.mark.parametrize(
    ("context", "selected"),
    [
        ({"oc_question": True, "question_id": "q9", "option_index": 0}, ""),
        ({"oc_question": True, "question_id": "q1", "option_index": 2}, ""),
        ({"oc_question": True, "question_id": "q1", "option_index": -1}, ""),
        ({"oc_question": True, "question_id": "q1", "option_index": True}, ""),
        ({"oc_question": True, "question_id": "q1"}, "7"),
        ({"oc_question": True, "question_id": "q1"}, "²"),
        ({"oc_question": True, "question_id": "q1"}, ""),
        ({"question_id": "q1", "option_index": 0}, ""),
    ],
)
def test_clicks_that_answer_nothing(context: dict[str, Any], selected: str) -> None:
    assert answer_of_click(COLOURS, context, selected) is None


@pytest.mark.parametrize(
    ("question", "text", "answer"),
    [
        (COLOURS, "red", Answer("q1", "Red", 0)),
        (COLOURS, " Green! ", Answer("q1", "Green", 1)),
        (COLOURS, "2", Answer("q1", "Green", 1)),
        (COLOURS, "2)", Answer("q1", "Green", 1)),
        (COLOURS, "blue, rather", Answer("q1", "blue, rather")),
        (COLOURS, "3", Answer("q1", "3")),
        (COLOURS, "  ", None),
        (STRICT, "blue", None),
        (STRICT, "GREEN", Answer("q1", "Green", 1)),
        (MANY, "12", Answer("q2", "12", 2)),
        (MANY, "1", Answer("q2", "10", 0)),
        (Question("q3", "Why?"), "Because", Answer("q3", "Because")),
    ],
)
def test_answers_by_text(question: Question, text: str, answer: Answer | None) -> None:
    assert answer_of_text(question, text) == answer


@pytest.mark.parametrize("text", ["approve", "1", "yes", "Deny"])
def test_an_approval_takes_clicks_only(text: str) -> None:
    """A sentence in the channel, whoever wrote it, never lets a tool run."""
    question = approval("q5", "rm -r /tmp/x")
    assert answer_of_text(question, text) is None
    shown = show(question)
    answers = [answer_of_click(question, context, "") for context in shown.contexts.values()]
    assert [answer.option for answer in answers if answer] == [APPROVE, DENY]


def submission(**changes: Any) -> bytes:
    """What Mattermost sends for a dialog opened with our request, with changes."""
    request = dialog_request(
        Question("q7", "Why?"), trigger_id="t", callback_url="http://gw", channel_id="c1", bot_token=TOKEN
    )
    payload = {
        "type": "dialog_submission",
        "callback_id": request["dialog"]["callback_id"],
        "state": request["dialog"]["state"],
        "user_id": "u1",
        "channel_id": "c1",
        "team_id": "t1",
        "submission": {"answer": " Because "},
        "cancelled": False,
    }
    return json.dumps({**payload, **changes}).encode()


def test_a_dialog_comes_back_with_its_answer() -> None:
    assert read_dialog(submission(), bot_token=TOKEN) == DialogAnswer(Answer("q7", "Because"), "u1", "c1")
    cancelled = read_dialog(submission(submission=None, cancelled=True), bot_token=TOKEN)
    assert cancelled.cancelled


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{", 400, "Invalid request body"),
        (submission(state="{"), 400, "Invalid request body"),
        (submission(state=json.dumps({"oc_question": True, "question_id": "q7"})), 403, "Invalid token"),
        (
            submission(state=json.dumps(sign_context("other", {"oc_question": True, "question_id": "q"}))),
            403,
            "Invalid",
        ),
        (submission(channel_id="c2"), 403, "Channel mismatch"),
        (submission(submission={"other": 1}), 400, "Invalid request body"),
        (submission(user_id=""), 400, "Invalid request body"),
    ],
)
def test_forged_dialogs_are_refused(body: bytes, status: int, words: str) -> None:
    with pytest.raises(CallbackRefused, match=words) as caught:
        read_dialog(body, bot_token=TOKEN)
    assert caught.value.status_hint == status


def test_other_contexts_are_no_questions() -> None:
    assert question_of({"oc_model_picker": True}) is None
