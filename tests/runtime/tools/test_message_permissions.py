"""Where a confined bot may send: the same places that it listens to."""

import pytest

from oc_trio.agent.toolbox import ToolFailed
from oc_trio.core.access import AccessPolicy
from oc_trio.core.entities import Channel
from oc_trio.core.events import ChannelType
from oc_trio.ids import ChannelId, TeamId
from oc_trio.runtime.tools.message_permissions import require_allowed

TEAM = AccessPolicy(only_teams=frozenset({TeamId("ours")}))
CHANNEL = AccessPolicy(only_channels=frozenset({ChannelId("here")}))


@pytest.mark.parametrize(
    ("policy", "kind", "channel", "team", "allowed"),
    [
        (AccessPolicy(), ChannelType.OPEN, "there", "theirs", True),
        (TEAM, ChannelType.OPEN, "there", "ours", True),
        (TEAM, ChannelType.PRIVATE, "there", "theirs", False),
        (TEAM, ChannelType.GROUP, "there", "", True),
        (CHANNEL, ChannelType.OPEN, "here", "theirs", True),
        (CHANNEL, ChannelType.OPEN, "there", "ours", False),
        (CHANNEL, ChannelType.GROUP, "there", "", False),
        (CHANNEL, ChannelType.DIRECT, "there", "", True),
    ],
)
def test_where_a_confined_bot_may_send(
    policy: AccessPolicy, kind: ChannelType, channel: str, team: str, allowed: bool
) -> None:
    """`onlyTeams` and `onlyChannels` hold for what is sent as well, direct messages apart."""
    place = Channel(ChannelId(channel), kind, TeamId(team))
    if allowed:
        require_allowed(place, policy)
    else:
        with pytest.raises(ToolFailed, match="not allowed"):
            require_allowed(place, policy)
