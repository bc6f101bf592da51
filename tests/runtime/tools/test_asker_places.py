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
from oc_trio.sandbox.records import ChannelRecord
from oc_trio.sandbox.request import SandboxRequest, SandboxResponse
from tests.runtime.harness import Harness
from tests.runtime.tools.test_message_tool import use

SECRET = "the launch is on Friday"
BUTTONS = {"capabilities": ["inlineButtons"]}
MAY_READ = {"actions": {"messages": True}, **BUTTONS}
MAY_ALL = {"actions": {"messages": True, "membersOnly": False}, **BUTTONS}


def private(harness: Harness, *, name: str = "board") -> ChannelRecord:
    """A private channel of bob and the bot, which alice made and left, with something said in it."""
    channel = harness.world.create_channel(harness.team, name, harness.alice, harness.bob, harness.bot, private=True)
    harness.say(SECRET, by=harness.bob, channel=channel)
    leave(harness, channel)
    return channel


def leave(harness: Harness, channel: ChannelRecord) -> None:
    harness.world.membership.remove(channel, harness.alice, harness.alice)


def look_ups(answer: SandboxResponse) -> Callable[[SandboxRequest], Awaitable[SandboxResponse | None]]:
    """A rule that answers every look-up of a membership."""

    async def rule(request: SandboxRequest) -> SandboxResponse | None:
        is_look_up = request.method == "GET" and "/channels/" in request.path and "/members/" in request.path
        return answer if is_look_up else None

    return rule


def calls_on(harness: Harness, channel: ChannelRecord) -> dict[str, dict[str, Any]]:
    """Every action of the tool, on a channel."""
    target = f"channel:{channel.id}"
    newest = harness.world.posts.of_channel(channel.id)[-1]
    secret_post = next(post for post in harness.world.posts.of_channel(channel.id) if post.message == SECRET)
    return {
        "send": {"action": "send", "target": target, "message": "hello"},
        "send with buttons": {
            "action": "send",
            "to": target,
            "message": "hello",
            "buttons": [[{"text": "Yes", "callback_data": "yes"}]],
        },
        "reply": {"action": "send", "channelId": target, "message": "hello", "replyTo": secret_post.id},
        "file": {"action": "send", "target": target, "media": "https://example.com/x.png"},
        "react": {"action": "react", "target": target, "messageId": secret_post.id, "emoji": "eyes"},
        "unreact": {"action": "react", "target": target, "messageId": secret_post.id, "emoji": "eyes", "remove": True},
        "read": {"action": "read", "target": target},
        "read before": {"action": "read", "target": target, "before": newest.id},
    }


ACTIONS = ("send", "send with buttons", "reply", "file", "react", "unreact", "read", "read before")


@pytest.mark.parametrize("action", ACTIONS)
async def test_who_is_no_member_gets_nothing_done_there(harness: Harness, action: str) -> None:
    """Nothing is posted, reacted, uploaded or read; the turn goes on."""
    await harness.start(MAY_READ, gateway={"port": 0})
    board = private(harness)
    status, text = await use(harness, **calls_on(harness, board)[action])
    assert (status, text) == (ToolStatus.FAILED, REFUSED)
    assert harness.answers(board) == []
    assert not any(harness.world.reactions.of(post.id) for post in harness.world.posts.of_channel(board.id))
    assert harness.calls("POST", "/files") == harness.calls("GET", f"/channels/{board.id}/posts") == 0
    assert "done" in harness.answers()[-1]


@pytest.mark.parametrize("settings", [MAY_READ, MAY_ALL], ids=["a member", "membersOnly off"])
@pytest.mark.parametrize("action", [name for name in ACTIONS if name != "file"])
async def test_a_member_or_everybody_without_the_rule(harness: Harness, action: str, settings: dict[str, Any]) -> None:
    """What bob asks for is done in his channel; with the key off what alice asks for is as well."""
    await harness.start(settings, gateway={"port": 0})
    board = private(harness)
    asker = harness.bob if settings is MAY_READ else harness.alice
    status, text = await use(harness, by=asker, **calls_on(harness, board)[action])
    assert status is ToolStatus.COMPLETED, text
    if action == "read":
        assert SECRET in text
    if "send" in action or action == "reply":
        assert harness.answers(board) == ["hello"]


@pytest.mark.slow
async def test_what_is_refused_tells_nothing(harness: Harness) -> None:
    """A private channel, one that the bot can't see, and none at all are one sentence, by id and by name."""
    await harness.start(MAY_READ, gateway={"port": 0})
    private(harness)
    foreign = harness.world.create_channel(harness.team, "foreign", harness.alice, private=True)
    bobs = harness.world.create_channel(harness.team, "bobs", harness.bob, harness.bot, private=True)
    targets = ["#board", "town/board", "nowhere/board", "#none", f"channel:{foreign.id}", f"channel:{'z' * 26}"]
    targets += ["z" * 26, foreign.id, bobs.id, "@nobody", "@bob", f"user:{harness.bob.id}", f"group:{bobs.id}"]
    for target in targets:
        for action in ("send", "read"):
            status, text = await use(harness, action=action, target=target, message="x")
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
async def test_a_look_up_that_fails_is_a_refusal(harness: Harness, answer: SandboxResponse) -> None:
    """Closed by default, for a member as well; the turn's own conversation needs no look-up."""
    await harness.start(MAY_READ, gateway={"port": 0})
    board = private(harness)
    harness.faults.before_rules.append(look_ups(answer))
    for action in ("send", "react", "read"):
        assert await use(harness, by=harness.bob, **calls_on(harness, board)[action]) == (ToolStatus.FAILED, REFUSED)
    assert harness.answers(board) == []
    for target in ({}, {"target": f"channel:{harness.square.id}"}, {"target": "#square"}):
        status, text = await use(harness, action="send", message="here", **target)
        assert status is ToolStatus.COMPLETED, text
    assert harness.answers().count("here") == 3


async def test_who_leaves_in_the_middle_of_a_turn(harness: Harness) -> None:
    """The next call of the same turn is refused; what was posted before stays as it was."""
    await harness.start(MAY_READ, gateway={"port": 0})
    board = private(harness)
    harness.world.membership.add(board, harness.alice, harness.bob)
    calls, results = calls_on(harness, board), list[Any]()

    def script(_: Any) -> Any:
        for action in ("send", "react", "read"):
            results.append((yield CallTool("message", calls[action])))
        leave(harness, board)
        for action in ("send", "unreact", "read"):
            results.append((yield CallTool("message", calls[action])))
        yield Say("done")

    harness.script = script
    harness.say("@helper go")
    await harness.settled()
    assert [result.status for result in results] == [ToolStatus.COMPLETED] * 3 + [ToolStatus.FAILED] * 3
    assert [result.text for result in results[3:]] == [REFUSED] * 3
    [post] = harness.ours(board)
    assert (post.message, post.edit_at) == ("hello", 0)


async def test_all_who_asked_have_to_be_members(harness: Harness) -> None:
    """A turn that a member began stops being a member's alone when somebody else joins it."""
    await harness.start(MAY_READ, messages={"queue": {"mode": "steer"}})
    board = private(harness)
    calls, results = calls_on(harness, board), list[Any]()

    def script(_: Any) -> Any:
        results.append((yield CallTool("message", calls["read"])))
        yield Pause(5)
        results.append((yield CallTool("message", calls["read"])))
        yield Hear()
        results.append((yield CallTool("message", calls["read"])))
        yield Say("done")

    harness.script = script
    question = harness.say("@helper go", by=harness.bob)
    await harness.until(lambda: results)
    harness.say("@helper and what else?", root=question)
    await harness.settled()
    assert len(harness.agent.requests) == 1, "alice's message joined bob's turn"
    assert [result.status for result in results] == [ToolStatus.COMPLETED, ToolStatus.COMPLETED, ToolStatus.FAILED]
    assert results[-1].text == REFUSED


async def test_collected_messages_have_several_askers(harness: Harness) -> None:
    """Answered together, in one turn: all of their authors asked."""
    await harness.start(MAY_READ, messages={"queue": {"mode": "collect", "debounceMs": 0}})
    board = private(harness)
    harness.script = [Say("one"), Pause(5), Say("two")]
    root = harness.say("@helper first")
    await harness.until(lambda: harness.agent.requests)
    results: list[Any] = []

    def script(_: Any) -> Any:
        results.append((yield CallTool("message", calls_on(harness, board)["send"])))
        yield Say("done")

    harness.script = script
    harness.say("@helper alice asks", root=root)
    harness.say("@helper bob asks", root=root, by=harness.bob)
    await harness.settled()
    assert [result.text for result in results] == [REFUSED]
    assert harness.answers(board) == []


async def test_direct_messages_go_to_who_asked(harness: Harness) -> None:
    """By name, by id and by the direct channel's id; the direct channel of somebody else is not for alice."""
    await harness.start()
    mine, bobs = harness.direct(), harness.world.direct(harness.bob, harness.bot)
    for target in ("@alice", f"user:{harness.alice.id}", harness.alice.id, f"channel:{mine.id}", mine.id):
        status, text = await use(harness, action="send", target=target, message="psst")
        assert status is ToolStatus.COMPLETED, text
    for target in ("@bob", f"user:{harness.bob.id}", f"channel:{bobs.id}", bobs.id):
        assert await use(harness, action="send", target=target, message="psst") == (ToolStatus.FAILED, REFUSED)
    assert (harness.answers(mine), harness.answers(bobs)) == (["psst"] * 5, [])


async def test_group_messages_go_by_membership(harness: Harness) -> None:
    """Bob's group without alice is refused to her and open to him."""
    await harness.start()
    carol = harness.world.create_user("carol", "Passw0rd!x", team=harness.team)
    group = harness.world.membership.open_group(harness.bob, (carol.id, harness.bot.id))
    call = {"action": "send", "target": f"group:{group.id}", "message": "all of us"}
    assert await use(harness, **call) == (ToolStatus.FAILED, REFUSED)
    status, text = await use(harness, by=harness.bob, **call)
    assert status is ToolStatus.COMPLETED, text
    assert harness.answers(group) == ["all of us"]


async def test_a_hook_asks_for_nobody(harness: Harness) -> None:
    """What another program starts with the hooks' token keeps to the operator's rules alone."""
    board = private(harness)
    results: list[Any] = []

    def script(_: Any) -> Any:
        results.append((yield CallTool("message", calls_on(harness, board)["send"])))
        yield Say("done")

    harness.script = script
    gateway = await harness.start(gateway={"port": 0}, hooks={"enabled": True, "token": "a-secret-of-hooks"})
    client: Any = build_app(gateway.port.registry, metrics=gateway.metrics).test_client()
    response = await client.post(
        "/hooks/agent",
        json={"message": "Tell the board.", "to": f"channel:{harness.square.id}"},
        headers={"Authorization": "Bearer a-secret-of-hooks"},
    )
    assert response.status_code == 202, await response.get_data()
    await harness.settled()
    [result] = results
    assert result.status is ToolStatus.COMPLETED, result.text
    assert harness.answers(board) == ["hello"]
    assert harness.answers() == ["done"]


@pytest.mark.slow
async def test_a_schedule_asks_for_nobody(harness: Harness) -> None:
    """What the operator scheduled keeps to the operator's rules alone."""
    board = private(harness)
    results: list[Any] = []

    def script(_: Any) -> Any:
        results.append((yield CallTool("message", calls_on(harness, board)["send"])))
        yield Say("done")

    harness.script = script
    job = {"expression": "@hourly", "target": "#square", "prompt": "Tell the board."}
    await harness.start(cron={"jobs": {"news": job}})
    await trio.sleep(3600)
    await harness.settled()
    assert results[0].status is ToolStatus.COMPLETED, results[0].text
    assert harness.answers(board) == ["hello"]
