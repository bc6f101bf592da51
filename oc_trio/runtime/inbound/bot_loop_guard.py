"""Limits how often another bot is answered, so that two bots can't talk to each other forever.

The budget is `core.loopguard`; its cooldowns are kept in the journal.
"""

from oc_trio.classes import define
from oc_trio.core.loopguard import LoopGuard
from oc_trio.ids import AccountId, ChannelId, UserId
from oc_trio.runtime.clock import Clock
from oc_trio.store.claims import Claims


@define(eq=False)
class BotLoops:
    """One account's. A restart forgets the counts, which allows one more budget of answers, but not the cooldowns."""

    account: AccountId
    claims: Claims
    clock: Clock
    guard: LoopGuard = LoopGuard()

    async def may_answer(self, bot: UserId, channel: ChannelId) -> bool:
        """Count one message of `bot` in `channel`; whether it is within the budget."""
        key, now = f"{self.account}:{bot}:{channel}", self.clock.now_ms()
        # A claim that expires at once only checks whether a cooldown holds the key.
        is_free, _ = await self.claims.claim("bot-loop", key, now, now)
        if not is_free:
            return False
        self.guard, allowed = self.guard.admit(bot, channel, now=now / 1000)
        if not allowed:
            # In the journal, so that a restart does not let two bots start over.
            await self.claims.claim("bot-loop", key, now, now + int(self.guard.budget.cooldown * 1000))
        return allowed
