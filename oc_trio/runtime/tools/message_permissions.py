"""What the operator allows an agent's message tool to do, and where."""

from oc_trio.agent.toolbox import ToolFailed
from oc_trio.classes import frozen
from oc_trio.config.accounts import Account
from oc_trio.core.access import AccessPolicy, GroupPolicy
from oc_trio.core.entities import Channel
from oc_trio.core.events import ChannelType


@frozen
class MessagePermissions:
    """What the operator allows: `listed` holds the channel ids (or `*`) of `groups`."""

    reactions: bool = True
    messages: bool = False
    buttons: bool = False
    members_only: bool = True
    group_policy: GroupPolicy = GroupPolicy.ALLOWLIST
    listed: frozenset[str] = frozenset()

    @classmethod
    def of(cls, account: Account) -> "MessagePermissions":
        return cls(
            reactions=account.actions.reactions,
            messages=account.actions.messages,
            buttons="inlineButtons" in account.capabilities,
            members_only=account.actions.members_only,
            group_policy=GroupPolicy(account.access.group_policy.value),
            listed=frozenset(account.gating.groups),
        )


def require_allowed(channel: Channel, access: AccessPolicy) -> None:
    """`onlyTeams` and `onlyChannels` hold for what the bot sends, too. Raises ToolFailed."""
    if channel.type is ChannelType.DIRECT:
        return
    # A group channel belongs to no team, so no rule about teams can refuse it.
    has_team = channel.type is not ChannelType.GROUP
    outside_team = access.only_teams is not None and has_team and channel.team_id not in access.only_teams
    if outside_team or (access.only_channels is not None and channel.id not in access.only_channels):
        raise ToolFailed("The target channel is not allowed (onlyTeams, onlyChannels).")
