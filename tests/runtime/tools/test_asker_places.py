"""The message tool goes only where the people may go whom its turn answers: a running gateway and its server."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from oc_trio.agent.scripted import CallTool, Hear, Pause, Say
from oc_trio.callbacks.app import build_app
from oc_trio.core.turn_events import ToolStatus
from oc_trio.runtime.tools.asker_places import REFUSED
from oc_trio.sandbox.compact import dump
from oc_trio.sandbox.records import Channel
from oc_trio.sandbox.request import SandboxRequest, SandboxResponse
from tests.runtime.harness import Town
from tests.runtime.tools.test_message_tool import use

SECRET = "the launch is on Friday"
MAY_READ = {"actions": {"messages": True}}
MAY_ALL = {"actions": {"messages": True, "membersOnly": False}}


def private(town: Town, *, name: str = "board") -> Channel:
    """A private channel of bob and the bot, which alice made and left, with something said in it."""
    channel = town.world.create_channel(town.team, name, town.alice, town.bob, town.bot, private=True)
    town.say(SECRET, by=town.bob, channel=channel)
    leave(town, channel)
    return channel


def leave(town: Town, channel: Channel) -> None:
    town.world.membership.remove(channel, town.alice, town.alice)


def look_ups(answer: SandboxResponse) -> Callable[[SandboxRequest], Awaitable[SandboxResponse | None]]:
    """A rule that answers every look-up of a membership."""

    async def rule(request: SandboxRequest) -> SandboxResponse | None:
        is_look_up = request.method == "GET" and "/channels/" in request.path and "/members/" in request.path
        return answer if is_look_up else None

    return rule


def calls_on(town: Town, channel: Channel) -> dict[str, dict[str, Any]]:
    """Every action of the tool, on a channel."""
    target = f"channel:{channel.id}"
    newest = town.world.posts.of_channel(channel.id)[-1]
    said = next(post for post in town.world.posts.of_channel(channel.id) if post.message == SECRET)
    return {
        "send": {"action": "send", "target": target, "message": "hello"},
        "send with buttons": {
            "action": "send",
            "to": target,
            "message": "hello",
            "buttons": [[{"text": "Yes", "callback_data": "yes"}]],
        },
        "reply": {"action": "send", "channelId": target, "message": "hello", "replyTo": said.id},
        "file": {"action": "send", "target": target, "media": "https://example.com/x.png"},
        "react": {"action": "react", "target": target, "messageId": said.id, "emoji": "eyes"},
        "unreact": {"action": "react", "target": target, "messageId": said.id, "emoji": "eyes", "remove": True},
        "read": {"action": "read", "target": target},
        "read before": {"action": "read", "target": target, "before": newest.id},
    }


ACTIONS = ("send", "send with buttons", "reply", "file", "react", "unreact", "read", "read before")


@pytest.mark.parametrize("action", ACTIONS)
async def test_who_is_no_member_gets_nothing_done_there(town: Town, action: str) -> None:
    """Nothing is posted, reacted, uploaded or read; the turn goes on."""
    await town.start(MAY_READ)
    board = private(town)
    status, text = await use(town, **calls_on(town, board)[action])
    assert (status, text) == (ToolStatus.FAILED, REFUSED)
    assert town.answers(board) == []
    assert not any(town.world.reactions.of(post.id) for post in town.world.posts.of_channel(board.id))
    assert town.calls("POST", "/files") == town.calls("GET", f"/channels/{board.id}/posts") == 0
    assert "done" in town.answers()[-1]


@pytest.mark.parametrize("settings", [MAY_READ, MAY_ALL], ids=["a member", "membersOnly off"])
@pytest.mark.parametrize("action", [name for name in ACTIONS if name != "file"])
async def test_a_member_or_everybody_without_the_rule(town: Town, action: str, settings: dict[str, Any]) -> None:
    """What bob asks for is done in his channel; with the key off what alice asks for is as well."""
    await town.start(settings)
    board = private(town)
    asker = town.bob if settings is MAY_READ else town.alice
    status, text = await use(town, by=asker, **calls_on(town, board)[action])
    assert status is ToolStatus.COMPLETED, text
    if action == "read":
        assert SECRET in text
    if "send" in action or action == "reply":
        assert town.answers(board) == ["hello"]


@pytest.mark.slow
async def test_what_is_refused_tells_nothing(town: Town) -> None:
    """A private channel, one that the bot can't see, and none at all are one sentence, by id and by name."""
    await town.start(MAY_READ)
    private(town)
    foreign = town.world.create_channel(town.team, "foreign", town.alice, private=True)
    bobs = town.world.create_channel(town.team, "bobs", town.bob, town.bot, private=True)
    targets = ["#board", "town/board", "nowhere/board", "#none", f"channel:{foreign.id}", f"channel:{'z' * 26}"]
    targets += ["z" * 26, foreign.id, bobs.id, "@nobody", "@bob", f"user:{town.bob.id}", f"group:{bobs.id}"]
    for target in targets:
        for action in ("send", "read"):
            status, text = await use(town, action=action, target=target, message="x")
            assert (status, text) == (ToolStatus.FAILED, REFUSED), target


@pytest.mark.parametrize(
    "answer",
    [
        SandboxResponse(500, (), b""),
        SandboxResponse(403, (), b"{}"),
        SandboxResponse(404, (), b"<html>"),
        SandboxResponse(200, (), b"{}"),
        SandboxResponse(200, (), b"[]"),
        SandboxResponse(200, (), b"not json"),
        SandboxResponse(200, (), dump({"channel_id": "x", "user_id": "y"}).encode()),
    ],
    ids=["500", "403", "404", "empty", "a list", "no JSON", "another's"],
)
async def test_a_look_up_that_fails_is_a_refusal(town: Town, answer: SandboxResponse) -> None:
    """Closed by default, for a member as well; the turn's own conversation needs no look-up."""
    await town.start(MAY_READ)
    board = private(town)
    town.weather.before_rules.append(look_ups(answer))
    for action in ("send", "react", "read"):
        assert await use(town, by=town.bob, **calls_on(town, board)[action]) == (ToolStatus.FAILED, REFUSED)
    assert town.answers(board) == []
    for target in ({}, {"target": f"channel:{town.square.id}"}, {"target": "#square"}):
        status, text = await use(town, action="send", message="here", **target)
        assert status is ToolStatus.COMPLETED, text
    assert town.answers().count("here") == 3


async def test_who_leaves_in_the_middle_of_a_turn(town: Town) -> None:
    """The next call of the same turn is refused; what was posted before stays as it was."""
    await town.start(MAY_READ)
    board = private(town)
    town.world.membership.add(board, town.alice, town.bob)
    calls, results = calls_on(town, board), list[Any]()

    def script(_: Any) -> Any:
        for action in ("send", "react", "read"):
            results.append((yield CallTool("message", calls[action])))
        leave(town, board)
        for action in ("send", "unreact", "read"):
            results.append((yield CallTool("message", calls[action])))
        yield Say("done")

    town.script = script
    town.say("@helper go")
    await town.settled()
    assert [result.status for result in results] == [ToolStatus.COMPLETED] * 3 + [ToolStatus.FAILED] * 3
    assert [result.text for result in results[3:]] == [REFUSED] * 3
    [post] = town.ours(board)
    assert (post.message, post.edit_at) == ("hello", 0)


async def test_all_who_asked_have_to_be_members(town: Town) -> None:
    """A turn that a member began stops being a member's alone when somebody else joins it."""
    await town.start(MAY_READ, messages={"queue": {"mode": "steer"}})
    board = private(town)
    calls, results = calls_on(town, board), list[Any]()

    def script(_: Any) -> Any:
        results.append((yield CallTool("message", calls["read"])))
        yield Pause(5)
        results.append((yield CallTool("message", calls["read"])))
        yield Hear()
        results.append((yield CallTool("message", calls["read"])))
        yield Say("done")

    town.script = script
    asked = town.say("@helper go", by=town.bob)
    await town.until(lambda: results)
    town.say("@helper and what else?", root=asked)
    await town.settled()
    assert len(town.stage.requests) == 1, "alice's message joined bob's turn"
    assert [result.status for result in results] == [ToolStatus.COMPLETED, ToolStatus.COMPLETED, ToolStatus.FAILED]
    assert results[-1].text == REFUSED


async def test_collected_messages_have_several_askers(town: Town) -> None:
    """Answered together, in one turn: all of their authors asked."""
    await town.start(MAY_READ, messages={"queue": {"mode": "collect", "debounceMs": 0}})
    board = private(town)
    town.script = [Say("one"), Pause(5), Say("two")]
    root = town.say("@helper first")
    await town.until(lambda: town.stage.requests)
    results: list[Any] = []

    def script(_: Any) -> Any:
        results.append((yield CallTool("message", calls_on(town, board)["send"])))
        yield Say("done")

    town.script = script
    town.say("@helper alice asks", root=root)
    town.say("@helper bob asks", root=root, by=town.bob)
    await town.settled()
    assert [result.text for result in results] == [REFUSED]
    assert town.answers(board) == []


async def test_direct_messages_go_to_who_asked(town: Town) -> None:
    """By name, by id and by the direct channel's id; the direct channel of somebody else is not for alice."""
    await town.start()
    mine, bobs = town.direct(), town.world.direct(town.bob, town.bot)
    for target in ("@alice", f"user:{town.alice.id}", town.alice.id, f"channel:{mine.id}", mine.id):
        status, text = await use(town, action="send", target=target, message="psst")
        assert status is ToolStatus.COMPLETED, text
    for target in ("@bob", f"user:{town.bob.id}", f"channel:{bobs.id}", bobs.id):
        assert await use(town, action="send", target=target, message="psst") == (ToolStatus.FAILED, REFUSED)
    assert (town.answers(mine), town.answers(bobs)) == (["psst"] * 5, [])


async def test_group_messages_go_by_membership(town: Town) -> None:
    """Bob's group without alice is refused to her and open to him."""
    await town.start()
    carol = town.world.create_user("carol", "Passw0rd!x", team=town.team)
    group = town.world.membership.open_group(town.bob, (carol.id, town.bot.id))
    call = {"action": "send", "target": f"group:{group.id}", "message": "all of us"}
    assert await use(town, **call) == (ToolStatus.FAILED, REFUSED)
    status, text = await use(town, by=town.bob, **call)
    assert status is ToolStatus.COMPLETED, text
    assert town.answers(group) == ["all of us"]


async def test_a_hook_asks_for_nobody(town: Town) -> None:
    """What another program starts with the hooks' token keeps to the operator's rules alone."""
    board = private(town)
    results: list[Any] = []

    def script(_: Any) -> Any:
        results.append((yield CallTool("message", calls_on(town, board)["send"])))
        yield Say("done")

    town.script = script
    gateway = await town.start(gateway={"port": 0}, hooks={"enabled": True, "token": "a-secret-of-hooks"})
    client: Any = build_app(gateway.port.faces, metrics=gateway.metrics).test_client()
    response = await client.post(
        "/hooks/agent",
        json={"message": "Tell the board.", "to": f"channel:{town.square.id}"},
        headers={"Authorization": "Bearer a-secret-of-hooks"},
    )
    assert response.status_code == 202, await response.get_data()
    await town.settled()
    [result] = results
    assert result.status is ToolStatus.COMPLETED, result.text
    assert town.answers(board) == ["hello"]
    assert town.answers() == ["done"]


@pytest.mark.slow
async def test_a_schedule_asks_for_nobody(town: Town) -> None:
    """What the operator scheduled keeps to the operator's rules alone."""
    board = private(town)
    results: list[Any] = []

    def script(_: Any) -> Any:
        results.append((yield CallTool("message", calls_on(town, board)["send"])))
        yield Say("done")

    town.script = script
    job = {"expression": "@hourly", "target": "#square", "prompt": "Tell the board."}
    await town.start(cron={"jobs": {"news": job}})
    await trio.sleep(3600)
    await town.settled()
    assert results[0].status is ToolStatus.COMPLETED, results[0].text
    assert town.answers(board) == ["hello"]
