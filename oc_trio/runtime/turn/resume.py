"""Loads what an earlier run of a turn left: its posts in the channel, and its transcript."""

from collections.abc import Iterator, Mapping, Sequence

from attrs import field

from oc_trio.agent.port import Message, Role
from oc_trio.classes import frozen
from oc_trio.core.ledger import OutboxState
from oc_trio.core.preview import DraftState, resumed
from oc_trio.core.turn_events import AgentEvent, TextDelta, ToolEnded, ToolStarted
from oc_trio.ids import OutboxId, PostId
from oc_trio.runtime.conversation import transcript
from oc_trio.runtime.conversation.context import is_in_prompt, is_in_prompt_verbatim
from oc_trio.runtime.conversation.mailbox import Batch
from oc_trio.runtime.services import AccountServices
from oc_trio.store.turns import Turn


@frozen
class ResumeState:
    """`drafts` are the turn's draft posts by number, `so_far` its transcript, as far as it is still valid.

    Where `so_far` does not begin with a user message, it has completed tool calls only: the messages to be answered
    have to be added to the prompt anew.
    """

    drafts: Mapping[int, DraftState] = field(factory=dict, hash=False)
    so_far: tuple[Message, ...] = ()

    @property
    def events(self) -> tuple[AgentEvent, ...]:
        """The transcript as events of the agent."""
        return tuple(_events(self.so_far))


def draft_id(turn: Turn, number: int) -> OutboxId:
    """The outbox id of a turn's draft number 0, 1, ..."""
    return OutboxId(f"{turn.id}.d{number}")


def user_text(messages: Sequence[Message]) -> str:
    """The text of all user messages in the prompt, in which each post's id stands."""
    return "\n".join(message.text for message in messages if message.role is Role.USER)


async def load_resume_state(services: AccountServices, turn: Turn, batch: Batch) -> ResumeState:
    """What `batch` continues with; empty where the turn is new."""
    if not turn.begun_at:
        return ResumeState()
    so_far = await _valid_transcript(services, turn, batch)
    if services.policies.blocks is not None or services.policies.view.mode.leaves_blocks:
        return ResumeState(await _draft_posts(services, turn), so_far)
    return ResumeState({0: await draft_state(services, turn)}, so_far)


async def _valid_transcript(services: AccountServices, turn: Turn, batch: Batch) -> tuple[Message, ...]:
    """The turn's transcript: nothing of it after an edit of a message; only completed calls after one was withdrawn."""
    so_far = transcript.read(turn.session, await services.store.transcripts.of_turn(turn.id))
    prompt_text = user_text(so_far)
    # The model has read the old wording: what it did since may be an answer to something that nobody asks any more.
    if any(
        is_in_prompt(job.inbound, prompt_text) and not is_in_prompt_verbatim(job.inbound, prompt_text)
        for job in batch.jobs
    ):
        return ()
    answered = {job.obligation.id for job in batch.everyone}
    for obligation_id in turn.obligations:
        obligation = None if obligation_id in answered else await services.store.obligations.get(obligation_id)
        if obligation is not None and obligation.state.is_terminal and obligation.trigger in prompt_text:
            return transcript.tool_calls_only(so_far)
    return so_far


async def draft_state(services: AccountServices, turn: Turn) -> DraftState:
    """The draft that an earlier run of the turn may have been writing, as far as the journal knows."""
    if turn.draft:
        return await _uncertain_draft(services, turn.draft)
    row = await services.store.outbox.get(draft_id(turn, len(turn.drafts))) if turn.begun_at else None
    if row is None or row.state in (OutboxState.QUEUED, OutboxState.DEAD):
        return DraftState()
    if row.post_id is None:
        return DraftState(unsure=True)
    # The process ended between the confirmation of the row and this write.
    await services.store.turns.set_draft(turn.id, row.post_id)
    return await _uncertain_draft(services, row.post_id)


async def _uncertain_draft(services: AccountServices, post_id: PostId) -> DraftState:
    """The state of a draft, which is watched: an edit by the interrupted run may still be on its way."""
    await services.late_edits.edit_uncertain(post_id)
    return resumed(post_id)


async def _draft_posts(services: AccountServices, turn: Turn) -> dict[int, DraftState]:
    """The draft posts that are in the channel, by number. One that was in flight is found or created first."""
    drafts: dict[int, DraftState] = {}
    for row in await services.store.outbox.of_turn(turn.id):
        prefix, _, number = row.id.rpartition(".d")
        if prefix != turn.id or not number.isdecimal():
            continue
        post_id = await services.delivery.resume(row) if row.state is OutboxState.SENDING else row.post_id
        if post_id is not None:
            drafts[int(number)] = await _uncertain_draft(services, post_id)
    return drafts


def _events(messages: Sequence[Message]) -> Iterator[AgentEvent]:
    names: dict[str, str] = {}
    for message in messages:
        if message.role is Role.ASSISTANT:
            if message.text:
                yield TextDelta(message.text)
            for call in message.tool_calls:
                names[call.id] = call.name
                yield ToolStarted(call.id, call.name, call.arguments)
        elif message.role is Role.TOOL:
            call_id = message.tool_call_id
            yield ToolEnded(call_id, names.get(call_id, ""), message.status, message.text, message.detail)
