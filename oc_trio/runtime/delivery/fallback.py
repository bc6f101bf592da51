"""Posts a fallback notice where Mattermost permanently refuses a post.

Without it a post could vanish silently, or block its conversation for ever. A refusal is about the post unless it is
about the bot (401, 403 and 404 with one of Mattermost's error ids). A server that keeps answering 500 to one post is
given time; only when it takes the notice, and then fails at the post once more, is the post at fault. A server that
takes neither has a problem of its own, and the post waits for its end.
"""

from attrs import evolve

from oc_trio.classes import frozen
from oc_trio.core.ledger import OutboxKind, OutboxRow, Outcome, delivered, failed
from oc_trio.errors import MattermostRejected, MattermostUnavailable
from oc_trio.ids import OutboxId, PostId
from oc_trio.mattermost.post_creator import WAS_DELETED
from oc_trio.runtime.delivery.delivery import Delivery
from oc_trio.runtime.delivery.outbox_message import OutboxMessage
from oc_trio.store.explain import FALLBACK_PREFIX

# Answers with status 500 in a row before the notice is tried. Each call repeats its request for two minutes by itself.
MAX_SERVER_ERRORS = 5
# The notice's subject.
ANSWER, MESSAGE = "The answer", "A message"
# Refusals of the bot or of the channel, and not of the text: a notice would meet them as well.
_ABOUT_BOT = (401, 403, 404)


@frozen
class Delivered:
    """The post in the channel; `problem` says why it is the fallback notice. `begun` is the row of the message that
    follows, where it was begun with this one's confirmation.
    """

    post_id: PostId
    problem: str = ""
    begun: OutboxRow | None = None

    @property
    def outcome(self) -> Outcome:
        """How an obligation ends that this post answers."""
        return failed(f"not delivered: {self.problem}", self.post_id) if self.problem else delivered(self.post_id)


def _fallback_of(message: OutboxMessage, subject: str) -> OutboxMessage:
    """Each message has a notice of its own: what became of one says nothing about the next part of an answer."""
    return evolve(
        message,
        id=OutboxId(f"{FALLBACK_PREFIX}{message.id}"),
        message=f"⚠️ {subject} could not be posted here: the server does not take it. The log of the gateway says why.",
        kind=OutboxKind.NOTICE,
        props={},
        file_ids=(),
    )


def original_of(name: OutboxId) -> OutboxId | None:
    """The id of the message whose notice has the id `name`; None where it is no notice's."""
    return OutboxId(name.removeprefix(FALLBACK_PREFIX)) if name.startswith(FALLBACK_PREFIX) else None


async def send_with_fallback(
    delivery: Delivery,
    message: OutboxMessage,
    subject: str = MESSAGE,
    *,
    begun: OutboxRow | None = None,
    following: OutboxMessage | None = None,
    is_repeated: bool = True,
) -> Delivered:
    """Deliver `message` for as long as it takes, or a notice in its place; the same after a restart as before.

    `begun` and `following` are as in `Delivery.post_in_order`. `is_repeated`: an earlier call may have posted a notice.
    Raises MattermostRejected where neither can be posted.
    """
    fallback, state = _fallback_of(message, subject), delivery.retry_state(message.id)
    may_exist = is_repeated and await delivery.exists(fallback.id)
    fallback_post = await delivery.confirmed_post(fallback.id) if may_exist else None
    # Not `retrying`: the post and its notice take turns, and right after the notice the post is tried without a pause.
    while True:
        problem: MattermostRejected | MattermostUnavailable
        try:
            post_id, begun = await delivery.post_in_order(message, begun, following)
        except (MattermostRejected, MattermostUnavailable) as failure:
            # The next try reads the row again.
            problem, begun = failure, None
        else:
            if fallback_post is not None:
                # The post went through after all; beside it the notice would be wrong.
                await delivery.delete_quietly(fallback_post)
            elif may_exist:
                await delivery.retract(fallback.id)
            return Delivered(post_id, begun=begun)
        if isinstance(problem, MattermostRejected):
            return await _on_refusal(delivery, message, fallback, problem)
        state.failed(problem)
        # An ambiguous failure is no evidence: the post may have been created.
        is_at_fault = bool(state.server_errors) and not problem.ambiguous
        if fallback_post is not None and is_at_fault:
            return await _keep_fallback(delivery, message, fallback_post, str(problem))
        # Each time the count is reached, not only the first time: the notice itself may have met a server that was
        # away.
        if fallback_post is None and is_at_fault and state.server_errors % MAX_SERVER_ERRORS == 0:
            may_exist = True
            try:
                fallback_post = await delivery.post(fallback)
            except MattermostRejected as refusal:
                return await _refuse(delivery, message, refusal)
            except MattermostUnavailable:
                pass
        if fallback_post is None or not is_at_fault:
            await state.pause(problem)


async def _keep_fallback(delivery: Delivery, message: OutboxMessage, fallback_post: PostId, why: str) -> Delivered:
    """The notice stays, unless the message's own event came at the last moment: then its post does."""
    why = await delivery.abandon(message.id, why)
    post_id = await delivery.confirmed_post(message.id)
    if post_id is None:
        return Delivered(fallback_post, why)
    await delivery.delete_quietly(fallback_post)
    return Delivered(post_id)


async def _refuse(delivery: Delivery, message: OutboxMessage, refusal: MattermostRejected) -> Delivered:
    """The channel does not even take the notice: the thread is gone, or the bot is not in it. Waiting is useless.

    Raises `refusal`, unless the message's own event came at the last moment.
    """
    await delivery.abandon(message.id, str(refusal))
    post_id = await delivery.confirmed_post(message.id)
    if post_id is None:
        raise refusal
    return Delivered(post_id)


async def _on_refusal(
    delivery: Delivery, message: OutboxMessage, fallback: OutboxMessage, refusal: MattermostRejected
) -> Delivered:
    """Post the notice of a refused post. Raises `refusal` where it is about the bot or the channel, or the notice is
    refused, too.
    """
    # Of a message to a person, the direct channel may be what was refused.
    row = None if message.channel_id else await delivery.store.outbox.get(message.id)
    has_channel = message.channel_id or (row is not None and row.channel_id)
    # A proxy that objects to the text answers without an error id of Mattermost's.
    is_about_bot = refusal.status in _ABOUT_BOT and bool(refusal.code)
    if not has_channel or is_about_bot or refusal.code == WAS_DELETED:
        raise refusal
    try:
        # For as long as it takes: without the notice nobody would ever know.
        return Delivered(await delivery.post_until_done(fallback), str(refusal))
    except MattermostRejected:
        pass
    raise refusal
