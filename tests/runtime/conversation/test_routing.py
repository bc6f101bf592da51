"""Routing in a running gateway: where answers are posted, and to which conversation they belong."""

from typing import Any

import pytest
import trio

from oc_trio.agent.scripted import Pause, Say
from oc_trio.core.final_plan import STOPPED
from oc_trio.core.turn_events import Final
from oc_trio.sandbox.records import ChannelRecord, PostRecord
from tests.runtime.harness import ACCOUNT, Harness

AGENTS: dict[str, Any] = {"entries": {"main": {}, "ops": {}, "team": {}, "any": {}}}


@pytest.fixture
async def harness(harness: Harness) -> Harness:
    """The harness, with an agent that says one word."""
    await trio.lowlevel.checkpoint()
    harness.script = [Say("ok")]
    return harness


async def sessions(harness: Harness) -> dict[str, str]:
    """Each conversation's key and the root that it is stored under."""
    return {str(row.key): row.root_id for row in await harness.store.sessions.list()}


async def session_of(harness: Harness, post: PostRecord) -> str:
    decision = await harness.store.admission.decision(ACCOUNT, post.id)
    assert decision is not None
    return str(decision.session)


def place(harness: Harness, name: str) -> ChannelRecord:
    """One of the three kinds of conversation."""
    if name == "direct":
        return harness.direct()
    if name == "private":
        team = harness.world.teams.get(harness.square.team_id)
        return harness.world.create_channel(team, "den", harness.alice, harness.bob, harness.bot, private=True)
    return harness.square


@pytest.mark.parametrize("where", ["direct", "private", "public"])
@pytest.mark.parametrize(
    ("settings", "threads"),
    [
        pytest.param({"replyToMode": "off"}, (), id="off"),
        pytest.param({"replyToMode": "first"}, ("private", "public"), id="first"),
        pytest.param({"replyToMode": "all"}, ("private", "public"), id="all"),
        pytest.param({"replyToMode": "batched"}, ("private", "public"), id="batched"),
        pytest.param({"replyToMode": "off", "replyToModeByChatType": {"direct": "all"}}, ("direct",), id="direct-only"),
        pytest.param(
            {"replyToMode": "all", "replyToModeByChatType": {"group": "off"}}, ("public",), id="not-in-private-ones"
        ),
        pytest.param(
            {"replyToMode": "off", "replyToModeByChatType": {"channel": "first"}}, ("public",), id="public-only"
        ),
    ],
)
async def test_a_top_level_post(
    harness: Harness, settings: dict[str, Any], threads: tuple[str, ...], where: str
) -> None:
    """The answer opens a thread where the mode says so, with a session of its own."""
    await harness.start(settings)
    room = place(harness, where)
    post = harness.say("@helper hi", channel=room)
    await harness.settled()
    [answer] = harness.ours(room)
    assert answer.root_id == (post.id if where in threads else "")
    base = {
        "direct": f"agent:main:mattermost:default:direct:{harness.alice.id}",
        "private": f"agent:main:mattermost:group:{room.id}",
        "public": f"agent:main:mattermost:channel:{room.id}",
    }[where]
    assert await sessions(harness) == ({f"{base}:thread:{post.id}": post.id} if where in threads else {base: ""})


@pytest.mark.parametrize("mode", ["off", "all"])
async def test_a_reply_is_answered_in_its_thread(harness: Harness, mode: str) -> None:
    """Under a root that exists, whatever the mode; a reply's own id is never a root."""
    await harness.start({"replyToMode": mode})
    root = harness.say("hello all")
    reply = harness.say("@helper hi", root=root)
    await harness.settled()
    [answer] = harness.ours()
    assert answer.root_id == root.id != reply.id
    assert list(await sessions(harness)) == [f"agent:main:mattermost:channel:{harness.square.id}:thread:{root.id}"]


async def test_direct_messages_are_flat_even_inside_a_thread(harness: Harness) -> None:
    """A person who replies in a thread of a direct message still gets a flat answer."""
    await harness.start({"replyToMode": "all"})
    direct = harness.direct()
    root = harness.say("hi", channel=direct)
    harness.say("and?", channel=direct, root=root)
    await harness.settled()
    assert [post.root_id for post in harness.ours(direct)] == ["", ""]
    assert len(await sessions(harness)) == 1


@pytest.mark.parametrize(
    ("scope", "keys"),
    [
        pytest.param("main", {"agent:main:main"}, id="main"),
        pytest.param("per-peer", {"agent:main:direct:ALICE", "agent:main:direct:BOB"}, id="per-peer"),
        pytest.param(
            "per-channel-peer",
            {"agent:main:mattermost:direct:ALICE", "agent:main:mattermost:direct:BOB"},
            id="per-channel-peer",
        ),
        pytest.param(
            "per-account-channel-peer",
            {"agent:main:mattermost:default:direct:ALICE", "agent:main:mattermost:default:direct:BOB"},
            id="per-account-channel-peer",
        ),
    ],
)
async def test_direct_scopes(harness: Harness, scope: str, keys: set[str]) -> None:
    """session.dmScope decides who shares a conversation; each answer goes to whoever asked."""
    await harness.start(session={"dmScope": scope})
    rooms = [harness.direct(), harness.world.direct(harness.bob, harness.bot)]
    harness.say("I am alice", channel=rooms[0])
    harness.say("I am bob", channel=rooms[1], by=harness.bob)
    await harness.settled()
    assert [harness.answers(room) for room in rooms] == [["ok"], ["ok"]]
    named = {key.replace("ALICE", harness.alice.id).replace("BOB", harness.bob.id) for key in keys}
    assert set(await sessions(harness)) == named


async def test_linked_identities_share_a_conversation(harness: Harness) -> None:
    """Two ids of one person have one session."""
    links = {"Al": [f"mattermost:{harness.alice.id}", harness.bob.id, "telegram:123"]}
    await harness.start(session={"dmScope": "per-peer", "identityLinks": links})
    rooms = [harness.direct(), harness.world.direct(harness.bob, harness.bot)]
    harness.say("hi", channel=rooms[0])
    await harness.settled()
    harness.say("me again", channel=rooms[1], by=harness.bob)
    await harness.settled()
    assert list(await sessions(harness)) == ["agent:main:direct:al"]
    assert len(harness.agent.requests[-1].messages) == 3
    assert harness.answers(rooms[1]) == ["ok"]


async def test_group_scope_main(harness: Harness) -> None:
    """All channels share one conversation, and each answer stays in its channel."""
    await harness.start({"replyToMode": "off"}, session={"groupScope": "main", "mainKey": "desk"})
    rooms = [place(harness, "public"), place(harness, "private")]
    for room in rooms:
        harness.say("@helper hi", channel=room)
    await harness.settled()
    assert list(await sessions(harness)) == ["agent:main:desk"]
    assert [harness.answers(room) for room in rooms] == [["ok"], ["ok"]]


async def test_the_most_specific_binding_wins(harness: Harness) -> None:
    """Peer before any peer, team and account; a binding for another platform never applies."""
    den = place(harness, "private")
    await harness.start(
        {"replyToMode": "off"},
        agents=AGENTS,
        bindings=[
            {"agentId": "main", "match": {"channel": "telegram", "peer": {"kind": "group", "id": den.id}}},
            {"agentId": "any", "match": {"accountId": "Default"}},
            {"agentId": "team", "match": {"teamId": harness.square.team_id}},
            {"agentId": "ops", "match": {"peer": {"kind": "channel", "id": den.id}}},
            {"agentId": "main", "match": {"peer": {"kind": "direct", "id": harness.alice.id}}},
        ],
    )
    rooms = [den, harness.square, harness.direct(), harness.world.direct(harness.bob, harness.bot)]
    for room in rooms:
        harness.say("@helper hi", channel=room, by=harness.bob if room is rooms[3] else harness.alice)
    await harness.settled()
    agents = {key.split(":")[1] for key in await sessions(harness)}
    assert agents == {"ops", "team", "main", "any"}
    assert [str(request.agent) for request in harness.agent.requests].count("main") == 1


async def test_a_binding_has_scopes_of_its_own(harness: Harness) -> None:
    """bindings[].session applies to what it matches only."""
    await harness.start(
        agents=AGENTS,
        bindings=[
            {
                "agentId": "ops",
                "match": {"peer": {"kind": "direct", "id": harness.alice.id}},
                "session": {"dmScope": "main"},
            }
        ],
    )
    harness.say("hi", channel=harness.direct())
    harness.say("hi", channel=harness.world.direct(harness.bob, harness.bot), by=harness.bob)
    await harness.settled()
    assert set(await sessions(harness)) == {
        "agent:ops:main",
        f"agent:main:mattermost:default:direct:{harness.bob.id}",
    }


class TestParticipation:
    async def test_in_a_thread_with_us_no_mention_is_needed(self, harness: Harness) -> None:
        """After our answer the thread is ours too, for seven days and across restarts."""
        await harness.start()
        root = harness.say("@helper hi")
        await harness.settled()
        harness.say("and more?", root=root)
        await harness.settled()
        await harness.stop()
        await harness.start()
        self._age(harness, days=6)
        harness.say("still there?", root=root, by=harness.bob)
        await harness.settled()
        assert harness.answers() == ["ok"] * 3
        self._age(harness, days=8)
        late = harness.say("and now?", root=root)
        await harness.settled()
        assert harness.answers() == ["ok"] * 3
        assert await harness.state(late) == "none"

    async def test_whoever_sees_an_answer_begin_can_reply_to_it(self, harness: Harness) -> None:
        """While the first answer in a thread still grows, what is said there is answered, too."""
        await harness.start()
        harness.script = [Say("one two three four", delay=1.0)]
        root = harness.say("@helper hi")
        await harness.until(harness.answers)
        onward = harness.say("and more?", root=root, by=harness.bob)
        await harness.settled()
        assert harness.answers() == ["one two three four"] * 2
        assert await harness.state(onward) == "delivered"

    async def test_a_bare_stop_ends_an_answer_that_grows(self, harness: Harness) -> None:
        """`stop` without a mention ends the answer that is being written."""
        await harness.start()
        harness.script = [Say("word " * 100, delay=1.0)]
        root = harness.say("@helper hi")
        await harness.until(harness.answers)
        harness.say("stop", root=root)
        await harness.settled()
        assert harness.answers()[0].endswith(STOPPED)
        assert (await harness.state(root)).startswith("cancelled")

    async def test_nothing_to_be_seen_makes_no_thread_ours(self, harness: Harness) -> None:
        """Neither does an agent at work that has said nothing yet, nor a preview that came to nothing."""
        await harness.start()
        harness.script = [Pause(5.0), Say("one two", delay=1.0), Final("", silent_reason="nothing to add")]
        root = harness.say("@helper hi")
        await trio.sleep(3.0)
        early = harness.say("what do you think?", root=root, by=harness.bob)
        await harness.settled()
        late = harness.say("no idea", root=root, by=harness.bob)
        await harness.settled()
        assert harness.answers() == []
        assert [await harness.state(post) for post in (early, late)] == ["none", "none"]

    def _age(self, harness: Harness, *, days: int) -> None:
        """Let the bot's last words be that much older: the clock would take a minute for the pings of a week."""
        harness.journal.execute("UPDATE participation SET at = at - ?", (days * 86_400_000,))

    async def test_it_can_be_switched_off(self, harness: Harness) -> None:
        """With implicitMentions.threadParticipation = false every message needs its mention."""
        await harness.start({"implicitMentions": {"threadParticipation": False}})
        root = harness.say("@helper hi")
        await harness.settled()
        harness.say("and more?", root=root)
        await harness.settled()
        assert harness.answers() == ["ok"]
