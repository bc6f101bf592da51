"""Ends turns and messages without running an agent, by the journal and the chat server alone.

For turns that nobody waits for any more, for messages that get no turn, and for those that failed by a defect or by
several crashes of the process. Posts that people have read stay.
"""

from collections.abc import Callable, Sequence
from functools import partial

from attrs import evolve

from oc_trio.agent.port import Message, Role
from oc_trio.core.final_plan import STOPPED, interrupted_text, without_mark
from oc_trio.core.ledger import ObligationState, OutboxKind, OutboxState, Outcome, cancelled, failed
from oc_trio.errors import MattermostRejected
from oc_trio.ids import OutboxId, PostId, ThreadRoot, TurnId
from oc_trio.runtime.conversation import transcript
from oc_trio.runtime.conversation.cancel_reason import QUEUE_OVERFLOW
from oc_trio.runtime.conversation.mailbox import Job
from oc_trio.runtime.delivery.fallback import send_with_fallback
from oc_trio.runtime.delivery.outbox_message import OutboxMessage, row_of
from oc_trio.runtime.error_boundary import DEFECT, SORRY
from oc_trio.runtime.services import AccountServices
from oc_trio.runtime.turn.resume import draft_state
from oc_trio.store.notices import notice_id
from oc_trio.store.turns import Turn
from oc_trio.telemetry.log import get_logger

# A message is given up, with a notice, at the third attempt: one whose turn crashes the process would do so for ever.
LAST_ATTEMPT = 3
GAVE_UP = "I could not answer this, after several tries."

log = get_logger(part="turn")


async def settle(services: AccountServices, jobs: Sequence[Job], reason: str) -> None:
    """End the obligations of messages that get no turn (any more). After an overflow of the queue or a defect, one
    notice for all of them is posted. A defect here costs only the notice.
    """

    def about() -> dict[str, object]:
        return {"posts": [job.trigger for job in jobs]}

    if (
        await services.boundary.contain(partial(_settle, services, jobs, reason), "withdrawn messages", about)
        is not None
    ):
        end = partial(record_end, services, jobs, None, failed(DEFECT))
        await services.boundary.contain(end, "withdrawn messages", about)


async def _settle(services: AccountServices, jobs: Sequence[Job], reason: str) -> None:
    outcome = cancelled(reason)
    if reason == QUEUE_OVERFLOW:
        outcome = await _end_with_notice(services, jobs, _crowded_out, reason)
    elif reason == DEFECT:
        outcome = await _end_with_notice(services, jobs, lambda _count: SORRY, reason)
    else:
        await services.store.obligations.close([job.obligation.id for job in jobs], outcome, services.clock.now_ms())
    services.metrics.obligations.labels(services.account, outcome.state.value).inc(len(jobs))
    log.info("withdrawn", account=services.account, posts=[job.trigger for job in jobs], reason=reason)
    # An earlier run may have begun a turn for these messages.
    for turn_id in {job.obligation.turn for job in jobs if job.obligation.turn}:
        turn = await services.store.turns.get(turn_id)
        if turn is not None and not turn.ended_at:
            await end_orphan(services, turn, reason)


def _crowded_out(count: int) -> str:
    what = "A message was" if count == 1 else f"{count} messages were"
    return f"⚠️ {what} left unanswered, because {QUEUE_OVERFLOW}. Please ask again."


async def end_orphan(services: AccountServices, turn: Turn, reason: str) -> bool:
    """End a turn whose obligations have all ended and seal its draft; false where one is still open."""
    for obligation_id in turn.obligations:
        obligation = await services.store.obligations.get(obligation_id)
        if obligation is not None and obligation.state is ObligationState.OPEN:
            return False
    await _seal(services, turn, STOPPED)
    # Else the next turn would take it for a question that is still open.
    await services.store.transcripts.drop_turn(turn.id)
    await services.store.turns.end(turn.id, cancelled(reason), services.clock.now_ms())
    return True


async def give_up(
    services: AccountServices, jobs: Sequence[Job], turn_id: TurnId | None, sentence: str, reason: str
) -> Outcome:
    """End a turn as failed, with `sentence` below the text of its draft, or in a post of its own.

    `turn_id` is None where no turn began.
    """
    turn = await services.store.turns.get(turn_id) if turn_id is not None else None
    if turn is None or turn.ended_at:
        outcome = await _end_with_notice(services, jobs, lambda _count: sentence, reason)
    else:
        draft = await _seal(services, turn, sentence)
        # Not one of the turn's rows: a repetition of this would retract it together with them (see `_seal`).
        message = _notice(jobs[0], _sentence_id(turn), turn.root_id, sentence)
        outcome = failed(reason, draft) if draft else await _post_notice(services, message, reason)
        outcome = evolve(outcome, posts=tuple(dict.fromkeys((*await _confirmed_posts(services, turn), *outcome.posts))))
        await _record_sentence(services, turn, sentence)
        if outcome.posts and turn.root_id and not jobs[0].inbound.is_direct:
            # A reply to this notice needs no mention, as a reply to any answer.
            root, now = ThreadRoot(turn.root_id), services.clock.now_ms()
            await services.store.participation.record(services.account, turn.channel_id, root, now)
    await record_end(services, jobs, turn_id, outcome)
    return outcome


async def was_given_up(services: AccountServices, turn: Turn) -> bool:
    """Whether an earlier run began to post the sentence with which `give_up` ends a turn that has no draft."""
    return await services.store.outbox.get(_sentence_id(turn)) is not None


def _sentence_id(turn: Turn) -> OutboxId:
    return OutboxId(f"{turn.id}.g")


async def record_end(services: AccountServices, jobs: Sequence[Job], turn_id: TurnId | None, outcome: Outcome) -> None:
    """Record the end of a turn and its obligations, and post nothing."""
    now = services.clock.now_ms()
    if turn_id is not None:
        await services.store.turns.end(turn_id, outcome, now)
    await services.store.obligations.close([job.obligation.id for job in jobs], outcome, now)


async def _seal(services: AccountServices, turn: Turn, mark: str) -> PostId | None:
    """Retract posts in flight and end the draft with `mark`; None where there is no draft that can be edited."""
    for row in await services.store.outbox.of_turn(turn.id):
        await services.delivery.retract(row.id)
    draft = (await draft_state(services, turn)).post_id
    if draft is None:
        return None
    try:
        sealed = await services.delivery.rewrite_until_done(
            draft, lambda text: interrupted_text(_without(text, mark), mark)
        )
    except MattermostRejected as problem:
        log.info("a draft could not be sealed", account=services.account, post=draft, problem=str(problem))
        return None
    await services.late_edits.final_written(draft, sealed)
    return draft


async def _confirmed_posts(services: AccountServices, turn: Turn) -> tuple[PostId, ...]:
    """The posts of a turn that are in the channel, such as the first parts of an answer."""
    rows = await services.store.outbox.of_turn(turn.id)
    return tuple(row.post_id for row in rows if row.state is OutboxState.CONFIRMED and row.post_id is not None)


def _without(text: str, mark: str) -> str:
    """The text of a draft without an earlier mark: sealing may be repeated after a restart."""
    return without_mark(text).removesuffix(mark).rstrip()


async def _record_sentence(services: AccountServices, turn: Turn, sentence: str) -> None:
    """Add the sentence to the transcript as the answer; else the next turn would answer the question again."""
    try:
        rows = transcript.read(turn.session, await services.store.transcripts.of_turn(turn.id))
    except (ValueError, KeyError, TypeError):
        await services.store.transcripts.drop_turn(turn.id)  # what can't be read would fail the next turn, too
        return
    if rows and (rows[-1].role is not Role.ASSISTANT or rows[-1].tool_calls):
        entry = Message(Role.ASSISTANT, transcript.last_entry(sentence, rows))
        await services.store.transcripts.append(
            turn.session, turn.id, [transcript.to_json(entry)], services.clock.now_ms()
        )


async def _end_with_notice(
    services: AccountServices, jobs: Sequence[Job], sentence: Callable[[int], str], reason: str
) -> Outcome:
    """End the obligations of messages that have no turn, and post a notice. Both are recorded in one transaction: a
    restart posts the notice and answers none of the messages. `sentence` is for so many messages.
    """
    obligations = services.store.obligations
    # Each time round there are fewer of them, so this comes to an end.
    while True:
        # People may have deleted some while they waited, and may in this moment.
        still_open = await obligations.still_open(job.obligation.id for job in jobs)
        jobs = [job for job in jobs if job.obligation.id in still_open]
        if not jobs:
            return failed(reason)
        first = jobs[0]
        root_id = first.inbound.reply_root or first.inbound.root_id
        message = _notice(first, notice_id(first.obligation.id), root_id, sentence(len(jobs)))
        ids, now = [job.obligation.id for job in jobs], services.clock.now_ms()
        row = row_of(message, services.account, services.delivery.bot_id, now)
        if await obligations.close_with_notice(ids, failed(reason), now, row):
            break
    outcome = await _post_notice(services, message, reason)
    if not outcome.posts:
        await obligations.note_refusal(message.id, outcome.reason)
    return outcome


def _notice(job: Job, name: OutboxId, root_id: str, sentence: str) -> OutboxMessage:
    return OutboxMessage(
        id=name,
        channel_id=job.inbound.channel_id,
        message=sentence,
        kind=OutboxKind.NOTICE,
        root_id=root_id,
        answers=(PostId(job.trigger),),
    )


async def _post_notice(services: AccountServices, message: OutboxMessage, reason: str) -> Outcome:
    try:
        return failed(reason, (await send_with_fallback(services.delivery, message)).post_id)
    except MattermostRejected as refusal:
        return failed(f"{reason}; the notice was refused: {refusal}")
