"""The state table of a draft post: none -> draft -> sealed or lost; and what to write next, and when.

`MOVES` is the whole table; nothing leads out of its last two phases. At most one write is in flight; of several texts
only the newest is written. The text comes from `draft_view`, the interval from `pacing`. No I/O and no clock here.

    step = next_step(state, now, interval, rules)
        Create | Edit    state = write_started(state, step), write it, then
                         state = write_ended(state, WriteResult.OK, now, rules, post_id)
        WaitUntil        sleep until then, or until there is a new text
        Idle             wait for a new text
        Finished         stop

The final answer is not written here. These keep a late draft edit from overwriting it: the writer's task is stopped and
joined first (`runtime.task_slot`, the write in flight is shielded), the decided result is in the journal before it is
sent (`store.turns`), and after an edit whose response was lost the post is watched (`runtime.delivery.late_edits`).
"""

from enum import Enum

from attrs import evolve

from oc_trio.classes import frozen
from oc_trio.core.backoff import exponential
from oc_trio.ids import PostId


class DraftPhase(Enum):
    """The state of a draft post. LOST: it can't be edited any more, so the answer is sent as a new post."""

    NONE = "none"
    DRAFT = "draft"
    SEALED = "sealed"
    LOST = "lost"

    @property
    def is_over(self) -> bool:
        return not MOVES[self]


class DraftEvent(Enum):
    """What can happen to a draft post."""

    CREATED = "created"
    EDITED = "edited"
    SEALED = "sealed"
    FAILED = "failed"
    REFUSED = "refused"
    DELETED = "deleted"
    ABANDONED = "abandoned"


MOVES: dict[DraftPhase, dict[DraftEvent, DraftPhase]] = {
    DraftPhase.NONE: {
        DraftEvent.CREATED: DraftPhase.DRAFT,
        DraftEvent.FAILED: DraftPhase.NONE,
        DraftEvent.REFUSED: DraftPhase.LOST,
        DraftEvent.ABANDONED: DraftPhase.LOST,
    },
    DraftPhase.DRAFT: {
        DraftEvent.EDITED: DraftPhase.DRAFT,
        DraftEvent.SEALED: DraftPhase.SEALED,
        DraftEvent.FAILED: DraftPhase.DRAFT,
        DraftEvent.REFUSED: DraftPhase.LOST,
        DraftEvent.DELETED: DraftPhase.LOST,
        DraftEvent.ABANDONED: DraftPhase.LOST,
    },
    # Final: a deletion or a failure after this does not concern the draft any more.
    DraftPhase.SEALED: {},
    DraftPhase.LOST: {},
}


class WriteResult(Enum):
    """How a write ended. REFUSED is a 400 or 403, GONE a 404; UNAVAILABLE can be retried (429, 5xx, network)."""

    OK = "ok"
    REFUSED = "refused"
    GONE = "gone"
    UNAVAILABLE = "unavailable"


@frozen
class Create:
    """Create the post. A retry after UNAVAILABLE must carry the same `pending_post_id`, so that it makes no second."""

    text: str


@frozen
class Edit:
    """Patch the post's message, nothing else."""

    post_id: PostId
    text: str


@frozen
class WaitUntil:
    """Nothing to write before `at`; ask again after any change: a new text, its completion, a deletion."""

    at: float


@frozen
class Idle:
    """Nothing to write until there is a new text, or the write in flight has ended."""


@frozen
class Finished:
    """This draft is never written again; its phase says how it ended."""


Step = Create | Edit | WaitUntil | Idle | Finished


@frozen
class PreviewRules:
    """Seconds and counts. `max_edits` bounds the edits of one post, not counting its last text.

    A failed write is retried after `retry_base`, doubled each time, up to `retry_cap`. A last text is given up after
    `ending_attempts` failures in a row; the answer is then sent as a new post.
    """

    min_chars: int = 1
    # Four minutes at the usual interval; each edit is one more row of the server's history.
    max_edits: int = 200
    retry_base: float = 1.0
    retry_cap: float = 30.0
    # With pauses of 1, 2 and 4 seconds: people wait for this text, and a new post can bring it as well.
    ending_attempts: int = 4


@frozen
class DraftState:
    """One draft post. `written` is what the server is known to show, `wanted` the newest text for it.

    `is_complete`: `wanted` is the last text. `in_flight` is the write that was started and has not ended; `ended_at` is
    when the last one ended. `unsure`: a create ended UNAVAILABLE, so the post may exist although `post_id` is None.
    """

    phase: DraftPhase = DraftPhase.NONE
    post_id: PostId | None = None
    written: str = ""
    wanted: str = ""
    is_complete: bool = False
    in_flight: Create | Edit | None = None
    edits: int = 0
    failures: int = 0
    ended_at: float | None = None
    retry_at: float = 0.0
    unsure: bool = False
    deleted: bool = False

    @property
    def leftover_post(self) -> PostId | None:
        """A draft post that is still in the channel and holds no complete text: an answer in a new post replaces it."""
        return self.post_id if self.phase in (DraftPhase.DRAFT, DraftPhase.LOST) and not self.deleted else None


def resumed(post_id: PostId, written: str = "") -> DraftState:
    """The state of a draft that an interrupted run of the same turn left in the channel."""
    return DraftState(phase=DraftPhase.DRAFT, post_id=post_id, written=written, wanted=written)


def with_text(state: DraftState, text: str, *, may_shrink: bool = False) -> DraftState:
    """The state with `text` as the newest. Ignored after `seal_block`, if empty, and if a prefix of what is shown.

    `may_shrink` allows such a prefix: a status draft (mode `progress`) gets shorter.
    """
    if state.phase.is_over or state.is_complete or not text.strip():
        return state
    # A write in flight counts as shown: it is never taken back.
    shown = state.in_flight.text if state.in_flight else state.written
    if not may_shrink and shown.startswith(text):
        text = shown
    return state if text == state.wanted else evolve(state, wanted=text)


def seal_block(state: DraftState, text: str) -> DraftState:
    """`text` is the complete text of the block; only the first call counts. A post is created if there is none yet,
    however short the text is.

    Only in phase SEALED is it certain that the post holds the text; in phase LOST it does not, or may not.
    """
    if state.phase.is_over or state.is_complete:
        return state
    # What failed before counts no more: this text is worth its own tries, at once.
    state = evolve(state, is_complete=True, wanted=text, retry_at=0.0, failures=0)
    return state if state.in_flight else _sealed_if_shown(state)


def post_deleted(state: DraftState) -> DraftState:
    """Somebody deleted the post: no more edits, the answer is sent as a new post."""
    if state.phase not in (DraftPhase.DRAFT, DraftPhase.LOST):
        return state
    # Of a lost draft, too: what is deleted needs no deletion afterwards.
    return evolve(_moved(state, DraftEvent.DELETED), deleted=True)


def next_step(state: DraftState, now: float, interval: float, rules: PreviewRules) -> Step:
    """What to do now; `interval` is the least time in seconds between the end of a write and the next one."""
    if state.in_flight is not None:
        return Idle()
    if state.phase.is_over:
        return Finished()
    if state.is_complete:
        return WaitUntil(state.retry_at) if now < state.retry_at else _write(state)
    if not state.wanted or state.wanted == state.written:
        return Idle()
    # Only before the post is there: afterwards people look at it.
    if state.phase is DraftPhase.NONE and len(state.wanted) < rules.min_chars:
        return Idle()
    # Each edit is a version in the server's history; the last text is still written, because it is complete.
    if state.edits >= rules.max_edits:
        return Idle()
    at = max(state.retry_at, 0.0 if state.ended_at is None else state.ended_at + interval)
    return WaitUntil(at) if now < at else _write(state)


def write_started(state: DraftState, step: Create | Edit) -> DraftState:
    """The write is about to be sent."""
    assert state.in_flight is None, "never two writes in flight"
    return evolve(state, in_flight=step)


def write_ended(
    state: DraftState, how: WriteResult, now: float, rules: PreviewRules, post_id: PostId | None = None
) -> DraftState:
    """The write in flight has ended at `now`; `post_id` comes with a create that went well."""
    step = state.in_flight
    assert step is not None, "no write is in flight"
    state = evolve(state, in_flight=None, ended_at=now)
    if how is WriteResult.UNAVAILABLE:
        return _failed(state, step, now, rules)
    if how is not WriteResult.OK:
        return evolve(_moved(state, DraftEvent.REFUSED), deleted=state.deleted or how is WriteResult.GONE)
    if isinstance(step, Create):
        assert post_id is not None, "a post that was created has an id"
        # A retried create returns the post that the first try made, which may hold an older text.
        shown = "" if state.unsure else step.text
        state = evolve(_moved(state, DraftEvent.CREATED), post_id=post_id, written=shown, failures=0, retry_at=0.0)
    else:
        state = _moved(state, DraftEvent.EDITED)
        state = evolve(state, written=step.text, failures=0, retry_at=0.0, edits=state.edits + 1)
    return _sealed_if_shown(state)


def _write(state: DraftState) -> Create | Edit:
    return Create(state.wanted) if state.post_id is None else Edit(state.post_id, state.wanted)


def _sealed_if_shown(state: DraftState) -> DraftState:
    """Moves to SEALED without a write if the server already shows the complete text."""
    if not state.is_complete or state.phase is not DraftPhase.DRAFT or state.written != state.wanted:
        return state
    return _moved(state, DraftEvent.SEALED)


def _failed(state: DraftState, step: Create | Edit, now: float, rules: PreviewRules) -> DraftState:
    failures = state.failures + 1
    unsure = state.unsure or isinstance(step, Create)
    # The edit may have been applied although no response came, so what the post shows is unknown now. If `written`
    # stayed, a text equal to the previous one would be skipped as already shown.
    state = evolve(_moved(state, DraftEvent.FAILED), failures=failures, unsure=unsure, written="")
    if state.is_complete and failures >= rules.ending_attempts:
        return _moved(state, DraftEvent.ABANDONED)
    wait = exponential(rules.retry_base, rules.retry_cap, failures - 1)
    return evolve(state, retry_at=now + wait)


def _moved(state: DraftState, event: DraftEvent) -> DraftState:
    """The state after `event` by the table; an event that the table does not have changes nothing."""
    return evolve(state, phase=MOVES[state.phase].get(event, state.phase))
