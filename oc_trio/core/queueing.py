"""What happens to a post that arrives while its conversation is being answered: `messages.queue`.

It keeps no obligations: whoever asks settles those of the posts that a decision drops, and gives a reason.
"""

from enum import Enum
from typing import assert_never

from attrs import evolve, field, frozen


class QueueMode(Enum):
    """STEER tells the running agent, FOLLOWUP answers one by one, COLLECT all at once, INTERRUPT starts over."""

    STEER = "steer"
    FOLLOWUP = "followup"
    COLLECT = "collect"
    INTERRUPT = "interrupt"


class DropRule(Enum):
    """Who gives way when the queue is full; `SUMMARIZE` drops the oldest, of which the caller keeps `summary_line`."""

    OLD = "old"
    NEW = "new"
    SUMMARIZE = "summarize"


@frozen
class QueueRules:
    """`debounce` is in seconds: how long a followup waits for more before it starts."""

    mode: QueueMode = QueueMode.STEER
    cap: int = 20
    drop: DropRule = DropRule.SUMMARIZE
    debounce: float = 0.5


@frozen
class Waiting:
    """A post that waits for its turn; `trigger` names its obligation."""

    trigger: str
    sender: str
    text: str = field(repr=lambda text: f"<{len(text)} characters>")


@frozen
class Backlog:
    """Posts that wait, oldest first."""

    posts: tuple[Waiting, ...] = ()


@frozen
class StartTurn:
    """Nothing runs and nothing waits: answer it now."""

    post: Waiting


@frozen
class SteerTurn:
    """Hand it to the running agent at its next tool or model boundary."""

    post: Waiting


@frozen
class Queued:
    """It waits; `dropped` had to make room, and may be the post itself."""

    backlog: Backlog
    dropped: tuple[Waiting, ...] = ()


@frozen
class InterruptTurn:
    """Cancel the running turn, then answer `backlog`, whose only post is the new one; `dropped` waited before."""

    backlog: Backlog
    dropped: tuple[Waiting, ...] = ()


Arrival = StartTurn | SteerTurn | Queued | InterruptTurn

_SUMMARY_CHARS = 160


def arrive(rules: QueueRules, backlog: Backlog, post: Waiting, *, running: bool, steerable: bool) -> Arrival:
    """What happens to `post`. A running agent that can't be steered gets its posts as follow-ups."""
    if not running and not backlog.posts:
        return StartTurn(post)
    if not running:
        return _queued(rules, backlog, post)
    match rules.mode:
        case QueueMode.STEER:
            return SteerTurn(post) if steerable and not backlog.posts else _queued(rules, backlog, post)
        case QueueMode.FOLLOWUP | QueueMode.COLLECT:
            return _queued(rules, backlog, post)
        case QueueMode.INTERRUPT:
            return InterruptTurn(Backlog((post,)), dropped=backlog.posts)
    assert_never(rules.mode)


def next_batch(rules: QueueRules, backlog: Backlog) -> tuple[tuple[str, ...], Backlog] | None:
    """The triggers that the next turn answers together, and what still waits after it; None when nothing waits."""
    if not backlog.posts:
        return None
    count = len(backlog.posts) if rules.mode is QueueMode.COLLECT else 1
    taken = tuple(post.trigger for post in backlog.posts[:count])
    return taken, Backlog(backlog.posts[count:])


def without(backlog: Backlog, trigger: str) -> Backlog:
    """The backlog after the post behind `trigger` was deleted or answered otherwise."""
    return evolve(backlog, posts=tuple(post for post in backlog.posts if post.trigger != trigger))


def summary_line(post: Waiting) -> str:
    """What is left of a post that was summed up."""
    return f"{post.sender}: {_one_line(post.text)}"


def _queued(rules: QueueRules, backlog: Backlog, post: Waiting) -> Queued:
    cap = max(1, rules.cap)
    if rules.drop is DropRule.NEW and len(backlog.posts) >= cap:
        return Queued(backlog, dropped=(post,))
    posts = (*backlog.posts, post)
    gone, kept = posts[: max(0, len(posts) - cap)], posts[-cap:]
    return Queued(Backlog(kept), dropped=gone)


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SUMMARY_CHARS else f"{line[: _SUMMARY_CHARS - 1]}…"
