"""Puts reactions on messages that are being answered: seen, done, failed. A failure is logged and nothing else."""

from collections.abc import Sequence

import trio

from oc_trio.classes import frozen
from oc_trio.core.inbound import InboundMessage
from oc_trio.core.ledger import ObligationState
from oc_trio.errors import MattermostError
from oc_trio.ids import PostId, UserId
from oc_trio.mattermost.client import Api
from oc_trio.telemetry.log import get_logger

# Decoration: a turn must not be held up by it.
_SECONDS = 10.0

log = get_logger(part="ack_reactions")


@frozen
class AckEmoji:
    """Emoji names without colons; empty means none."""

    seen: str = ""
    done: str = ""
    failed: str = ""


@frozen(eq=False)
class AckReactions:
    """One account's acknowledgement reactions."""

    api: Api
    bot_id: UserId
    names: AckEmoji = AckEmoji()

    async def seen(self, messages: Sequence[InboundMessage]) -> None:
        """The messages are being answered."""
        if self.names.seen:
            await self._put(messages, add=self.names.seen)

    async def ended(self, messages: Sequence[InboundMessage], state: ObligationState) -> None:
        """Their turn has ended."""
        # A silent end is a success: the agent decided to post nothing.
        done = state in (ObligationState.DELIVERED, ObligationState.SILENT)
        name = self.names.done if done else self.names.failed if state is ObligationState.FAILED else ""
        if name or self.names.seen:
            await self._put(messages, add=name, remove=self.names.seen)

    async def _put(self, messages: Sequence[InboundMessage], *, add: str = "", remove: str = "") -> None:
        with trio.move_on_after(_SECONDS):
            for post_id in (PostId(message.post_id) for message in messages if message.post_id):
                try:
                    # The mark for "in work" goes first, so that a message never shows both.
                    if remove and remove != add:
                        await self.api.reactions.remove(self.bot_id, post_id, remove)
                    if add:
                        await self.api.reactions.add(self.bot_id, post_id, add)
                except MattermostError as problem:
                    log.info("a reaction was refused", post=post_id, problem=str(problem))
