"""Checks the history that the model was sent against what had been said in the conversation."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from attrs import frozen

from oc_trio.agent.port import Message, Role
from tests.simulation.model_output import TOKEN, heads, number_of
from tests.simulation.scenario import EPOCH_MS, Question

if TYPE_CHECKING:
    from tests.simulation.observations import ObligationRow, Observations


@frozen
class ModelRequest:
    """One request to the model: the tokens to be answered, and the numbers of the questions and of the answers in its
    history, these with how often.
    """

    at: float
    asked: tuple[str, ...]
    questions: frozenset[int]
    answers: Counter[int]


def model_request_of(at: float, asked: tuple[str, ...], messages: Sequence[Message]) -> ModelRequest:
    assistant_text = "\n".join(message.text for message in messages if message.role is Role.ASSISTANT)
    user_text = "\n".join(message.text for message in messages if message.role is Role.USER)
    answers = Counter(number for head in heads(assistant_text) for number in set(map(number_of, head)))
    return ModelRequest(at, asked, frozenset(map(number_of, TOKEN.findall(user_text))), answers)


def remembered(observed: "Observations") -> Iterator[str]:
    """A later turn of a conversation is sent every question and answer before it, once."""
    if observed.plan.has_one_agent:
        return  # two bots answer side by side in it
    for request in observed.model.requests:
        now = observed.scenario.questions[number_of(request.asked[0])] if request.asked else None
        obligation = observed.obligations.get(now.post.id) if now is not None else None
        if now is None or obligation is None:
            continue
        for number in _before(observed, request, obligation):
            name = f"#{now.number} was asked without what is known of #{number}"
            if number not in request.questions:
                yield f"{name}: its words"
            # The text before a turn's last tool call may be all of its answer: then the history has it twice.
            if request.answers[number] not in ((1, 2) if observed.model.is_wordy else (1,)):
                yield f"{name}: its answer, {request.answers[number]} times"


def _before(observed: "Observations", request: ModelRequest, obligation: "ObligationRow") -> Iterator[int]:
    """The questions that were answered in the conversation before that turn began, and not deleted or reset."""
    for question in observed.scenario.questions:
        other = observed.obligations.get(question.post.id)
        if other is None or other.session != obligation.session or other.turn == obligation.turn:
            continue
        is_over = other.state == "delivered" and (other.ended_at + observed.plan.skew_ms - EPOCH_MS) / 1000 < request.at
        is_over = is_over and not observed.has_model_fault(other)
        if is_over and not (question.is_command or question.is_deleted or _was_reset(observed, question, request.at)):
            yield question.number


def _was_reset(observed: "Observations", question: Question, until: float) -> bool:
    """Whether somebody may have begun the conversation anew; when that took effect is not known here."""
    return any(place == question.place and at <= until for at, place in observed.scenario.stops)
