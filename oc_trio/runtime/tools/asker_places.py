"""Limits an agent's message tool to places that all people whom the turn answers may use themselves.

What the operator allows the bot is `runtime.tools.message_permissions`. Nothing is cached: whoever leaves a channel in
the middle of a turn has left it for the turn's next call.
"""

from collections.abc import Callable, Sequence

from oc_trio.agent.toolbox import ToolFailed
from oc_trio.classes import frozen
from oc_trio.core.events import ChannelType
from oc_trio.core.inbound import InboundMessage
from oc_trio.core.ledger import Source
from oc_trio.core.targets import parse_target
from oc_trio.errors import MattermostError, MattermostRejected, TargetError
from oc_trio.ids import ChannelId, UserId
from oc_trio.mattermost.client import Api
from oc_trio.runtime.delivery.targets import Place, TargetResolver
from oc_trio.telemetry.log import get_logger

# One sentence for what is unknown, private or can't be looked up, so that it does not reveal what exists.
REFUSED = (
    "The target is refused: only this conversation, channels that everybody who asked is known to be a member of, and "
    "direct messages to who asked can be used here."
)

# The messages that a turn answers, as many as it answers by now.
Asked = Callable[[], Sequence[InboundMessage]]

# Their authors are no users: nobody's memberships could be asked for.
_WITHOUT_ASKER = frozenset({Source.CRON, Source.HOOK})

log = get_logger(part="asker_places")


def askers_of(messages: Sequence[InboundMessage]) -> frozenset[UserId]:
    """The people who wrote the messages; nobody for messages of schedules and hooks."""
    return frozenset(message.user_id for message in messages if message.source not in _WITHOUT_ASKER)


@frozen(eq=False)
class AskersPlaces:
    """Resolves targets for one account under that rule."""

    api: Api
    bot: UserId
    targets: TargetResolver

    async def resolve(self, target: str, askers: frozenset[UserId], here: ChannelId) -> Place:
        """Where `target` is, if all of `askers` may be there or it is `here`.

        Raises ToolFailed with the one sentence for everything else, TargetError for what is no target at all.
        """
        parsed = parse_target(target)
        try:
            place = await self.targets.resolve(parsed)
            # Here without asking: whoever is answered here has just written here.
            is_theirs = place.channel_id == here or await self._is_theirs(place, askers)
        except (TargetError, MattermostError) as problem:
            if not isinstance(problem, (TargetError, MattermostRejected)):
                log.warning("the message tool was refused: a look-up failed", problem=str(problem))
            raise ToolFailed(REFUSED) from problem
        if not is_theirs:
            raise ToolFailed(REFUSED)
        return place

    async def _is_theirs(self, place: Place, askers: frozenset[UserId]) -> bool:
        channel = place.channel
        if channel is None:
            return place.user_id in askers
        if channel.type is ChannelType.DIRECT:
            # Named by its two people. An administrator's token sees other people's, too.
            pair = set(channel.name.split("__"))
            return any(pair == {self.bot, asker} for asker in askers)
        # Sorted: a set's order differs from process to process, and the simulation has to repeat its runs.
        for asker in sorted(askers):
            if not await self.api.channels.has_member(channel.id, asker):
                return False
        return True
