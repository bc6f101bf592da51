"""Checks that each answer shows the buttons that it was to have."""

from collections.abc import Iterator

from tests.simulation.model_output import heads
from tests.simulation.observations import Observations


def buttons(observed: Observations) -> Iterator[str]:
    """An answer with buttons shows them, or what was chosen in their place."""
    for trigger, obligation in observed.obligations.items():
        answer_posts = [observed.by_id[post] for post in obligation.posts if post in observed.by_id]
        answered = [head for post in answer_posts for head in heads(post.message)]
        if (
            observed.has_model_fault(obligation)
            or obligation.state != "delivered"
            or not answered
            or any(post.delete_at for post in answer_posts)
        ):
            continue
        if observed.model.offer(answered[-1]) and not any(post.props.get("attachments") for post in answer_posts):
            yield f"the answer to {trigger} lacks its buttons"
