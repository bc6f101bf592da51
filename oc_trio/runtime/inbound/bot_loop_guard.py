"""Whether another bot is answered once more: the loop budget, with its pauses kept across restarts."""

from attrs import define

from oc_trio.core.loopguard import LoopGuard
from oc_trio.ids import AccountId, ChannelId, UserId
from oc_trio.runtime.clock import Clock
from oc_trio.store.claims import Claims


@define(eq=False)
class BotLoops:
    """One account's. A restart forgets the count of a pair, at most a budget's worth of answers, but no pause."""

    account: AccountId
    claims: Claims
    clock: Clock
    guard: LoopGuard = LoopGuard()

    async def may_answer(self, bot: UserId, channel: ChannelId) -> bool:
        """Count one message of `bot` and tell whether it is still to be answered."""
        key, now = f"{self.account}:{bot}:{channel}", self.clock.now_ms()
        # A claim that expires as it is made only asks whether there is another.
        is_free, _ = await self.claims.claim("bot-loop", key, now, now)
        if not is_free:
            return False
        self.guard, allowed = self.guard.admit(bot, channel, now=now / 1000)
        if not allowed:
            await self.claims.claim("bot-loop", key, now, now + int(self.guard.budget.cooldown * 1000))
        return allowed
