"""Checks the texts of answers: whole, in order, and no part twice, in one post or in many blocks."""

import itertools
from collections.abc import Iterator

from oc_trio.core.final_plan import INTERRUPTED, STOPPED
from oc_trio.sandbox import records
from tests.simulation.model_output import heads
from tests.simulation.observations import Observations, key_of, squeezed, words_of


def texts(observed: Observations) -> Iterator[str]:
    """The last write to each answer is its whole text."""
    for trigger, obligation in observed.obligations.items():
        answer_posts = [observed.by_id[post] for post in obligation.posts if post in observed.by_id]
        if (
            obligation.state != "delivered"
            or not answer_posts
            or any(post.delete_at for post in answer_posts)
            or observed.has_model_fault(obligation)
        ):
            continue
        text = "\n".join(words_of(post) for post in answer_posts)
        if not heads(text):
            continue
        # A wordy turn that hears of another question answers it behind the first one, once.
        wanted = "\n".join(observed.model.answer(head) for head in dict.fromkeys(heads(text)))
        if squeezed(text) != squeezed(wanted):
            yield f"the last text of {trigger} is not its answer: {_parting(text, wanted)}"


def blocks(observed: Observations) -> Iterator[str]:
    """The posts of an answer are in its order, no part of it is there twice, and only the last one carries a mark."""
    for trigger, obligation in observed.obligations.items():
        answer_posts = [observed.by_id[post] for post in obligation.posts if post in observed.by_id]
        if any(one.create_at > other.create_at for one, other in itertools.pairwise(answer_posts)):
            yield f"the posts of {trigger} don't stand in the order of the answer"
        answer_posts = [post for post in answer_posts if not post.delete_at]
        for post in answer_posts[:-1]:
            if post.message.endswith((STOPPED, INTERRUPTED)):
                yield f"a block of {trigger} that is not its last one carries a mark: {post.message[-60:]!r}"
        if observed.has_model_fault(obligation):
            continue
        begun = [head for post in answer_posts for head in heads(post.message)]
        if obligation.state == "cancelled" and begun:
            yield from _in_part(trigger, [squeezed(words_of(post)) for post in answer_posts], observed, begun)


def _in_part(trigger: str, texts: list[str], observed: Observations, begun: list[tuple[str, ...]]) -> Iterator[str]:
    whole, at = squeezed("".join(observed.model.answer(head) for head in begun)), 0
    for text in texts:
        place = whole.find(text, at)
        if place < 0:
            yield f"what stands of {trigger} is not a part of its answer, once and in order: {text[-80:]!r}"
            return
        at = place + len(text)


def is_block_of_the_withdrawn(observed: Observations, post: records.PostRecord) -> bool:
    """A completed block stays, whatever becomes of its question while nobody listens."""
    turn, mark, _ = key_of(post).rpartition(".d")
    obligations = [each for each in observed.obligations.values() if each.turn == turn]
    has_blocks = observed.plan.mode == "block" or observed.plan.has_blocks
    return has_blocks and bool(mark and obligations) and all(each.state == "cancelled" for each in obligations)


def _parting(text: str, wanted: str) -> str:
    """Where two texts part, for the reader of a failure."""
    ones, others = text.split(), wanted.split()
    pairs = itertools.zip_longest(ones, others)
    at = max(0, next((at for at, (one, other) in enumerate(pairs) if one != other), 0) - 3)
    return f"word {at} on {' '.join(ones[at : at + 14])!r}, wanted {' '.join(others[at : at + 14])!r}"
