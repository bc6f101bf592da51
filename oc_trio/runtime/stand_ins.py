"""Words in the place of a post that the server will not take.

Without them an answer could vanish in silence. A refusal is about the post unless it is about us (401, 403, 404). A
server that keeps failing at one post is given time; only when it takes the stand-in meanwhile is the post at fault. A
server that takes neither has a trouble of its own, and whatever it is, the post waits for its end.
"""

from attrs import frozen

from oc_trio.errors import MattermostError, MattermostRejected, MattermostUnavailable
from oc_trio.ids import PostId
from oc_trio.mattermost.sender import WAS_DELETED
from oc_trio.runtime.delivery import Delivery
from oc_trio.runtime.letters import Letter

# Each of these tries is patient for two minutes by itself.
MOST_FAULTS = 5
_ABOUT_US = (401, 403, 404)


@frozen
class Sent:
    """The post that stands; `problem` says why it is the stand-in."""

    post_id: PostId
    problem: str = ""


async def send_or_say(delivery: Delivery, letter: Letter, stand_in: Letter) -> Sent:
    """Deliver `letter` for as long as it takes, or `stand_in` in its place; the same after a restart as before.

    Raises MattermostRejected where neither can be posted.
    """
    tries = delivery.tries(letter.id)
    may_stand = await delivery.knows(stand_in.id)
    said = await delivery.standing(stand_in.id) if may_stand else None
    if said is not None and await delivery.standing(letter.id) is None:
        return Sent(said, await delivery.give_up(letter.id, "the server failed at it"))
    while True:
        problem: MattermostRejected | MattermostUnavailable
        try:
            post_id = await delivery.post(letter)
        except (MattermostRejected, MattermostUnavailable) as failure:
            problem = failure
        else:
            if may_stand:
                await delivery.withdraw(stand_in.id)
            return Sent(post_id)
        if isinstance(problem, MattermostRejected):
            return await _refused(delivery, stand_in, problem)
        tries.failed(problem)
        if tries.faults and tries.faults % MOST_FAULTS == 0 and not problem.ambiguous:
            may_stand = True
            said = await _said(delivery, stand_in)
            if said is not None:
                return Sent(said, await delivery.give_up(letter.id, str(problem)))
        await tries.pause(problem)


async def _refused(delivery: Delivery, stand_in: Letter, refusal: MattermostRejected) -> Sent:
    """The stand-in of a refused post. Raises `refusal` where it is about us, or neither is taken."""
    if refusal.status in _ABOUT_US or refusal.code == WAS_DELETED:
        raise refusal
    said = await _said(delivery, stand_in)
    if said is None:
        await delivery.withdraw(stand_in.id)
        raise refusal
    return Sent(said, str(refusal))


async def _said(delivery: Delivery, stand_in: Letter) -> PostId | None:
    try:
        return await delivery.post(stand_in)
    except MattermostError:
        return None
