"""What the model was told of the conversation so far, against what had been said in it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from attrs import frozen

from oc_trio.agent.port import Message, Role
from tests.simulation.model_output import TOKEN, heads, number_of
from tests.simulation.scenario import EPOCH_MS, Question

if TYPE_CHECKING:
    from tests.simulation.observations import Observations, Owed


@frozen
class Told:
    """A request to the model: the questions that it was to answer, and the numbers of those whose words and whose
    answers it was sent along with them, with how often.
    """

    at: float
    asked: tuple[str, ...]
    questions: frozenset[int]
    answers: Counter[int]


def told_by(at: float, asked: tuple[str, ...], messages: Sequence[Message]) -> Told:
    said = "\n".join(message.text for message in messages if message.role is Role.ASSISTANT)
    heard = "\n".join(message.text for message in messages if message.role is Role.USER)
    answers = Counter(number for head in heads(said) for number in set(map(number_of, head)))
    return Told(at, asked, frozenset(map(number_of, TOKEN.findall(heard))), answers)


def remembered(found: "Observations") -> Iterator[str]:
    """Whoever is asked again in a conversation knows what was asked and answered there, once."""
    if found.plan.has_one_agent:
        return  # two bots answer side by side in it
    for told in found.model.told:
        now = found.town.questions[number_of(told.asked[0])] if told.asked else None
        owed = found.owed.get(now.post.id) if now is not None else None
        if now is None or owed is None:
            continue
        for number in _before(found, told, owed):
            name = f"#{now.number} was asked without what is known of #{number}"
            if number not in told.questions:
                yield f"{name}: its words"
            # The words before the last of a turn's calls may be all of its answer: then they are told again.
            if told.answers[number] not in ((1, 2) if found.model.is_wordy else (1,)):
                yield f"{name}: its answer, {told.answers[number]} times"


def _before(found: "Observations", told: Told, owed: "Owed") -> Iterator[int]:
    """The questions that were answered in the conversation before that turn began, and that nobody took back."""
    for question in found.town.questions:
        other = found.owed.get(question.post.id)
        if other is None or other.session != owed.session or other.turn == owed.turn:
            continue
        is_over = other.state == "delivered" and (other.ended_at - EPOCH_MS) / 1000 < told.at
        is_over = is_over and not found.is_betrayed(other)
        if is_over and not (question.is_command or question.is_deleted or _was_reset(found, question, told.at)):
            yield question.number


def _was_reset(found: "Observations", question: Question, until: float) -> bool:
    """Whether somebody may have begun the conversation anew; when that took effect is not known here."""
    return any(place == question.place and at <= until for at, place in found.town.stops)
