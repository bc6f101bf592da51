"""Words in the place of a post that the server will not take.

Without them a post could vanish in silence, or hold its conversation for ever. A refusal is about the post unless it is
about us (401, 403 and 404 in Mattermost's own words). A server that keeps failing at one post is given time; only when
it takes the stand-in, and then fails at the post once more, is the post at fault. A server that takes neither has a
trouble of its own, and whatever it is, the post waits for its end.
"""

from attrs import evolve, frozen

from oc_trio.core.ledger import OutboxKind, Outcome, delivered, failed
from oc_trio.errors import MattermostRejected, MattermostUnavailable
from oc_trio.ids import OutboxId, PostId
from oc_trio.mattermost.post_creator import WAS_DELETED
from oc_trio.runtime.delivery.delivery import Delivery
from oc_trio.runtime.delivery.outbox_message import OutboxMessage
from oc_trio.store.explain import FALLBACK_PREFIX

# Each of these tries is patient for two minutes by itself.
MOST_FAULTS = 5
# What the words begin with.
ANSWER, MESSAGE = "The answer", "A message"
_ABOUT_US = (401, 403, 404)


@frozen
class Delivered:
    """The post that stands; `problem` says why it is the stand-in."""

    post_id: PostId
    problem: str = ""

    @property
    def outcome(self) -> Outcome:
        """How an obligation ends that this post answers."""
        return failed(f"not delivered: {self.problem}", self.post_id) if self.problem else delivered(self.post_id)


def _fallback_of(letter: OutboxMessage, what: str) -> OutboxMessage:
    """Each letter has its own: what became of one says nothing about the next part of an answer."""
    return evolve(
        letter,
        id=OutboxId(f"{FALLBACK_PREFIX}{letter.id}"),
        message=f"⚠️ {what} could not be posted here: the server does not take it. The log of the gateway says why.",
        kind=OutboxKind.NOTICE,
        props={},
        file_ids=(),
    )


def original_of(name: OutboxId) -> OutboxId | None:
    """The letter whose stand-in that name is; None where it has not the form of one."""
    return OutboxId(name.removeprefix(FALLBACK_PREFIX)) if name.startswith(FALLBACK_PREFIX) else None


async def send_with_fallback(delivery: Delivery, letter: OutboxMessage, what: str = MESSAGE) -> Delivered:
    """Deliver `letter` for as long as it takes, or words in its place; the same after a restart as before.

    Raises MattermostRejected where neither can be posted.
    """
    stand_in, tries = _fallback_of(letter, what), delivery.retry_state(letter.id)
    may_stand = await delivery.exists(stand_in.id)
    said = await delivery.confirmed_post(stand_in.id) if may_stand else None
    while True:
        problem: MattermostRejected | MattermostUnavailable
        try:
            post_id = await delivery.post(letter)
        except (MattermostRejected, MattermostUnavailable) as failure:
            problem = failure
        else:
            if said is not None:
                await delivery.delete_quietly(said)
            elif may_stand:
                await delivery.retract(stand_in.id)
            return Delivered(post_id)
        if isinstance(problem, MattermostRejected):
            return await _refused(delivery, letter, stand_in, problem)
        tries.failed(problem)
        is_at_fault = bool(tries.faults) and not problem.ambiguous
        if said is not None and is_at_fault:
            return await _exists(delivery, letter, said, str(problem))
        if said is None and is_at_fault and tries.faults % MOST_FAULTS == 0:
            may_stand = True
            try:
                said = await delivery.post(stand_in)
            except MattermostRejected as refusal:
                return await _closed(delivery, letter, refusal)
            except MattermostUnavailable:
                pass
        if said is None or not is_at_fault:
            await tries.pause(problem)


async def _exists(delivery: Delivery, letter: OutboxMessage, said: PostId, why: str) -> Delivered:
    """The stand-in stands, unless the letter's own event came at the last moment: then that one does."""
    why = await delivery.abandon(letter.id, why)
    standing = await delivery.confirmed_post(letter.id)
    if standing is None:
        return Delivered(said, why)
    await delivery.delete_quietly(said)
    return Delivered(standing)


async def _closed(delivery: Delivery, letter: OutboxMessage, refusal: MattermostRejected) -> Delivered:
    """The place takes not even the words: its thread is gone, or we are not in it. The letter waits for nothing.

    Raises `refusal`, unless the letter's own event came at the last moment.
    """
    await delivery.abandon(letter.id, str(refusal))
    standing = await delivery.confirmed_post(letter.id)
    if standing is None:
        raise refusal
    return Delivered(standing)


async def _refused(
    delivery: Delivery, letter: OutboxMessage, stand_in: OutboxMessage, refusal: MattermostRejected
) -> Delivered:
    """The stand-in of a refused post. Raises `refusal` where it is about us or the place, or neither is taken."""
    # Of a letter to a person the direct channel may be what was refused.
    row = None if letter.channel_id else await delivery.store.outbox.get(letter.id)
    has_place = letter.channel_id or (row is not None and row.channel_id)
    # A proxy that minds the words knows none of Mattermost's error ids.
    is_about_us = refusal.status in _ABOUT_US and bool(refusal.code)
    if not has_place or is_about_us or refusal.code == WAS_DELETED:
        raise refusal
    try:
        # The server being away only delays it: without these words nobody would ever know.
        return Delivered(await delivery.post_until_done(stand_in), str(refusal))
    except MattermostRejected:
        pass
    raise refusal
