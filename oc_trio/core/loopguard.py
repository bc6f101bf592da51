"""Prevents endless loops of two bots that answer each other: a budget per bot and channel, then a pause.

Only messages of bots are counted.
"""

from attrs import evolve, field
from attrs.validators import ge

from oc_trio.classes import frozen
from oc_trio.ids import ChannelId, UserId

# For memory. A pair that is forgotten gets another budget.
_MAX_PAIRS = 1000


@frozen
class LoopBudget:
    """`turns` answers to one bot within `window` seconds; after that none for `cooldown` seconds."""

    # A question with a question back is done within five; two bots that answer each other use them up in seconds.
    turns: int = field(default=5, validator=ge(0))
    window: float = 300.0
    cooldown: float = 900.0


@frozen
class _Pair:
    answered: tuple[float, ...] = ()
    quiet_until: float = 0.0


@frozen
class LoopGuard:
    """The recent answers by bot and channel; frozen: each decision returns the next guard."""

    budget: LoopBudget = LoopBudget()
    pairs: tuple[tuple[tuple[UserId, ChannelId], _Pair], ...] = ()

    def admit(self, bot: UserId, channel: ChannelId, *, now: float) -> tuple["LoopGuard", bool]:
        """Whether a message of that bot may be answered at `now` (seconds of any steady clock)."""
        key = (bot, channel)
        known = dict(self.pairs)
        pair = known.pop(key, _Pair())
        # Sliding window: only answers within the last `window` seconds count.
        recent = tuple(at for at in pair.answered if now - at < self.budget.window)
        allowed = now >= pair.quiet_until and len(recent) < self.budget.turns
        if allowed:
            pair = evolve(pair, answered=(*recent, now))
        elif now >= pair.quiet_until:
            pair = _Pair(quiet_until=now + self.budget.cooldown)
        # Least recently used first, so that the slice drops those.
        kept = (*known.items(), (key, pair))[-_MAX_PAIRS:]
        return evolve(self, pairs=kept), allowed
