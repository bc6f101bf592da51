"""Who is answered where, in the town: what the server says of a person and a place decides."""

from typing import Any

import pytest
import trio

from oc_trio.agent.scripted import Say
from oc_trio.sandbox.request import SandboxRequest, SandboxResponse
from tests.runtime.harness import ACCOUNT, Town


@pytest.fixture
async def town(town: Town) -> Town:
    """The town, with an agent that says one word."""
    await trio.lowlevel.checkpoint()
    town.script = [Say("ok")]
    return town


async def verdict(town: Town, post: Any) -> str:
    await town.settled()
    seen = await town.store.admission.decision(ACCOUNT, post.id)
    return f"{seen.decision} {seen.reason}" if seen else "unseen"


def refuse(town: Town, part: str) -> None:
    """The server answers 403 where a path holds `part`."""

    async def rule(request: SandboxRequest) -> SandboxResponse | None:
        await trio.lowlevel.checkpoint()
        body = {"id": "api.context.permissions.app_error", "message": "no", "status_code": 403}
        return SandboxResponse.json(body, 403) if part in request.path else None

    town.weather.before_rules.append(rule)


async def test_an_unknown_author_is_refused(town: Town) -> None:
    """Whom the server won't tell us about is nobody to us, even where everybody may talk."""
    await town.start()
    refuse(town, f"/users/{town.bob.id}")
    post = town.say("@helper hi", by=town.bob)
    assert await verdict(town, post) == "deny author_unknown"
    assert town.answers() == []


async def test_a_channel_of_unknown_team_is_outside(town: Town) -> None:
    """Where only some teams are served, a channel that can't be looked up is in none of them."""
    await town.start({"onlyTeams": [town.square.team_id]})
    first = town.say("@helper hi")
    assert await verdict(town, first) == "admit mention"
    await town.stop()
    await town.start({"onlyTeams": [town.square.team_id]})
    refuse(town, f"/channels/{town.square.id}")
    second = town.say("@helper hi")
    assert await verdict(town, second) == "deny team_not_allowed"


async def test_a_server_that_is_away_only_delays(town: Town) -> None:
    """A fact that can't be had right now is asked for again; the message is answered then."""
    await town.start()
    broken = True

    async def rule(request: SandboxRequest) -> SandboxResponse | None:
        await trio.lowlevel.checkpoint()
        return SandboxResponse(503) if broken and f"/users/{town.bob.id}" in request.path else None

    town.weather.before_rules.append(rule)
    post = town.say("@helper hi", by=town.bob)
    await trio.sleep(20)
    assert town.answers() == []
    broken = False
    await trio.sleep(120)
    assert await verdict(town, post) == "admit mention"
    assert town.answers() == ["ok"]


@pytest.mark.parametrize(
    ("props", "reason"),
    [
        pytest.param({"from_webhook": "true"}, "ignore webhook_post", id="webhook"),
        pytest.param({"override_username": "alice"}, "ignore webhook_post", id="another-name"),
        pytest.param({"from_bot": "true"}, "admit mention", id="a-person-who-says-bot"),
    ],
)
async def test_props_prove_nothing(town: Town, props: dict[str, Any], reason: str) -> None:
    """Integrations' marks make a post ignored; a mark of being a bot is not believed."""
    await town.start({"allowBots": "mentions"})
    post = town.say("@helper hi", props=props)
    assert await verdict(town, post) == reason


async def test_a_revoked_person_is_out_at_once(town: Town) -> None:
    """The next message after a revocation is a stranger's again."""
    await town.start({"dmPolicy": "pairing", "allowFrom": []})
    direct = town.direct()
    town.say("hi", channel=direct)
    await town.settled()
    [row] = await town.store.pairing.pending(ACCOUNT, town.now_ms())
    await town.store.pairing.approve(ACCOUNT, row.code, town.now_ms())
    assert await verdict(town, town.say("hi", channel=direct)) == "admit direct_message"
    assert await town.store.pairing.revoke(ACCOUNT, row.user_id)
    assert await verdict(town, town.say("hi", channel=direct)) == "deny dm_policy_pairing_required"
    assert len(town.answers(direct)) == 3


@pytest.mark.parametrize("policy", ["pairing", "allowlist"])
async def test_a_refusal_is_explained_by_its_message(town: Town, policy: str) -> None:
    """What a stranger was told leads to the first message, and that to what was told; a second message adds nothing."""
    await town.start({"dmPolicy": policy, "allowFrom": ["mattermost:somebody"]})
    direct = town.direct()
    asked, _again = town.say("hi", channel=direct), town.say("hello?", channel=direct)
    await town.until(lambda: town.answers(direct))
    await trio.sleep(5)
    (told,) = town.ours(direct)
    for post_id, ours in ((asked.id, False), (told.id, True)):
        life = await town.store.explain(post_id)
        assert life is not None
        assert (life.ours, [seen.trigger for seen in life.seen]) == (ours, [asked.id])
        assert [row.post_id for row in life.outbox] == [told.id]


async def test_a_group_message_is_not_a_direct_one(town: Town) -> None:
    """Being paired opens nothing but the direct channel."""
    await town.start({"dmPolicy": "open", "allowFrom": ["*"], "groupPolicy": "disabled"})
    assert await verdict(town, town.say("hi", channel=town.direct())) == "admit direct_message"
    assert await verdict(town, town.say("@helper hi")) == "deny group_policy_disabled"
