"""Where answers land and which conversation they belong to, in the town."""

from typing import Any

import pytest
import trio

from oc_trio.agent.scripted import Pause, Say
from oc_trio.core.final_plan import STOPPED
from oc_trio.core.turn_events import Final
from oc_trio.sandbox.records import Channel, Post
from tests.runtime.harness import ACCOUNT, Town

AGENTS: dict[str, Any] = {"entries": {"main": {}, "ops": {}, "team": {}, "any": {}}}


@pytest.fixture
async def town(town: Town) -> Town:
    """The town, with an agent that says one word."""
    await trio.lowlevel.checkpoint()
    town.script = [Say("ok")]
    return town


async def sessions(town: Town) -> dict[str, str]:
    """Each conversation's key and the root that it is stored under."""
    return {str(row.key): row.root_id for row in await town.store.sessions.list()}


async def session_of(town: Town, post: Post) -> str:
    seen = await town.store.admission.decision(ACCOUNT, post.id)
    assert seen is not None
    return str(seen.session)


def place(town: Town, name: str) -> Channel:
    """One of the three kinds of conversation."""
    if name == "direct":
        return town.direct()
    if name == "private":
        team = town.world.teams.get(town.square.team_id)
        return town.world.create_channel(team, "den", town.alice, town.bob, town.bot, private=True)
    return town.square


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
async def test_a_top_level_post(town: Town, settings: dict[str, Any], threads: tuple[str, ...], where: str) -> None:
    """The answer opens a thread where the mode says so, with a session of its own."""
    await town.start(settings)
    room = place(town, where)
    post = town.say("@helper hi", channel=room)
    await town.settled()
    [answer] = town.ours(room)
    assert answer.root_id == (post.id if where in threads else "")
    base = {
        "direct": f"agent:main:mattermost:default:direct:{town.alice.id}",
        "private": f"agent:main:mattermost:group:{room.id}",
        "public": f"agent:main:mattermost:channel:{room.id}",
    }[where]
    assert await sessions(town) == ({f"{base}:thread:{post.id}": post.id} if where in threads else {base: ""})


@pytest.mark.parametrize("mode", ["off", "all"])
async def test_a_reply_is_answered_in_its_thread(town: Town, mode: str) -> None:
    """Under a root that exists, whatever the mode; a reply's own id is never a root."""
    await town.start({"replyToMode": mode})
    root = town.say("hello all")
    reply = town.say("@helper hi", root=root)
    await town.settled()
    [answer] = town.ours()
    assert answer.root_id == root.id != reply.id
    assert list(await sessions(town)) == [f"agent:main:mattermost:channel:{town.square.id}:thread:{root.id}"]


async def test_direct_messages_are_flat_even_inside_a_thread(town: Town) -> None:
    """A person who replies in a thread of a direct message still gets a flat answer."""
    await town.start({"replyToMode": "all"})
    direct = town.direct()
    root = town.say("hi", channel=direct)
    town.say("and?", channel=direct, root=root)
    await town.settled()
    assert [post.root_id for post in town.ours(direct)] == ["", ""]
    assert len(await sessions(town)) == 1


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
async def test_direct_scopes(town: Town, scope: str, keys: set[str]) -> None:
    """session.dmScope decides who shares a conversation; each answer goes to whoever asked."""
    await town.start(session={"dmScope": scope})
    rooms = [town.direct(), town.world.direct(town.bob, town.bot)]
    town.say("I am alice", channel=rooms[0])
    town.say("I am bob", channel=rooms[1], by=town.bob)
    await town.settled()
    assert [town.answers(room) for room in rooms] == [["ok"], ["ok"]]
    named = {key.replace("ALICE", town.alice.id).replace("BOB", town.bob.id) for key in keys}
    assert set(await sessions(town)) == named


async def test_linked_identities_share_a_conversation(town: Town) -> None:
    """Two ids of one person have one session."""
    links = {"Al": [f"mattermost:{town.alice.id}", town.bob.id, "telegram:123"]}
    await town.start(session={"dmScope": "per-peer", "identityLinks": links})
    rooms = [town.direct(), town.world.direct(town.bob, town.bot)]
    town.say("hi", channel=rooms[0])
    await town.settled()
    town.say("me again", channel=rooms[1], by=town.bob)
    await town.settled()
    assert list(await sessions(town)) == ["agent:main:direct:al"]
    assert len(town.stage.requests[-1].messages) == 3
    assert town.answers(rooms[1]) == ["ok"]


async def test_group_scope_main(town: Town) -> None:
    """All channels share one conversation, and each answer stays in its channel."""
    await town.start({"replyToMode": "off"}, session={"groupScope": "main", "mainKey": "desk"})
    rooms = [place(town, "public"), place(town, "private")]
    for room in rooms:
        town.say("@helper hi", channel=room)
    await town.settled()
    assert list(await sessions(town)) == ["agent:main:desk"]
    assert [town.answers(room) for room in rooms] == [["ok"], ["ok"]]


async def test_the_most_specific_binding_wins(town: Town) -> None:
    """Peer before any peer, team and account; a binding for another platform never applies."""
    den = place(town, "private")
    await town.start(
        {"replyToMode": "off"},
        agents=AGENTS,
        bindings=[
            {"agentId": "main", "match": {"channel": "telegram", "peer": {"kind": "group", "id": den.id}}},
            {"agentId": "any", "match": {"accountId": "Default"}},
            {"agentId": "team", "match": {"teamId": town.square.team_id}},
            {"agentId": "ops", "match": {"peer": {"kind": "channel", "id": den.id}}},
            {"agentId": "main", "match": {"peer": {"kind": "direct", "id": town.alice.id}}},
        ],
    )
    rooms = [den, town.square, town.direct(), town.world.direct(town.bob, town.bot)]
    for room in rooms:
        town.say("@helper hi", channel=room, by=town.bob if room is rooms[3] else town.alice)
    await town.settled()
    agents = {key.split(":")[1] for key in await sessions(town)}
    assert agents == {"ops", "team", "main", "any"}
    assert [str(request.agent) for request in town.stage.requests].count("main") == 1


async def test_a_binding_has_scopes_of_its_own(town: Town) -> None:
    """bindings[].session applies to what it matches only."""
    await town.start(
        agents=AGENTS,
        bindings=[
            {
                "agentId": "ops",
                "match": {"peer": {"kind": "direct", "id": town.alice.id}},
                "session": {"dmScope": "main"},
            }
        ],
    )
    town.say("hi", channel=town.direct())
    town.say("hi", channel=town.world.direct(town.bob, town.bot), by=town.bob)
    await town.settled()
    assert set(await sessions(town)) == {
        "agent:ops:main",
        f"agent:main:mattermost:default:direct:{town.bob.id}",
    }


class TestParticipation:
    async def test_in_a_thread_with_us_no_mention_is_needed(self, town: Town) -> None:
        """After our answer the thread is ours too, for seven days and across restarts."""
        await town.start()
        root = town.say("@helper hi")
        await town.settled()
        town.say("and more?", root=root)
        await town.settled()
        await town.stop()
        await town.start()
        self._age(town, days=6)
        town.say("still there?", root=root, by=town.bob)
        await town.settled()
        assert town.answers() == ["ok"] * 3
        self._age(town, days=8)
        late = town.say("and now?", root=root)
        await town.settled()
        assert town.answers() == ["ok"] * 3
        assert await town.state(late) == "none"

    async def test_whoever_sees_an_answer_begin_can_reply_to_it(self, town: Town) -> None:
        """While the first answer in a thread still grows, what is said there is answered, too."""
        await town.start()
        town.script = [Say("one two three four", delay=1.0)]
        root = town.say("@helper hi")
        await town.until(town.answers)
        onward = town.say("and more?", root=root, by=town.bob)
        await town.settled()
        assert town.answers() == ["one two three four"] * 2
        assert await town.state(onward) == "delivered"

    async def test_a_bare_stop_ends_an_answer_that_grows(self, town: Town) -> None:
        """Nobody has to name the bot to make it stop."""
        await town.start()
        town.script = [Say("word " * 100, delay=1.0)]
        root = town.say("@helper hi")
        await town.until(town.answers)
        town.say("stop", root=root)
        await town.settled()
        assert town.answers()[0].endswith(STOPPED)
        assert (await town.state(root)).startswith("cancelled")

    async def test_nothing_to_be_seen_makes_no_thread_ours(self, town: Town) -> None:
        """Neither does an agent at work that has said nothing yet, nor a preview that came to nothing."""
        await town.start()
        town.script = [Pause(5.0), Say("one two", delay=1.0), Final("", silent_reason="nothing to add")]
        root = town.say("@helper hi")
        await trio.sleep(3.0)
        early = town.say("what do you think?", root=root, by=town.bob)
        await town.settled()
        late = town.say("no idea", root=root, by=town.bob)
        await town.settled()
        assert town.answers() == []
        assert [await town.state(post) for post in (early, late)] == ["none", "none"]

    def _age(self, town: Town, *, days: int) -> None:
        """Let the bot's last words be that much older: the clock would take a minute for the pings of a week."""
        town.journal.execute("UPDATE participation SET at = at - ?", (days * 86_400_000,))

    async def test_it_can_be_switched_off(self, town: Town) -> None:
        """With implicitMentions.threadParticipation = false every message needs its mention."""
        await town.start({"implicitMentions": {"threadParticipation": False}})
        root = town.say("@helper hi")
        await town.settled()
        town.say("and more?", root=root)
        await town.settled()
        assert town.answers() == ["ok"]
