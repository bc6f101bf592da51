"""The state table of one websocket connection: what each input does in each phase, in `_TABLE` below.

Decides sequence numbers, resuming, when catch-up runs and when the backoff is reset; a refused token is retried slower
than a lost network. Sockets and timers belong to `mattermost.listener`: it reports inputs and carries out the intents.

    waiting --Woke--> dialing --Opened--> greeting
    greeting --Greeted / Numbered / PingAnswered--> catching_up --CatchUpDone--> live

Every failure leads back to waiting with a `Retry`. Facts: recorded behaviour of a Mattermost 11 server.
"""

from collections.abc import Callable
from enum import Enum
from typing import cast

from attrs import evolve

from oc_trio.classes import frozen


class ConnectionPhase(Enum):
    """`GREETING`: the socket is open, but the server has not yet accepted the token."""

    WAITING = "waiting"
    DIALING = "dialing"
    GREETING = "greeting"
    CATCHING_UP = "catching_up"
    LIVE = "live"


@frozen
class ResumePoint:
    """Where a lost connection can be resumed: `next_seq` is the sequence number expected next, at least 1.

    Never 0: the server would then renumber the events that it kept, and send no hello.
    """

    connection_id: str
    next_seq: int


@frozen
class ConnectionState:
    """`resume` is kept across restarts; `attempt` counts failures since the connection was last live.

    `asked_resume`: the dial asked to resume. `lost`: events are missing that the catch-up still has to fetch.
    """

    phase: ConnectionPhase = ConnectionPhase.WAITING
    resume: ResumePoint | None = None
    asked_resume: bool = False
    attempt: int = 0
    auth_failed: bool = False
    lost: bool = False


@frozen
class Woke:
    """Dial now: the wait is over, this is the first dial, or there is a new token."""


@frozen
class Opened:
    """The HTTP upgrade succeeded; Mattermost checks the token only afterwards."""


@frozen
class Greeted:
    """The `hello` event arrived."""

    connection_id: str


@frozen
class Numbered:
    """Any other event arrived. `readable` false: only its number could be read, so there is nothing to admit."""

    seq: int
    readable: bool = True


@frozen
class PingAnswered:
    """The `ping` action was answered; `refused` when it failed with 401."""

    refused: bool = False


@frozen
class CatchUpDone:
    """The REST catch-up of this connection is done."""


@frozen
class TokenRefused:
    """A REST call of ours was answered with 401."""


@frozen
class Lost:
    """The network failed, the socket closed, or a deadline passed; `reason` is a snake_case word for logs."""

    reason: str


@frozen
class Unreadable:
    """A frame arrived whose sequence number can't be read."""


Input = Woke | Opened | Greeted | Numbered | PingAnswered | CatchUpDone | TokenRefused | Lost | Unreadable


@frozen
class RunCatchUp:
    """Catch up over REST. `lost`: the server no longer has the events since the last connection."""

    lost: bool


@frozen
class Admit:
    """Pass the event on for admission."""


@frozen
class Retry:
    """Close the socket, back off for `attempt` (from 0), then report `Woke`; `auth` chooses the slow policy."""

    attempt: int
    reason: str
    auth: bool = False


Intent = RunCatchUp | Admit | Retry
Step = tuple[ConnectionState, tuple[Intent, ...]]


def step(state: ConnectionState, received: Input) -> Step:
    """The next state and the intents, in order; an input that the table does not have for a phase changes nothing."""
    handler = _TABLE.get((state.phase, type(received)))
    return (state, ()) if handler is None else handler(state, received)


def _dial(state: ConnectionState, _: Input) -> Step:
    dialing = evolve(state, phase=ConnectionPhase.DIALING, asked_resume=state.resume is not None)
    return dialing, ()


def _opened(state: ConnectionState, _: Input) -> Step:
    return evolve(state, phase=ConnectionPhase.GREETING), ()


def _greeted(state: ConnectionState, received: Input) -> Step:
    """A hello means a new event queue, even if we asked to resume the old one."""
    hello = cast("Greeted", received)
    fresh = evolve(
        state,
        phase=ConnectionPhase.CATCHING_UP,
        resume=ResumePoint(hello.connection_id, 1),
        asked_resume=False,
        auth_failed=False,
        lost=True,
    )
    return fresh, (Admit(), RunCatchUp(lost=True))


def _first_numbered(state: ConnectionState, received: Input) -> Step:
    """An event instead of a hello: the server resumed, if this is the number that we asked for."""
    if not state.asked_resume:
        return _retry(state, "event_before_hello", forget=True)
    counted, intents = _numbered(state, received)
    # It resumed at another number than we asked for: asking again would end the same way.
    if counted.phase is ConnectionPhase.WAITING:
        return evolve(counted, resume=None), intents
    return evolve(counted, phase=ConnectionPhase.CATCHING_UP, auth_failed=False), (
        *intents,
        RunCatchUp(lost=state.lost),
    )


def _numbered(state: ConnectionState, received: Input) -> Step:
    event = cast("Numbered", received)
    if state.resume is None or event.seq != state.resume.next_seq:
        # Nothing is lost yet: on a resume the server replays its last 128 events from the number we expected.
        return _retry(state, "sequence_gap")
    counted = evolve(state, resume=ResumePoint(state.resume.connection_id, event.seq + 1))
    return counted, (Admit(),) if event.readable else ()


def _first_answer(state: ConnectionState, received: Input) -> Step:
    answer = cast("PingAnswered", received)
    if answer.refused:
        return _auth(state, received)
    if not state.asked_resume:
        return state, ()  # hello is still to come
    return evolve(state, phase=ConnectionPhase.CATCHING_UP, auth_failed=False), (RunCatchUp(lost=state.lost),)


def _answer(state: ConnectionState, received: Input) -> Step:
    return _auth(state, received) if cast("PingAnswered", received).refused else (state, ())


def _caught_up(state: ConnectionState, _: Input) -> Step:
    return evolve(state, phase=ConnectionPhase.LIVE, attempt=0, asked_resume=False, lost=False), ()


def _auth(state: ConnectionState, _: Input) -> Step:
    return _retry(state, "auth_failed", forget=True, auth=True)


def _lost(state: ConnectionState, received: Input) -> Step:
    return _retry(state, cast("Lost", received).reason)


def _lost_early(state: ConnectionState, received: Input) -> Step:
    # Right after the upgrade the server closes a resume whose parameters it can't read: asking again would loop.
    return _retry(state, cast("Lost", received).reason, forget=state.asked_resume)


def _unreadable(state: ConnectionState, _: Input) -> Step:
    return _retry(state, "unreadable_frame", forget=True)  # a resume would replay the same frame


def _retry(state: ConnectionState, reason: str, *, forget: bool = False, auth: bool = False) -> Step:
    # Token failures are counted apart from network failures: an outage before says nothing about the token.
    attempt = state.attempt if auth == state.auth_failed else 0
    waiting = evolve(
        state,
        phase=ConnectionPhase.WAITING,
        resume=None if forget else state.resume,
        asked_resume=False,
        attempt=attempt + 1,
        auth_failed=auth,
    )
    return waiting, (Retry(attempt, reason, auth),)


_Handler = Callable[[ConnectionState, Input], Step]
_TABLE: dict[tuple[ConnectionPhase, type[Input]], _Handler] = {
    (ConnectionPhase.WAITING, Woke): _dial,
    (ConnectionPhase.DIALING, Opened): _opened,
    (ConnectionPhase.DIALING, Lost): _lost,
    (ConnectionPhase.DIALING, TokenRefused): _auth,
    # After the upgrade Mattermost sends `hello`, or on a resume the next event. If there is no event to replay, only
    # the reply to our ping shows that the token was accepted.
    (ConnectionPhase.GREETING, Greeted): _greeted,
    (ConnectionPhase.GREETING, Numbered): _first_numbered,
    (ConnectionPhase.GREETING, PingAnswered): _first_answer,
    (ConnectionPhase.GREETING, TokenRefused): _auth,
    (ConnectionPhase.GREETING, Lost): _lost_early,
    (ConnectionPhase.GREETING, Unreadable): _unreadable,
    # A second hello means that the server started a new queue within the connection: catch up again.
    (ConnectionPhase.CATCHING_UP, Greeted): _greeted,
    (ConnectionPhase.CATCHING_UP, Numbered): _numbered,
    (ConnectionPhase.CATCHING_UP, PingAnswered): _answer,
    (ConnectionPhase.CATCHING_UP, CatchUpDone): _caught_up,
    (ConnectionPhase.CATCHING_UP, TokenRefused): _auth,
    (ConnectionPhase.CATCHING_UP, Lost): _lost,
    (ConnectionPhase.CATCHING_UP, Unreadable): _unreadable,
    (ConnectionPhase.LIVE, Greeted): _greeted,
    (ConnectionPhase.LIVE, Numbered): _numbered,
    (ConnectionPhase.LIVE, PingAnswered): _answer,
    (ConnectionPhase.LIVE, TokenRefused): _auth,
    (ConnectionPhase.LIVE, Lost): _lost,
    (ConnectionPhase.LIVE, Unreadable): _unreadable,
}
