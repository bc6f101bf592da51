"""The state table of one websocket connection: what each happening does in each phase, in `_TABLE` below.

Owned: numbering, resuming, when catch-up runs, when the backoff starts anew, a refused token apart from a lost
network. Not owned: sockets, timers, tries in flight; a happening is reported, an intent is carried out.

    waiting --Woke--> dialing --Opened--> greeting --Greeted / Numbered / PingAnswered--> catching_up --CaughtUp--> live

Everything that goes wrong leads back to waiting with a `Retry`. Facts: tests/contract/README.md.
"""

from collections.abc import Callable
from enum import Enum
from typing import cast

from attrs import evolve, frozen


class Phase(Enum):
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

    phase: Phase = Phase.WAITING
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
class CatchUp:
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


Intent = CatchUp | Admit | Retry
Step = tuple[Link, tuple[Intent, ...]]


def step(link: Link, happening: Input) -> Step:
    """The next state and what is to be done, in order; what has no meaning in a phase changes nothing."""
    handler = _TABLE.get((link.phase, type(happening)))
    return (link, ()) if handler is None else handler(link, happening)


def _dial(link: Link, _: Input) -> Step:
    dialing = evolve(link, phase=Phase.DIALING, asked_resume=link.resume is not None)
    return dialing, ()


def _opened(link: Link, _: Input) -> Step:
    return evolve(link, phase=Phase.GREETING), ()


def _greeted(link: Link, happening: Input) -> Step:
    """A hello: a new queue, whether we asked for it or not."""
    hello = cast("Greeted", happening)
    fresh = evolve(
        link,
        phase=Phase.CATCHING_UP,
        resume=ResumePoint(hello.connection_id, 1),
        asked_resume=False,
        auth_failed=False,
        lost=True,
    )
    return fresh, (Admit(), CatchUp(lost=True))


def _first_numbered(link: Link, happening: Input) -> Step:
    """An event instead of a hello: resumed, if it is the one we asked for."""
    if not link.asked_resume:
        return _again(link, "event_before_hello", forget=True)
    counted, intents = _numbered(link, happening)
    if counted.phase is Phase.WAITING:
        return evolve(counted, resume=None), intents
    return evolve(counted, phase=Phase.CATCHING_UP, auth_failed=False), (*intents, CatchUp(lost=link.lost))


def _numbered(link: Link, happening: Input) -> Step:
    event = cast("Numbered", happening)
    if link.resume is None or event.seq != link.resume.next_seq:
        # What is missing can still be had: the server replays its last 128 events from the number we expected.
        return _again(link, "sequence_gap")
    counted = evolve(link, resume=evolve(link.resume, next_seq=event.seq + 1))
    return counted, (Admit(),) if event.readable else ()


def _first_answer(link: Link, happening: Input) -> Step:
    answer = cast("PingAnswered", happening)
    if answer.refused:
        return _auth(link, happening)
    if not link.asked_resume:
        return link, ()  # hello is still due
    return evolve(link, phase=Phase.CATCHING_UP, auth_failed=False), (CatchUp(lost=link.lost),)


def _answer(link: Link, happening: Input) -> Step:
    return _auth(link, happening) if cast("PingAnswered", happening).refused else (link, ())


def _caught_up(link: Link, _: Input) -> Step:
    return evolve(link, phase=Phase.LIVE, attempt=0, asked_resume=False, lost=False), ()


def _auth(link: Link, _: Input) -> Step:
    return _again(link, "auth_failed", forget=True, auth=True)


def _lost(link: Link, happening: Input) -> Step:
    return _again(link, cast("Lost", happening).reason)


def _lost_early(link: Link, happening: Input) -> Step:
    # The server drops a resume whose parameters it can't read right after the upgrade: the same again would loop.
    return _again(link, cast("Lost", happening).reason, forget=link.asked_resume)


def _unreadable(link: Link, _: Input) -> Step:
    return _again(link, "unreadable_frame", forget=True)  # a resume would replay it


def _again(link: Link, reason: str, *, forget: bool = False, auth: bool = False) -> Step:
    # The slow policy counts its own failures: a network that was down before says nothing about the token.
    attempt = link.attempt if auth == link.auth_failed else 0
    waiting = evolve(
        link,
        phase=Phase.WAITING,
        resume=None if forget else link.resume,
        asked_resume=False,
        attempt=attempt + 1,
        auth_failed=auth,
    )
    return waiting, (Retry(attempt, reason, auth),)


_Handler = Callable[[Link, Input], Step]
_TABLE: dict[tuple[Phase, type[Input]], _Handler] = {
    (Phase.WAITING, Woke): _dial,
    (Phase.DIALING, Opened): _opened,
    (Phase.DIALING, Lost): _lost,
    (Phase.DIALING, TokenRefused): _auth,
    (Phase.GREETING, Greeted): _greeted,
    (Phase.GREETING, Numbered): _first_numbered,
    (Phase.GREETING, PingAnswered): _first_answer,
    (Phase.GREETING, TokenRefused): _auth,
    (Phase.GREETING, Lost): _lost_early,
    (Phase.GREETING, Unreadable): _unreadable,
    (Phase.CATCHING_UP, Greeted): _greeted,
    (Phase.CATCHING_UP, Numbered): _numbered,
    (Phase.CATCHING_UP, PingAnswered): _answer,
    (Phase.CATCHING_UP, CaughtUp): _caught_up,
    (Phase.CATCHING_UP, TokenRefused): _auth,
    (Phase.CATCHING_UP, Lost): _lost,
    (Phase.CATCHING_UP, Unreadable): _unreadable,
    (Phase.LIVE, Greeted): _greeted,
    (Phase.LIVE, Numbered): _numbered,
    (Phase.LIVE, PingAnswered): _answer,
    (Phase.LIVE, TokenRefused): _auth,
    (Phase.LIVE, Lost): _lost,
    (Phase.LIVE, Unreadable): _unreadable,
}
