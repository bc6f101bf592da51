"""What calls promise beyond what every question is promised: each answer shows the buttons that it was to have."""

from collections.abc import Iterator

from tests.simulation.model_output import heads
from tests.simulation.observations import Observations


def buttons(found: Observations) -> Iterator[str]:
    """Whoever offers a choice shows it, or what was chosen in its place."""
    for trigger, owed in found.owed.items():
        shown = [found.by_id[post] for post in owed.posts if post in found.by_id]
        answered = [head for post in shown for head in heads(post.message)]
        if (
            found.is_betrayed(owed)
            or owed.state != "delivered"
            or not answered
            or any(post.delete_at for post in shown)
        ):
            continue
        if found.model.offer(answered[-1]) and not any(post.props.get("attachments") for post in shown):
            yield f"the answer to {trigger} lacks its buttons"
