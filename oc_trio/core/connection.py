"""The state machine of one websocket connection: `_TABLE` below says what each input does in each phase.

It decides about sequence numbers, resuming, when catch-up runs and when the backoff starts again, and it tells a
refused token from a lost network. It owns no socket and no timer: the listener passes inputs to `step` and carries out
the intents that it returns.

    waiting --Woke--> dialing --Opened--> greeting --Greeted / Numbered / PingAnswered--> catching_up --CaughtUp--> live

Everything that goes wrong leads back to waiting with a `Retry`. Facts: tests/contract/README.md.
"""

from collections.abc import Callable
from enum import Enum
from typing import cast

from attrs import evolve, frozen


class ConnectionPhase(Enum):
    """`GREETING`: the socket is open, and nothing is proved yet."""

    WAITING = "waiting"
    DIALING = "dialing"
    GREETING = "greeting"
    CATCHING_UP = "catching_up"
    LIVE = "live"


@frozen
class ResumePoint:
    """Where a lost connection can be taken up: `next_seq` is the number expected next, at least 1.

    0 would be a trap: the server then renumbers what it kept, and says no hello.
    """

    connection_id: str
    next_seq: int


@frozen
class Link:
    """A connection's state. `resume` is worth keeping over a restart; `attempt` counts failures since it was live.

    `lost` says that this connection began with a gap that the catch-up has yet to close.
    """

    phase: ConnectionPhase = ConnectionPhase.WAITING
    resume: ResumePoint | None = None
    asked_resume: bool = False
    attempt: int = 0
    auth_failed: bool = False
    lost: bool = False


@frozen
class Woke:
    """The wait is over, or there never was one: the first dial, a new token."""


@frozen
class Opened:
    """The upgrade succeeded; a refused token shows only later."""


@frozen
class Greeted:
    """`hello` came."""

    connection_id: str


@frozen
class Numbered:
    """Any other event came. `readable` false: its number is known, its content is not; there is nothing to admit."""

    seq: int
    readable: bool = True


@frozen
class PingAnswered:
    """The `ping` action was answered; `refused` when it failed with 401."""

    refused: bool = False


@frozen
class CaughtUp:
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
    """A frame came whose number can't be read."""


Input = Woke | Opened | Greeted | Numbered | PingAnswered | CaughtUp | TokenRefused | Lost | Unreadable


@frozen
class StartCatchUp:
    """Catch up over REST, always; `lost` when the server did not keep the events since the last connection."""

    lost: bool


@frozen
class Admit:
    """Hand the event over."""


@frozen
class Retry:
    """Close what is open, wait by the policy for `attempt` (from 0), then report `Woke`; `auth` has the slow policy."""

    attempt: int
    reason: str
    auth: bool = False


Intent = StartCatchUp | Admit | Retry
Step = tuple[Link, tuple[Intent, ...]]


def step(link: Link, input_: Input) -> Step:
    """The next state and what is to be done, in order; what has no meaning in a phase changes nothing."""
    handler = _TABLE.get((link.phase, type(input_)))
    return (link, ()) if handler is None else handler(link, input_)


def _dial(link: Link, _: Input) -> Step:
    dialing = evolve(link, phase=ConnectionPhase.DIALING, asked_resume=link.resume is not None)
    return dialing, ()


def _opened(link: Link, _: Input) -> Step:
    return evolve(link, phase=ConnectionPhase.GREETING), ()


def _greeted(link: Link, input_: Input) -> Step:
    """A hello: a new queue, whether we asked for it or not."""
    hello = cast("Greeted", input_)
    fresh = evolve(
        link,
        phase=ConnectionPhase.CATCHING_UP,
        resume=ResumePoint(hello.connection_id, 1),
        asked_resume=False,
        auth_failed=False,
        lost=True,
    )
    return fresh, (Admit(), StartCatchUp(lost=True))


def _first_numbered(link: Link, input_: Input) -> Step:
    """An event instead of a hello: resumed, if it is the one we asked for."""
    if not link.asked_resume:
        return _again(link, "event_before_hello", forget=True)
    counted, intents = _numbered(link, input_)
    if counted.phase is ConnectionPhase.WAITING:
        return evolve(counted, resume=None), intents
    return evolve(counted, phase=ConnectionPhase.CATCHING_UP, auth_failed=False), (
        *intents,
        StartCatchUp(lost=link.lost),
    )


def _numbered(link: Link, input_: Input) -> Step:
    event = cast("Numbered", input_)
    if link.resume is None or event.seq != link.resume.next_seq:
        # What is missing can still be had: the server replays its last 128 events from the number we expected.
        return _again(link, "sequence_gap")
    counted = evolve(link, resume=evolve(link.resume, next_seq=event.seq + 1))
    return counted, (Admit(),) if event.readable else ()


def _first_answer(link: Link, input_: Input) -> Step:
    answer = cast("PingAnswered", input_)
    if answer.refused:
        return _auth(link, input_)
    if not link.asked_resume:
        return link, ()  # hello is still due
    return evolve(link, phase=ConnectionPhase.CATCHING_UP, auth_failed=False), (StartCatchUp(lost=link.lost),)


def _answer(link: Link, input_: Input) -> Step:
    return _auth(link, input_) if cast("PingAnswered", input_).refused else (link, ())


def _caught_up(link: Link, _: Input) -> Step:
    return evolve(link, phase=ConnectionPhase.LIVE, attempt=0, asked_resume=False, lost=False), ()


def _auth(link: Link, _: Input) -> Step:
    return _again(link, "auth_failed", forget=True, auth=True)


def _lost(link: Link, input_: Input) -> Step:
    return _again(link, cast("Lost", input_).reason)


def _lost_early(link: Link, input_: Input) -> Step:
    # The server drops a resume whose parameters it can't read right after the upgrade: the same again would loop.
    return _again(link, cast("Lost", input_).reason, forget=link.asked_resume)


def _unreadable(link: Link, _: Input) -> Step:
    return _again(link, "unreadable_frame", forget=True)  # a resume would replay it


def _again(link: Link, reason: str, *, forget: bool = False, auth: bool = False) -> Step:
    # The slow policy counts its own failures: a network that was down before says nothing about the token.
    attempt = link.attempt if auth == link.auth_failed else 0
    waiting = evolve(
        link,
        phase=ConnectionPhase.WAITING,
        resume=None if forget else link.resume,
        asked_resume=False,
        attempt=attempt + 1,
        auth_failed=auth,
    )
    return waiting, (Retry(attempt, reason, auth),)


_Handler = Callable[[Link, Input], Step]
_TABLE: dict[tuple[ConnectionPhase, type[Input]], _Handler] = {
    (ConnectionPhase.WAITING, Woke): _dial,
    (ConnectionPhase.DIALING, Opened): _opened,
    (ConnectionPhase.DIALING, Lost): _lost,
    (ConnectionPhase.DIALING, TokenRefused): _auth,
    (ConnectionPhase.GREETING, Greeted): _greeted,
    (ConnectionPhase.GREETING, Numbered): _first_numbered,
    (ConnectionPhase.GREETING, PingAnswered): _first_answer,
    (ConnectionPhase.GREETING, TokenRefused): _auth,
    (ConnectionPhase.GREETING, Lost): _lost_early,
    (ConnectionPhase.GREETING, Unreadable): _unreadable,
    (ConnectionPhase.CATCHING_UP, Greeted): _greeted,
    (ConnectionPhase.CATCHING_UP, Numbered): _numbered,
    (ConnectionPhase.CATCHING_UP, PingAnswered): _answer,
    (ConnectionPhase.CATCHING_UP, CaughtUp): _caught_up,
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
