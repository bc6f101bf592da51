"""Checks what is promised where the server never takes certain texts: a fallback, and no delay for other posts."""

import itertools
from collections import defaultdict
from collections.abc import Iterator

from oc_trio.runtime.conversation.cancel_reason import QUEUE_OVERFLOW
from oc_trio.sandbox import records
from tests.simulation.observations import ObligationRow, Observations, key_of, name_of, overtaken
from tests.simulation.poison_posts import STATUS
from tests.simulation.scenario import EPOCH_MS, Question

_FALLBACK = "⚠️ The answer could not be posted here"
# So long an answer may take once the model has finished it, faults are over and the gateway is live.
_PROMPT_SECONDS = 90.0


def has_fallback(observed: Observations, obligation: ObligationRow) -> bool:
    """Whether a fallback was posted in the place of an answer, with good reason."""
    return is_poisoned(observed, obligation) and any(
        post.message.startswith(_FALLBACK) and (not post.delete_at or post.id in observed.scenario.deleted_bot_posts)
        for post in (observed.by_id[each] for each in obligation.posts if each in observed.by_id)
    )


def is_poisoned(observed: Observations, obligation: ObligationRow) -> bool:
    """Whether the server has refused what answers this question, alone or along with others."""
    by_post = {question.post.id: question for question in observed.scenario.questions}
    same_turn = [each for each in observed.obligations.values() if obligation.turn and each.turn == obligation.turn]
    questions = [by_post[each.trigger] for each in (obligation, *same_turn) if each.trigger in by_post]
    return any(_was_refused(observed, question) for question in questions)


def is_kept_preview(observed: Observations, post: records.PostRecord) -> bool:
    """A draft may stay beside the fallback of its answer: it is all that people got to read."""
    turn = key_of(post).rpartition(".d")[0]
    return any(
        each.turn == turn and is_poisoned(observed, each)
        for each in observed.obligations.values()
        if each.state == "failed"
    )


def poisoned(observed: Observations) -> Iterator[str]:
    """Fallbacks come in the order of the questions, and delay no other conversation."""
    if observed.plan.poison is None:
        return
    by_post = {question.post.id: question for question in observed.scenario.questions if not question.is_command}
    sessions: defaultdict[str, list[ObligationRow]] = defaultdict(list)
    for obligation in observed.obligations.values():
        if obligation.trigger in by_post:
            sessions[obligation.session].append(obligation)
    for obligations in sessions.values():
        # People whose message finds no room in the queue are told so at once.
        waited = [each for each in obligations if each.source != "edit" and each.reason != QUEUE_OVERFLOW]
        ended = [each for each in waited if each.state in ("delivered", "failed")]
        for one, other in itertools.pairwise(ended):
            if overtaken(one, other, by_post, observed.plan.skew_ms):
                yield f"ended out of order: {name_of(by_post[one.trigger])} after {name_of(by_post[other.trigger])}"
        # While the journal fails nobody is answered, and how long it did is not known here.
        if not (observed.plan.has_bad_disk or any(is_poisoned(observed, each) for each in obligations)):
            yield from _late(observed, obligations, by_post)


def _late(observed: Observations, obligations: list[ObligationRow], by_post: dict[str, Question]) -> Iterator[str]:
    for obligation in obligations:
        question = by_post[obligation.trigger]
        said_at = observed.model.said_at.get(question.token)
        if obligation.state != "delivered" or said_at is None:
            continue
        late = (obligation.ended_at - EPOCH_MS) / 1000 - max(
            said_at, observed.process.live_since, observed.faults_ended_at
        )
        if late > _PROMPT_SECONDS:
            yield f"{name_of(question)} was held up for {late:.0f} s"


def _was_refused(observed: Observations, question: Question) -> bool:
    mark = STATUS if question.is_command else f"q{question.number}v"
    return any(mark in text for text in observed.process.network.refused)
