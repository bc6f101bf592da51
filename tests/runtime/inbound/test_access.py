"""Access rules in a running gateway: who is answered where, by what the server says of user and channel."""

from typing import Any

import pytest
import trio

from oc_trio.agent.scripted import Say
from oc_trio.ids import UserId
from oc_trio.sandbox.request import SandboxRequest, SandboxResponse
from tests.logbook import Logbook
from tests.runtime.harness import ACCOUNT, Harness


@pytest.fixture
async def harness(harness: Harness) -> Harness:
    """The harness, with an agent that says one word."""
    await trio.lowlevel.checkpoint()
    harness.script = [Say("ok")]
    return harness


async def verdict(harness: Harness, post: Any) -> str:
    await harness.settled()
    decision = await harness.store.admission.decision(ACCOUNT, post.id)
    return f"{decision.decision} {decision.reason}" if decision else "unseen"


def refuse(harness: Harness, part: str) -> None:
    """The server answers 403 where a path holds `part`."""

    async def rule(request: SandboxRequest) -> SandboxResponse | None:
        await trio.lowlevel.checkpoint()
        body = {"id": "api.context.permissions.app_error", "message": "no", "status_code": 403}
        return SandboxResponse.json(body, 403) if part in request.path else None

    harness.faults.before_rules.append(rule)


async def test_an_unknown_author_is_refused(harness: Harness) -> None:
    """Whom the server won't tell us about is nobody to us, even where everybody may talk."""
    await harness.start()
    refuse(harness, f"/users/{harness.bob.id}")
    post = harness.say("@helper hi", by=harness.bob)
    assert await verdict(harness, post) == "deny author_unknown"
    assert harness.answers() == []


async def test_a_channel_of_unknown_team_is_outside(harness: Harness) -> None:
    """Where only some teams are served, a channel that can't be looked up is in none of them."""
    await harness.start({"onlyTeams": [harness.square.team_id]})
    other = harness.world.create_channel(harness.team, "other", harness.alice, harness.bot)
    refuse(harness, f"/channels/{other.id}")
    first = harness.say("@helper hi")
    assert await verdict(harness, first) == "admit mention"
    second = harness.say("@helper hi", channel=other)
    assert await verdict(harness, second) == "deny team_not_allowed"


async def test_a_server_that_is_away_only_delays(harness: Harness) -> None:
    """A fact that can't be had right now is asked for again; the message is answered then."""
    await harness.start()
    broken = True

    async def rule(request: SandboxRequest) -> SandboxResponse | None:
        await trio.lowlevel.checkpoint()
        return SandboxResponse(503) if broken and f"/users/{harness.bob.id}" in request.path else None

    harness.faults.before_rules.append(rule)
    post = harness.say("@helper hi", by=harness.bob)
    await trio.sleep(20)
    assert harness.answers() == []
    broken = False
    await trio.sleep(120)
    assert await verdict(harness, post) == "admit mention"
    assert harness.answers() == ["ok"]


@pytest.mark.parametrize(
    ("props", "reason"),
    [
        pytest.param({"from_webhook": "true"}, "ignore webhook_post", id="webhook"),
        pytest.param({"override_username": "alice"}, "ignore webhook_post", id="another-name"),
        pytest.param({"from_bot": "true"}, "admit mention", id="a-person-who-says-bot"),
    ],
)
async def test_props_prove_nothing(harness: Harness, props: dict[str, Any], reason: str) -> None:
    """Integrations' marks make a post ignored; a mark of being a bot is not believed."""
    await harness.start({"allowBots": "mentions"})
    post = harness.say("@helper hi", props=props)
    assert await verdict(harness, post) == reason


async def test_a_revoked_person_is_out_at_once(harness: Harness) -> None:
    """The next message after a revocation is a stranger's again."""
    await harness.start({"dmPolicy": "pairing", "allowFrom": []})
    direct = harness.direct()
    harness.say("hi", channel=direct)
    await harness.settled()
    [row] = await harness.store.pairing.pending(ACCOUNT, harness.now_ms())
    await harness.store.pairing.approve(ACCOUNT, row.code, harness.now_ms())
    assert await verdict(harness, harness.say("hi", channel=direct)) == "admit direct_message"
    assert await harness.store.pairing.revoke(ACCOUNT, row.user_id)
    assert await verdict(harness, harness.say("hi", channel=direct)) == "deny dm_policy_pairing_required"
    assert len(harness.answers(direct)) == 3


async def test_who_gets_no_code_is_logged_once(harness: Harness, logbook: Logbook) -> None:
    """A line per person, not per message; a restart adds none."""
    await harness.start({"dmPolicy": "pairing", "allowFrom": []})
    for number in range(3):
        code = f"AAAA222{number}"
        await harness.store.pairing.request(ACCOUNT, UserId(code), "", code, harness.now_ms(), 3_600_000, 3)
    for by in (harness.alice, harness.bob):
        for _ in range(4):
            harness.say("hi", by=by, channel=harness.world.direct(by, harness.bot))
    await harness.settled()
    await harness.stop()
    await harness.start({"dmPolicy": "pairing", "allowFrom": []})
    harness.say("hi", channel=harness.direct())
    await harness.settled()
    assert [line["user"] for line in logbook.find("no pairing code")] == [harness.alice.id, harness.bob.id]


@pytest.mark.parametrize("policy", ["pairing", "allowlist"])
async def test_a_refusal_is_explained_by_its_message(harness: Harness, policy: str) -> None:
    """What a stranger was told leads to the first message, and that to what was told; a second message adds nothing."""
    await harness.start({"dmPolicy": policy, "allowFrom": ["mattermost:somebody"]})
    direct = harness.direct()
    question, _again = harness.say("hi", channel=direct), harness.say("hello?", channel=direct)
    await harness.until(lambda: harness.answers(direct))
    await trio.sleep(5)
    (notice,) = harness.ours(direct)
    for post_id, ours in ((question.id, False), (notice.id, True)):
        life = await harness.store.explain(post_id)
        assert life is not None
        assert (life.ours, [decision.trigger for decision in life.seen]) == (ours, [question.id])
        assert [row.post_id for row in life.outbox] == [notice.id]


async def test_a_group_message_is_not_a_direct_one(harness: Harness) -> None:
    """Being paired opens nothing but the direct channel."""
    await harness.start({"dmPolicy": "open", "allowFrom": ["*"], "groupPolicy": "disabled"})
    assert await verdict(harness, harness.say("hi", channel=harness.direct())) == "admit direct_message"
    assert await verdict(harness, harness.say("@helper hi")) == "deny group_policy_disabled"
