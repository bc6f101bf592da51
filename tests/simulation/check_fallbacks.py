"""What is promised where the server never takes certain texts: words in their place, and nobody else is held up."""

import itertools
from collections import defaultdict
from collections.abc import Iterator

from oc_trio.runtime.conversation.cancel_reason import QUEUE_OVERFLOW
from oc_trio.sandbox import records
from tests.simulation.observations import Observations, Owed, key_of, name_of, overtaken
from tests.simulation.poison_posts import STATUS
from tests.simulation.scenario import EPOCH_MS, Question

_STAND_IN = "⚠️ The answer could not be posted here"
# A model's answer is whole, the weather fair and the gateway there: then nothing is left to wait for.
_PROMPT_SECONDS = 90.0


def stood_in(found: Observations, owed: Owed) -> bool:
    """Whether words stand, for good reason, in the place of an answer."""
    return is_poisoned(found, owed) and any(
        post.message.startswith(_STAND_IN) and (not post.delete_at or post.id in found.town.vandalised)
        for post in (found.by_id[each] for each in owed.posts if each in found.by_id)
    )


def is_poisoned(found: Observations, owed: Owed) -> bool:
    """Whether the server has refused what answers this question, alone or along with others."""
    asked = {question.post.id: question for question in found.town.questions}
    mates = [each for each in found.owed.values() if owed.turn and each.turn == owed.turn]
    questions = [asked[each.trigger] for each in (owed, *mates) if each.trigger in asked]
    return any(_was_refused(found, question) for question in questions)


def is_kept_preview(found: Observations, post: records.Post) -> bool:
    """A preview may stand beside the words that stand in for its answer: it is all that people got to read."""
    turn = key_of(post).rpartition(".d")[0]
    return any(each.turn == turn and is_poisoned(found, each) for each in found.owed.values() if each.state == "failed")


def poisoned(found: Observations) -> Iterator[str]:
    """Stand-ins come in their turn, and other conversations know nothing of them."""
    if found.plan.poison is None:
        return
    asked = {question.post.id: question for question in found.town.questions if not question.is_command}
    sessions: defaultdict[str, list[Owed]] = defaultdict(list)
    for owed in found.owed.values():
        if owed.trigger in asked:
            sessions[owed.session].append(owed)
    for owed_ones in sessions.values():
        # Who is crowded out is told so at once.
        waited = [each for each in owed_ones if each.source != "edit" and each.reason != QUEUE_OVERFLOW]
        said = [each for each in waited if each.state in ("delivered", "failed")]
        for one, other in itertools.pairwise(said):
            if overtaken(one, other, asked):
                yield f"ended out of order: {name_of(asked[one.trigger])} after {name_of(asked[other.trigger])}"
        # While the journal fails nobody is answered, and how long it did is not known here.
        if not (found.plan.has_bad_disk or any(is_poisoned(found, each) for each in owed_ones)):
            yield from _late(found, owed_ones, asked)


def _late(found: Observations, owed_ones: list[Owed], asked: dict[str, Question]) -> Iterator[str]:
    for owed in owed_ones:
        question = asked[owed.trigger]
        said_at = found.model.said_at.get(question.token)
        if owed.state != "delivered" or said_at is None:
            continue
        late = (owed.ended_at - EPOCH_MS) / 1000 - max(said_at, found.house.live_since, found.calm_since)
        if late > _PROMPT_SECONDS:
            yield f"{name_of(question)} was held up for {late:.0f} s"


def _was_refused(found: Observations, question: Question) -> bool:
    mark = STATUS if question.is_command else f"q{question.number}v"
    return any(mark in text for text in found.house.network.refused)
