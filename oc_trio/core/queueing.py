"""Decides what happens to a message that arrives while its conversation is being answered (`messages.queue`).

Pure: the caller (`runtime.conversation.mailbox`) closes the obligations of messages that a decision drops.
"""

from enum import Enum
from typing import assert_never

from attrs import evolve, field

from oc_trio.classes import frozen


class QueueMode(Enum):
    """STEER passes it to the running agent, FOLLOWUP answers one by one, COLLECT together, INTERRUPT restarts."""

    STEER = "steer"
    FOLLOWUP = "followup"
    COLLECT = "collect"
    INTERRUPT = "interrupt"


class DropRule(Enum):
    """What is dropped if the queue is full; `SUMMARIZE` drops the oldest, and the caller keeps its `summary_line`."""

    OLD = "old"
    NEW = "new"
    SUMMARIZE = "summarize"


@frozen
class QueueRules:
    """`debounce`: seconds that the next turn waits for more messages before it starts."""

    # OpenClaw's defaults.
    mode: QueueMode = QueueMode.STEER
    cap: int = 20
    drop: DropRule = DropRule.SUMMARIZE
    debounce: float = 0.5


@frozen
class QueuedMessage:
    """A message that waits for a turn; `trigger` identifies its obligation."""

    trigger: str
    sender: str
    text: str = field(repr=lambda text: f"<{len(text)} characters>")


@frozen
class Backlog:
    """The queued messages, oldest first."""

    posts: tuple[QueuedMessage, ...] = ()


@frozen
class StartTurn:
    """No turn is running and nothing is queued: answer it now."""

    post: QueuedMessage


@frozen
class SteerTurn:
    """Pass it to the running agent before its next tool or model call."""

    post: QueuedMessage


@frozen
class Queued:
    """It is queued; `dropped` no longer fit, and may be the message itself."""

    backlog: Backlog
    dropped: tuple[QueuedMessage, ...] = ()


@frozen
class InterruptTurn:
    """Cancel the running turn and answer `backlog`, which holds only the new message; `dropped` were queued before."""

    backlog: Backlog
    dropped: tuple[QueuedMessage, ...] = ()


Arrival = StartTurn | SteerTurn | Queued | InterruptTurn

# Of a message that there was no room to queue: the model has to know what it was about, no more.
_SUMMARY_CHARS = 160


def arrive(rules: QueueRules, backlog: Backlog, post: QueuedMessage, *, running: bool, steerable: bool) -> Arrival:
    """What happens to `post`. If the running agent can't be steered, its messages are queued."""
    # Only an empty queue lets a message start at once: it must not overtake those that wait.
    if not running and not backlog.posts:
        return StartTurn(post)
    if not running:
        return _queued(rules, backlog, post)
    match rules.mode:
        case QueueMode.STEER:
            # With messages in the queue it would reach the agent before them.
            return SteerTurn(post) if steerable and not backlog.posts else _queued(rules, backlog, post)
        case QueueMode.FOLLOWUP | QueueMode.COLLECT:
            return _queued(rules, backlog, post)
        case QueueMode.INTERRUPT:
            return InterruptTurn(Backlog((post,)), dropped=backlog.posts)
    assert_never(rules.mode)


def next_batch(rules: QueueRules, backlog: Backlog) -> tuple[tuple[str, ...], Backlog] | None:
    """The triggers that the next turn answers together, and the rest of the queue; None if nothing is queued."""
    if not backlog.posts:
        return None
    # `steer` answers what it could not steer one by one, as `followup` does.
    count = len(backlog.posts) if rules.mode is QueueMode.COLLECT else 1
    taken = tuple(post.trigger for post in backlog.posts[:count])
    return taken, Backlog(backlog.posts[count:])


def without(backlog: Backlog, trigger: str) -> Backlog:
    """The backlog without the message of `trigger`, which was deleted or answered otherwise."""
    return evolve(backlog, posts=tuple(post for post in backlog.posts if post.trigger != trigger))


def summary_line(post: QueuedMessage) -> str:
    """The line that stands for a dropped message in the summary."""
    return f"{post.sender}: {_one_line(post.text)}"


def _queued(rules: QueueRules, backlog: Backlog, post: QueuedMessage) -> Queued:
    # A queue of none would drop every message that comes during a turn.
    cap = max(1, rules.cap)
    if rules.drop is DropRule.NEW and len(backlog.posts) >= cap:
        return Queued(backlog, dropped=(post,))
    posts = (*backlog.posts, post)
    dropped, remaining = posts[: max(0, len(posts) - cap)], posts[-cap:]
    return Queued(Backlog(remaining), dropped=dropped)


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SUMMARY_CHARS else f"{line[: _SUMMARY_CHARS - 1]}…"
