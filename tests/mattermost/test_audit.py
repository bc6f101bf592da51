"""The audit finds channels with posts that were missed, and no others."""

import pytest
import trio

from oc_trio.core.entities import Channel
from oc_trio.errors import MattermostRejected
from oc_trio.mattermost.audit import Behind, audit, run_audit
from tests.mattermost.doubles import FakeHttp, error, open_api

MINE = "GET /users/me/channels"
CHANNELS = [{"id": name, "type": "O", "name": name, "last_post_at": 50} for name in ("late", "lost", "seen", "unknown")]


async def watermark_of(channel: Channel) -> int | None:
    """The event of `late` is on its way, the one of `lost` never comes."""
    late = 50 if trio.current_time() > 1 else 40
    return {"late": late, "lost": 40, "seen": 50}.get(channel.id)


async def test_what_stays_behind_is_told(autojump_clock: trio.testing.MockClock) -> None:
    """An event under way gets its grace; channels without a watermark are nobody's."""
    async with open_api(FakeHttp({MINE: [CHANNELS]})) as api:
        found = await audit(api, watermark_of)
    assert [(one.channel.id, one.seen_at) for one in found] == [("lost", 40)]


async def test_an_unavailable_server_is_left_to_the_listener(autojump_clock: trio.testing.MockClock) -> None:
    """The audit goes on after a 503, tells what it finds, and ends with a refusal."""
    behind: list[str] = []

    async def on_behind(found: tuple[Behind, ...]) -> None:
        behind.extend(one.channel.id for one in found)

    http = FakeHttp({MINE: [error(503, "x.y"), CHANNELS, error(401, "expired")]})
    async with open_api(http) as api:
        with pytest.raises(MattermostRejected):
            await run_audit(api, watermark_of, on_behind, interval=60.0)
    assert behind == ["lost"]
