"""The state table of a draft post: none -> draft -> sealed or lost; and what to write next, and when.

`MOVES` is the whole table; nothing leads out of its last two phases. At most one write is in flight; the newest text
wins. The words themselves come from `draft_view`, the interval from `pacing`; this module does neither I/O nor time.

    step = next_step(state, now, interval, rules)       Create | Edit: write it, under `begun`, then `wrote`
    state = begun(state, step)                          WaitUntil: sleep, or until there is news
    state = wrote(state, Wrote.OK, now, rules, ...)     Idle: wait for news;  Settled: over

The final answer is not written here. What keeps a late draft edit off it: the writer's task is stopped and joined
first (`runtime.task_slot`, with the write in flight shielded), the decided end is in the journal before it is sent
(`store.turns`), and an edit whose answer was lost is watched for afterwards (`runtime.delivery.late_edits`).
"""

from enum import Enum

from attrs import evolve, frozen

from oc_trio.core.backoff import exponential
from oc_trio.ids import PostId


class Phase(Enum):
    """Where a draft stands. LOST: its post can't be written any more, the answer goes out fresh."""

    NONE = "none"
    DRAFT = "draft"
    SEALED = "sealed"
    LOST = "lost"

    @property
    def is_over(self) -> bool:
        return not MOVES[self]


class Happening(Enum):
    """What can happen to a draft post."""

    CREATED = "created"
    EDITED = "edited"
    SEALED = "sealed"
    FAILED = "failed"
    REFUSED = "refused"
    DELETED = "deleted"
    ABANDONED = "abandoned"


MOVES: dict[Phase, dict[Happening, Phase]] = {
    Phase.NONE: {
        Happening.CREATED: Phase.DRAFT,
        Happening.FAILED: Phase.NONE,
        Happening.REFUSED: Phase.LOST,
        Happening.ABANDONED: Phase.LOST,
    },
    Phase.DRAFT: {
        Happening.EDITED: Phase.DRAFT,
        Happening.SEALED: Phase.SEALED,
        Happening.FAILED: Phase.DRAFT,
        Happening.REFUSED: Phase.LOST,
        Happening.DELETED: Phase.LOST,
        Happening.ABANDONED: Phase.LOST,
    },
    Phase.SEALED: {},
    Phase.LOST: {},
}


class Wrote(Enum):
    """How a write ended. REFUSED is 400 or 403, GONE 404; UNAVAILABLE may be tried again (429, 5xx, network)."""

    OK = "ok"
    REFUSED = "refused"
    GONE = "gone"
    UNAVAILABLE = "unavailable"


@frozen
class Create:
    """Create the post. A repeat after UNAVAILABLE must carry the same `pending_post_id`."""

    text: str


@frozen
class Edit:
    """Patch the post's message, nothing else."""

    post_id: PostId
    text: str


@frozen
class WaitUntil:
    """Nothing to write before `at`; news (a text, its completion, a deletion) is a reason to ask again."""

    at: float


@frozen
class Idle:
    """Nothing to write until there is news: of a text, or of the write in flight."""


@frozen
class Settled:
    """This draft will never be written again; its phase says how it ended."""


Step = Create | Edit | WaitUntil | Idle | Settled


@frozen
class PreviewRules:
    """Seconds and counts. `max_edits` bounds the edits of one post, not counting its last text.

    A write that fails for a while is tried again after `retry_base` doubled each time, up to `retry_cap`; a last text
    is given up after `ending_attempts` failures in a row, so that the answer goes out fresh.
    """

    min_chars: int = 1
    max_edits: int = 300
    retry_base: float = 1.0
    retry_cap: float = 30.0
    ending_attempts: int = 4


@frozen
class DraftState:
    """One draft post. `written` is what the server is known to show, `wanted` the newest text for it.

    `is_complete` once `wanted` is the last text; `in_flight` is the write that was begun and has not ended; `ended_at`
    when the last one ended. `unsure` is true once a create ended UNAVAILABLE: such a post may exist although `post_id`
    is None.
    """

    phase: Phase = Phase.NONE
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
    def lingers(self) -> PostId | None:
        """A draft post that still stands although it is no answer and no sealed text: what a fresh answer replaces."""
        return self.post_id if self.phase in (Phase.DRAFT, Phase.LOST) and not self.deleted else None


def resumed(post_id: PostId, written: str = "") -> DraftState:
    """The state of a draft that an earlier, interrupted turn left behind."""
    return DraftState(phase=Phase.DRAFT, post_id=post_id, written=written, wanted=written)


def wants(state: DraftState, text: str, *, may_shrink: bool = False) -> DraftState:
    """`text` is the newest. Ignored: after `seal_block`, empty text, and a mere beginning of what is shown.

    A status draft (mode `progress`) may shrink.
    """
    if state.phase.is_over or state.is_complete or not text.strip():
        return state
    shown = state.in_flight.text if state.in_flight else state.written
    if not may_shrink and shown.startswith(text):
        text = shown
    return state if text == state.wanted else evolve(state, wanted=text)


def seal_block(state: DraftState, text: str) -> DraftState:
    """The last text of a block that is complete; the first such text wins. Without a post one is created, however
    short the text is.

    Only phase SEALED says that the post holds the text; after LOST it does not, or not for sure.
    """
    if state.phase.is_over or state.is_complete:
        return state
    state = evolve(state, is_complete=True, wanted=text, retry_at=0.0, failures=0)
    return state if state.in_flight else _sealed_if_shown(state)


def post_deleted(state: DraftState) -> DraftState:
    """Somebody deleted the post: no more edits, the answer goes out fresh."""
    if state.phase not in (Phase.DRAFT, Phase.LOST):
        return state
    return evolve(_moved(state, Happening.DELETED), deleted=True)


def next_step(state: DraftState, now: float, interval: float, rules: PreviewRules) -> Step:
    """What to do now; `interval` is the least time in seconds between the end of a write and the next one."""
    if state.in_flight is not None:
        return Idle()
    if state.phase.is_over:
        return Settled()
    if state.is_complete:
        return WaitUntil(state.retry_at) if now < state.retry_at else _write(state)
    if not state.wanted or state.wanted == state.written:
        return Idle()
    if state.phase is Phase.NONE and len(state.wanted) < rules.min_chars:
        return Idle()
    if state.edits >= rules.max_edits:
        return Idle()
    at = max(state.retry_at, 0.0 if state.ended_at is None else state.ended_at + interval)
    return WaitUntil(at) if now < at else _write(state)


def begun(state: DraftState, step: Create | Edit) -> DraftState:
    """The write is about to be sent."""
    assert state.in_flight is None, "never two writes in flight"
    return evolve(state, in_flight=step)


def wrote(state: DraftState, how: Wrote, now: float, rules: PreviewRules, post_id: PostId | None = None) -> DraftState:
    """The write in flight has ended at `now`; `post_id` comes with a create that went well."""
    step = state.in_flight
    assert step is not None, "no write is in flight"
    state = evolve(state, in_flight=None, ended_at=now)
    if how is Wrote.UNAVAILABLE:
        return _failed(state, step, now, rules)
    if how is not Wrote.OK:
        return evolve(_moved(state, Happening.REFUSED), deleted=state.deleted or how is Wrote.GONE)
    if isinstance(step, Create):
        assert post_id is not None, "a post that was created has an id"
        # A repeated create is answered with the post that the first one made, and so perhaps with the first text.
        shown = "" if state.unsure else step.text
        state = evolve(_moved(state, Happening.CREATED), post_id=post_id, written=shown, failures=0, retry_at=0.0)
    else:
        state = _moved(state, Happening.EDITED)
        state = evolve(state, written=step.text, failures=0, retry_at=0.0, edits=state.edits + 1)
    return _sealed_if_shown(state)


def _write(state: DraftState) -> Create | Edit:
    return Create(state.wanted) if state.post_id is None else Edit(state.post_id, state.wanted)


def _sealed_if_shown(state: DraftState) -> DraftState:
    """A block whose text is on the server already needs no write."""
    if not state.is_complete or state.phase is not Phase.DRAFT or state.written != state.wanted:
        return state
    return _moved(state, Happening.SEALED)


def _failed(state: DraftState, step: Create | Edit, now: float, rules: PreviewRules) -> DraftState:
    failures = state.failures + 1
    unsure = state.unsure or isinstance(step, Create)
    # The edit may have been applied although no answer came, so what the post shows is not known any more: without
    # this, an answer equal to the text before would be taken for shown.
    state = evolve(_moved(state, Happening.FAILED), failures=failures, unsure=unsure, written="")
    if state.is_complete and failures >= rules.ending_attempts:
        return _moved(state, Happening.ABANDONED)
    wait = exponential(rules.retry_base, rules.retry_cap, failures - 1)
    return evolve(state, retry_at=now + wait)


def _moved(state: DraftState, happening: Happening) -> DraftState:
    """The state in the phase that the table names; what the table does not name changes nothing."""
    return evolve(state, phase=MOVES[state.phase].get(happening, state.phase))
