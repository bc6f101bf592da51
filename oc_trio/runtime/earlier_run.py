"""What an earlier run of a turn left behind: its posts in the channel, and what its agent had said and done."""

from collections.abc import Iterator, Mapping, Sequence

from attrs import field, frozen

from oc_trio.agent.port import Message, Role
from oc_trio.core.draft_view import StreamMode
from oc_trio.core.obligations import OutboxState
from oc_trio.core.preview import DraftState, resumed
from oc_trio.core.turn_events import AgentEvent, TextDelta, ToolEnded, ToolStarted, ToolStatus
from oc_trio.ids import OutboxId
from oc_trio.runtime import transcript
from oc_trio.runtime.kit import AccountKit
from oc_trio.store.turns import Turn


@frozen
class Before:
    """`standing` are the turn's draft posts by number, `events` what the agent did as far as the transcript has it."""

    standing: Mapping[int, DraftState] = field(factory=dict, hash=False)
    events: tuple[AgentEvent, ...] = ()


def draft_id(turn: Turn, number: int) -> OutboxId:
    """The name of a turn's draft number 0, 1, ..."""
    return OutboxId(f"{turn.id}.d{number}")


async def before(kit: AccountKit, turn: Turn) -> Before:
    """What there is to go on with; nothing where the turn begins."""
    if not turn.begun_at:
        return Before()
    events = tuple(_events(transcript.read(await kit.store.transcripts.of_turn(turn.id))))
    if kit.policies.blocks is not None or kit.policies.view.mode is StreamMode.BLOCK:
        return Before(await _posts(kit, turn), events)
    return Before({0: await draft_state(kit, turn)}, events)


async def draft_state(kit: AccountKit, turn: Turn) -> DraftState:
    """The one draft that an earlier run of the turn may have been writing, as far as the journal knows."""
    if turn.draft:
        return resumed(turn.draft)
    row = await kit.store.outbox.get(draft_id(turn, len(turn.drafts))) if turn.begun_at else None
    if row is None or row.state in (OutboxState.QUEUED, OutboxState.DEAD):
        return DraftState()
    if row.post_id is None:
        return DraftState(unsure=True)
    await kit.store.turns.set_draft(turn.id, row.post_id)
    return resumed(row.post_id)


async def _posts(kit: AccountKit, turn: Turn) -> dict[int, DraftState]:
    """Each draft post that stands. One that was in flight is found or made first: it may have no place any more."""
    found: dict[int, DraftState] = {}
    for row in await kit.store.outbox.of_turn(turn.id):
        prefix, _, number = row.id.rpartition(".d")
        if prefix != turn.id or not number.isdecimal():
            continue
        post_id = await kit.delivery.resume(row) if row.state is OutboxState.SENDING else row.post_id
        if post_id is not None:
            found[int(number)] = resumed(post_id)
    return found


def _events(said: Sequence[Message]) -> Iterator[AgentEvent]:
    for message in said:
        if message.role is Role.ASSISTANT:
            if message.text:
                yield TextDelta(message.text)
            for call in message.tool_calls:
                yield ToolStarted(call.id, call.name, call.arguments)
        elif message.role is Role.TOOL:
            yield ToolEnded(message.tool_call_id, "", ToolStatus.COMPLETED, message.text)
