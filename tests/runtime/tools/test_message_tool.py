"""The agent's message tool in a running gateway: every action, its parameters as documented, and what it may not do."""

import json
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
import trio

from oc_trio.agent.port import Role, ToolCall, ToolResult, TurnRequest
from oc_trio.agent.scripted import CallTool, Say
from oc_trio.agent.stream import Emit, EventStream, open_events
from oc_trio.core.turn_events import Final, ToolEnded, ToolStarted, ToolStatus
from oc_trio.sandbox.request import SandboxRequest, SandboxResponse
from tests.runtime.harness import ACCOUNT, Harness


async def use(
    harness: Harness, question: str = "@helper go", by: Any = None, **arguments: Any
) -> tuple[ToolStatus, str]:
    """Let the agent call the tool in the turn that answers `question`; gives the call's status and result."""
    results: list[Any] = []

    def script(request: Any) -> Any:
        results.append((yield CallTool("message", arguments)))
        yield Say("done")

    harness.script = script
    harness.say(question, by=by)
    await harness.settled()
    [result] = results
    return result.status, result.text


async def test_send_to_a_channel_by_id(harness: Harness) -> None:
    """OpenClaw's form: action=send with target and message; the post is the outbox's."""
    await harness.start()
    other = harness.world.create_channel(
        harness.world.teams.get(harness.square.team_id), "other", harness.alice, harness.bot
    )
    status, text = await use(harness, action="send", target=f"channel:{other.id}", message="over there, @channel")
    assert status is ToolStatus.COMPLETED, text
    [post] = harness.ours(other)
    assert post.message == "over there, @\u200bchannel", "a model's broadcast wakes nobody"
    assert json.loads(text)["messageId"] == post.id
    assert await harness.store.outbox.unfinished(ACCOUNT) == (), "the row is confirmed"


async def test_send_without_a_target_stays_in_the_thread(harness: Harness) -> None:
    """Where the agent is, is the default; `topLevel` leaves the thread."""
    await harness.start()
    await use(harness, action="send", message="beside the answer")
    root = harness.world.posts.of_channel(harness.square.id)[-1].root_id
    assert next(post for post in harness.ours() if post.message == "beside the answer").root_id == root != ""
    await use(harness, action="send", message="on top", topLevel=True)
    assert next(post for post in harness.ours() if post.message == "on top").root_id == ""


async def test_a_direct_message_opens_its_channel(harness: Harness) -> None:
    """`@bob` gets a direct message; the row in the outbox names him until the channel is open."""
    await harness.start({"actions": {"membersOnly": False}})
    status, text = await use(harness, action="send", target="@bob", message="psst")
    assert status is ToolStatus.COMPLETED, text
    assert harness.answers(harness.world.direct(harness.bob, harness.bot)) == ["psst"]


async def test_buttons_by_the_message_tool(harness: Harness) -> None:
    """OpenClaw's form: rows of text and callback_data become signed buttons in the channel."""
    await harness.start({"capabilities": ["inlineButtons"]}, gateway={"port": 0})
    rows = [[{"text": "Yes", "callback_data": "yes"}, {"text": "No", "callback_data": "no"}]]
    await use(harness, action="send", target=f"channel:{harness.square.id}", message="Sure?", buttons=rows)
    post = next(post for post in harness.ours() if post.message == "Sure?")
    actions = post.props["attachments"][0]["actions"]
    assert [(action["id"], action["name"], action["type"]) for action in actions] == [
        ("yes", "Yes", "button"),
        ("no", "No", "button"),
    ]
    context = actions[0]["integration"]["context"]
    assert context["action_id"] == "yes"
    assert context["_token"]


async def test_buttons_are_taught_only_with_the_capability(harness: Harness) -> None:
    """`inlineButtons` puts the parameter into the tool's description; reactions follow `actions.reactions`."""
    offered: list[Mapping[str, Any]] = []

    def script(request: Any) -> Any:
        offered.append(next(spec for spec in request.tools.specs if spec.name == "message").parameters["properties"])
        yield Say("ok")

    harness.script = script
    for settings in ({}, {"capabilities": ["inlineButtons"], "actions": {"reactions": False}}):
        await harness.start(settings, gateway={"port": 0})
        harness.say("@helper go")
        await harness.settled()
        await harness.stop()
    assert ("buttons" in offered[0], "emoji" in offered[0]) == (False, True)
    assert ("buttons" in offered[1], "emoji" in offered[1]) == (True, False)
    assert offered[1]["action"]["enum"] == ["send", "read"]


async def test_reactions_by_the_message_tool(harness: Harness) -> None:
    """OpenClaw's form: messageId and emoji, as name or `:name:`; `remove=true` takes it off."""
    await harness.start()
    post = harness.say("nice")
    target = f"channel:{harness.square.id}"
    status, text = await use(
        harness, action="react", channel="mattermost", target=target, messageId=post.id, emoji=":+1:"
    )
    assert (status, text) == (ToolStatus.COMPLETED, f"Reacted with :+1: on {post.id}")
    assert [reaction.emoji_name for reaction in harness.world.reactions.of(post.id)] == ["+1"]
    _, text = await use(harness, action="react", target=target, postId=post.id, emoji="+1", remove=True)
    assert text == f"Removed reaction :+1: from {post.id}"
    assert harness.world.reactions.of(post.id) == []


@pytest.mark.parametrize(
    ("settings", "arguments", "problem"),
    [
        ({}, {"action": "react", "emoji": ""}, "emoji is required"),
        ({}, {"action": "react", "emoji": "x", "messageId": "z" * 26}, "no post"),
        ({}, {"action": "react", "emoji": "party_parrot"}, "this Mattermost has no emoji :party_parrot:"),
        ({"actions": {"reactions": False}}, {"action": "react", "emoji": "x"}, "disabled"),
        ({}, {"action": "send", "message": " "}, "empty"),
        ({}, {"action": "send", "target": "#nowhere", "message": "x"}, "the target is refused"),
        (
            {"actions": {"membersOnly": False}},
            {"action": "send", "target": "#nowhere", "message": "x"},
            "no channel nowhere",
        ),
        ({}, {"action": "send", "message": "x", "accountId": "alerts"}, "Only the account default"),
        ({}, {"action": "send", "message": "x", "channel": "telegram"}, "which is mattermost here, not 'telegram'"),
        ({}, {"action": "send", "message": "x", "channel": "#board"}, "name the place in target"),
        ({}, {"action": "send", "media": "/etc/passwd"}, "no files of the gateway"),
        ({}, {"action": "send", "media": "http://127.0.0.1/x"}, "can't be fetched from a public address"),
        ({}, {"action": "send", "buttons": [[{}]]}, "needs a text"),
        ({}, {"action": "read", "limit": 0}, "positive"),
        ({}, {"action": "read", "target": "@alice"}, "actions.messages is off"),
        ({}, {"action": "pin"}, "no action"),
        ({}, {"action": "send", "target": ["@bob"], "message": "x"}, "target must be a text"),
        ({}, {"action": "send", "to": {"user": "bob"}, "message": "x"}, "to must be a text"),
        ({}, {"action": "send", "channelId": 7, "message": "x"}, "channelId must be a text"),
        ({}, {"action": "send", "target": "@alice", "to": ["@bob"], "message": "x"}, "to must be a text"),
        ({}, {"action": "send", "message": "x", "accountId": ["alerts"]}, "accountId must be a text"),
        ({}, {"action": "send", "message": "x", "replyTo": 5}, "replyTo must be a text"),
        ({}, {"action": "send", "message": "x", "topLevel": "yes"}, "topLevel must be true or false"),
        ({}, {"action": "send", "message": "x", "media": {"url": "http://h/"}}, "media must be a text"),
        ({}, {"action": "send", "message": "x", "mediaUrls": "http://h/"}, "mediaUrls must be a list"),
        ({}, {"action": "send", "message": "x", "attachments": [{"name": "a"}]}, "attachments must be a list"),
        ({}, {"action": "react", "emoji": "x", "remove": "yes"}, "remove must be true or false"),
    ],
    ids=lambda value: "" if not isinstance(value, str) else value.replace(" ", "-"),
)
async def test_what_the_tool_refuses(harness: Harness, settings: Any, arguments: Any, problem: str) -> None:
    """A refusal is a failed result in words; the turn goes on."""
    await harness.start(settings)
    status, text = await use(harness, **arguments)
    assert status is ToolStatus.FAILED
    assert problem.lower() in text.lower()
    assert harness.answers() == ["done"], "what was meant for elsewhere is not posted here"


async def test_a_reaction_on_a_post_of_another_channel_is_refused(harness: Harness) -> None:
    """The post has to be in the channel that the call names."""
    await harness.start()
    secret = harness.world.create_channel(
        harness.world.teams.get(harness.square.team_id), "secret", harness.alice, harness.bot
    )
    post = harness.say("hidden", channel=secret)
    status, text = await use(harness, action="react", messageId=post.id, emoji="eyes")
    assert status is ToolStatus.FAILED
    assert "is not in #square" in text


async def test_reading_the_current_conversation(harness: Harness) -> None:
    """Always allowed: newest first, with authors and times."""
    await harness.start()
    harness.say("one")
    harness.say("two", by=harness.bob)
    _, text = await use(harness, action="read", limit=3)
    result = json.loads(text)
    assert [(post["username"], post["message"]) for post in result["messages"]][-2:] == [
        ("bob", "two"),
        ("alice", "one"),
    ]
    assert result["hasMore"] is True


async def test_reading_a_direct_message_shows_a_paired_persons_posts(harness: Harness) -> None:
    """`contextVisibility` hides people who may not use the bot; somebody who is paired may."""
    await harness.start({"dmPolicy": "pairing", "allowFrom": [], "contextVisibility": "allowlist"})
    direct = harness.direct()
    harness.say("hi", channel=direct)
    await harness.settled()
    [request] = await harness.store.pairing.pending(ACCOUNT, harness.now_ms())
    await harness.store.pairing.approve(ACCOUNT, request.code, harness.now_ms())
    results: list[Any] = []

    def script(_request: Any) -> Any:
        results.append((yield CallTool("message", {"action": "read"})))
        yield Say("done")

    harness.script = script
    harness.say("what did I say?", channel=direct)
    await harness.settled()
    [result] = results
    reply = json.loads(result.text)
    assert [post["message"] for post in reply["messages"] if post["username"] == "alice"] == ["what did I say?", "hi"]
    assert "hidden" not in reply


@pytest.mark.parametrize(
    ("settings", "kind", "allowed"),
    [
        ({"actions": {"messages": True}}, "O", True),
        ({"actions": {"messages": True}}, "D", False),
        ({"actions": {"messages": True}, "groupPolicy": "allowlist", "groupAllowFrom": ["*"]}, "O", False),
        (
            {"actions": {"messages": True}, "groupPolicy": "allowlist", "groupAllowFrom": ["*"], "groups": {"*": {}}},
            "O",
            True,
        ),
        ({}, "O", False),
    ],
    ids=["open policy", "direct message", "not listed", "listed", "off"],
)
async def test_reading_elsewhere_needs_permission(harness: Harness, settings: Any, kind: str, allowed: bool) -> None:
    """`actions.messages`, and a channel that the group policy covers; other people's direct messages never."""
    await harness.start(settings)
    other = harness.world.create_channel(
        harness.world.teams.get(harness.square.team_id), "other", harness.alice, harness.bot
    )
    target = f"channel:{other.id if kind == 'O' else harness.world.direct(harness.bob, harness.bot).id}"
    status, _ = await use(harness, action="read", target=target)
    assert (status is ToolStatus.COMPLETED) is allowed


@pytest.mark.slow
async def test_a_server_that_is_away_leaves_the_message_to_the_journal(harness: Harness) -> None:
    """The agent is told that it is queued; it goes out when the server is back, once."""
    await harness.start()
    other = harness.world.create_channel(
        harness.world.teams.get(harness.square.team_id), "other", harness.alice, harness.bot
    )

    async def down(request: Any) -> Any:
        is_ours = request.method == "POST" and request.path.endswith("/posts") and b"later" in request.body
        return SandboxResponse(503, (), b"") if is_ours else None

    harness.faults.before_rules.append(down)
    status, text = await use(harness, action="send", target=f"channel:{other.id}", message="later")
    assert status is ToolStatus.COMPLETED
    assert "queued" in text
    harness.faults.before_rules.remove(down)
    await harness.until(lambda: harness.answers(other))
    assert harness.answers(other) == ["later"]


@pytest.mark.slow
async def test_a_queued_message_survives_the_end_of_the_gateway(harness: Harness) -> None:
    """What waits for a direct channel stays in the outbox and is sent by the next start."""
    await harness.start({"actions": {"membersOnly": False}})

    async def down(request: Any) -> Any:
        return SandboxResponse(503, (), b"") if request.path.endswith("/channels/direct") else None

    harness.faults.before_rules.append(down)
    _, text = await use(harness, action="send", target="@bob", message="after the restart")
    assert "queued" in text
    await harness.stop()
    [row] = await harness.store.outbox.unfinished(ACCOUNT)
    assert (row.to_user, row.channel_id, row.state.value) == (harness.bob.id, "", "queued")
    harness.faults.before_rules.remove(down)
    await harness.start()
    direct = harness.world.direct(harness.bob, harness.bot)
    await harness.until(lambda: harness.answers(direct))
    assert harness.answers(direct) == ["after the restart"]


async def test_a_flood_is_refused_in_words(harness: Harness) -> None:
    """Before anything of it is posted: too many characters, too many posts, too many posts of one turn."""
    await harness.start({"maxAnswerPosts": 12, "textChunkLimit": 1000})
    status, text = await use(harness, action="send", message="x" * 8_000_000)
    assert status is ToolStatus.FAILED
    assert text == "Not sent: the message has 8,000,000 characters; at most 40,000 can be sent at once."
    status, text = await use(harness, action="send", message="x" * 20_000)
    assert text == "Not sent: the message would be 20 posts; at most 10 can be sent at once."
    results: list[Any] = []

    def script(request: Any) -> Any:
        while len(results) < 14:
            results.append((yield CallTool("message", {"action": "send", "message": "again"})))
        yield Say("done")

    harness.script = script
    harness.say("@helper go")
    await harness.settled()
    assert [result.status for result in results] == [ToolStatus.COMPLETED] * 12 + [ToolStatus.FAILED] * 2
    assert results[-1].text == "Not sent: this turn has posted as many messages as it may (maxAnswerPosts)."
    assert harness.answers().count("again") == 12


@pytest.mark.parametrize(
    "arguments",
    [
        {"action": "read", "limit": float("inf")},
        {"action": "read", "limit": float("nan")},
        {"action": "read", "limit": -(10**300)},
        {"action": "read", "limit": []},
        {"action": "read", "before": "\ud800", "after": ["x"]},
        {"action": "send", "media": "http://xn--/"},
        {"action": "send", "media": "http://["},
        {"action": "send", "media": "http://\ud800/"},
        {"action": "send", "target": "\ud800", "message": "x"},
        {"action": "send", "target": {"a": 1}, "message": ["x"]},
        {"action": "send", "message": "x", "buttons": '[NaN, {"text": Infinity}]'},
        {"action": "send", "message": "x", "presentation": {"blocks": [[[]]], "title": 5}},
        {"action": "react", "emoji": "\ud800"},
        {"action": "react", "emoji": 5, "messageId": "../../users"},
        {"action": 7.5e300, "accountId": "\udfff"},
        {"action": "\0"},
    ],
    ids=repr,
)
async def test_arguments_that_nobody_expects_fail_their_call_and_nothing_else(
    harness: Harness, arguments: dict[str, Any]
) -> None:
    """The turn goes on, its answer is posted once, and the account takes the next message."""
    await harness.start()
    status, text = await use(harness, **arguments)
    assert status is ToolStatus.FAILED, text
    assert "Traceback" not in text
    assert await use(harness, "@helper again", action="read") is not None
    assert harness.answers().count("done") == 2


class Repeating:
    """An agent that calls one tool twice in a turn, with new ids in each run; `hangs_after` so many calls it waits with
    the result in its hand, which then is in no transcript.
    """

    def __init__(self, name: str, arguments: Mapping[str, Any]) -> None:
        self.name, self.arguments = name, arguments
        self.hangs_after = 0
        self.calls = 0
        self.results: list[ToolResult] = []

    def run(self, request: TurnRequest) -> AbstractAsyncContextManager[EventStream]:
        async def produce(emit: Emit) -> None:
            known = sum(message.role is Role.TOOL for message in request.messages)
            for _ in range(known, 2):
                self.calls += 1
                call = ToolCall(f"call-{self.calls}", self.name, self.arguments)
                await emit(ToolStarted(call.id, call.name, call.arguments))
                result = await request.tools.call(call)
                self.results.append(result)
                if self.calls == self.hangs_after:
                    await trio.sleep_forever()
                await emit(ToolEnded(call.id, call.name, result.status, result.text, result.detail))
            await emit(Final("done"))

        return open_events(produce)


@pytest.mark.parametrize("hangs_after", [1, 2])
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("message", {"action": "send", "message": "said once"}),
        ("offer_buttons", {"text": "said once", "buttons": [[{"text": "Yes", "callback_data": "y"}]]}),
    ],
)
async def test_a_crash_before_the_result_is_written_down_posts_nothing_twice(
    harness: Harness, name: str, arguments: Mapping[str, Any], hangs_after: int
) -> None:
    """The turn that is run again makes the call again, under another id, and gets the post that stands. What is asked
    for twice in a turn is posted twice.
    """
    agent = Repeating(name, arguments)
    agent.hangs_after = hangs_after
    harness.make_agent = lambda _spec, _http: agent
    await harness.start({"capabilities": ["inlineButtons"]}, gateway={"port": 0})
    harness.say("@helper go")
    await harness.until(lambda: len(agent.results) == hangs_after)
    await harness.crash()
    await harness.start({"capabilities": ["inlineButtons"]}, gateway={"port": 0})
    await harness.settled()
    assert agent.calls == 3
    assert [result.status for result in agent.results] == [ToolStatus.COMPLETED] * 3
    assert agent.results[hangs_after - 1].text == agent.results[hangs_after].text
    assert sorted(harness.answers()) == ["done", "said once", "said once"]


async def test_a_crash_before_the_server_s_answer_posts_nothing_twice(harness: Harness) -> None:
    """The post was written, its answer is lost with the process: the next run finds it."""
    made = trio.Event()

    async def hang(request: SandboxRequest) -> SandboxResponse | None:
        if request.method == "POST" and request.path.endswith("/posts"):
            made.set()
            await trio.sleep(10)
        return None

    agent = Repeating("message", {"action": "send", "message": "said once"})
    harness.make_agent = lambda _spec, _http: agent
    await harness.start()
    harness.faults.after_rules.append(hang)
    harness.say("@helper go")
    await made.wait()
    await harness.crash()
    harness.faults.after_rules.clear()
    await harness.start()
    await harness.settled()
    assert sorted(harness.answers()) == ["done", "said once", "said once"]
