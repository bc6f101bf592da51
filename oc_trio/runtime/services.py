"""What the parts of one account share: the bot's user, server, journal, policies and agents."""

from attrs import evolve

from oc_trio.classes import define, frozen
from oc_trio.core.entities import User
from oc_trio.ids import AccountId
from oc_trio.mattermost.client import Api
from oc_trio.mattermost.directory import Directory
from oc_trio.runtime.agents import AgentTable
from oc_trio.runtime.clock import Clock
from oc_trio.runtime.conversation.context import ConversationContext
from oc_trio.runtime.delivery.delivery import Delivery
from oc_trio.runtime.delivery.late_edits import LateEditGuard
from oc_trio.runtime.delivery.uploads import FileUploader
from oc_trio.runtime.earlier_answers import EarlierAnswers
from oc_trio.runtime.error_boundary import ErrorBoundary
from oc_trio.runtime.people import People
from oc_trio.runtime.policies import Policies
from oc_trio.runtime.second_gateway import SecondGatewayAlarm
from oc_trio.store.store import Store
from oc_trio.telemetry.health import Health
from oc_trio.telemetry.metrics import Metrics


@define(eq=False)
class BotUser:
    """The bot's own user, under the name that it has now: people may rename it while the gateway runs."""

    user: User

    def rename(self, username: str) -> bool:
        """Take the new name, by which it is mentioned from now on; False where it is the one it had."""
        if username in ("", self.user.username):
            return False
        self.user = evolve(self.user, username=username)
        return True


@frozen(eq=False)
class AccountServices:
    """The shared parts of one account. What only its turns need is in `runtime.turn.services`."""

    account: AccountId
    bot: BotUser
    # What people call the account.
    name: str
    api: Api
    directory: Directory
    people: People
    store: Store
    clock: Clock
    metrics: Metrics
    health: Health
    policies: Policies
    agents: AgentTable
    delivery: Delivery
    late_edits: LateEditGuard
    uploader: FileUploader
    context: ConversationContext
    # Contains defects: one fails the message or turn that caused it.
    boundary: ErrorBoundary
    # Looks at posts of the bot's user for those of another gateway.
    second_gateway: SecondGatewayAlarm
    # After a restored backup: what was answered since it was made.
    earlier_answers: EarlierAnswers

    @property
    def user(self) -> User:
        """The bot's own user as it is now."""
        return self.bot.user
