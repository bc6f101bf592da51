"""What the parts of one account share: the bot's user, server, journal, policies and agents."""

from attrs import frozen

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
from oc_trio.runtime.error_boundary import ErrorBoundary
from oc_trio.runtime.people import People
from oc_trio.runtime.policies import Policies
from oc_trio.store.store import Store
from oc_trio.telemetry.health import Health
from oc_trio.telemetry.metrics import Metrics


@frozen(eq=False)
class AccountServices:
    """The shared parts of one account. What only its turns need is in `runtime.turn.services`."""

    account: AccountId
    user: User
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
