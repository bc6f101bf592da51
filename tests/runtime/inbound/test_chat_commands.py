"""Chat commands in a gateway: answered beside the turn, in order, once, and with an end whatever the server says."""

from typing import Any

import pytest
import trio

from oc_trio.agent.scripted import Say
from oc_trio.sandbox.hub import Broadcast
from oc_trio.sandbox.request import SandboxRequest, SandboxResponse
from oc_trio.sandbox.views import user_view
from oc_trio.sandbox.writing import Change
from tests.logbook import Logbook
from tests.runtime.harness import ACCOUNT, Harness

SLOW = [Say("one two three four five six seven eight", delay=1.0)]


async def reply_to(harness: Harness, text: str, **more: Any) -> str:
    """What the bot says to `text`."""
    before = {post.id for post in harness.ours()}
    post = harness.say(f"@helper {text}", **more)
    await harness.settled()
    [answer] = [each for each in harness.ours() if each.id not in before]
    assert await harness.state(post) == "delivered"
    return answer.message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("/status", "**oc_trio** as @helper, live", id="status"),
        pytest.param("/help", "- `@helper /status` what this conversation is doing", id="help"),
        pytest.param("/model", "Current: `double/script` (default)", id="model"),
        pytest.param("/model script", "Model: `double/script`", id="model by its short name"),
        pytest.param("/model default", "Model: `double/script` (default)", id="model of the agent"),
        pytest.param(
            "/model none-such", "⚠️ There is no model `none-such`. Models: `double/script`", id="no such model"
        ),
        pytest.param("/models", "- `double/script`", id="models"),
        pytest.param("/models elsewhere", "No models available.", id="models of nobody"),
        pytest.param("/think", "Thinking: default", id="thinking"),
        pytest.param("/think high", "Thinking: high", id="think high"),
        pytest.param("/think hard", "⚠️ /think does not know `hard`. Usage:", id="misused"),
        pytest.param("/reasoning", "Reasoning: off", id="reasoning"),
        pytest.param("/reasoning on", "Reasoning: on", id="reasoning on"),
        pytest.param("/verbose off", "Verbose: off", id="verbose off"),
        pytest.param("/queue", "Queue: ", id="queue"),
        pytest.param(
            "/queue followup cap:3 drop:new debounce:2s",
            "Queue: followup, cap 3, drop new, debounce 2 s",
            id="set the queue",
        ),
        pytest.param("/stop", "Nothing is running here.", id="stop nothing"),
        pytest.param("/new", "🆕 New conversation of the channel outside of threads.", id="new"),
    ],
)
async def test_a_command_is_answered(harness: Harness, text: str, expected: str) -> None:
    """At once, by the gateway and not by the agent."""
    await harness.start()
    assert (await reply_to(harness, text)).startswith(expected)
    assert harness.agent.requests == []


async def test_new_words_behind_new(harness: Harness) -> None:
    """The prompt is what is answered: a pin changes nothing, an edit is an edit of the prompt, also after a restart."""
    await harness.start()
    harness.script = SLOW
    post = harness.say("@helper /new tell me")
    await harness.until(lambda: harness.agent.open)
    harness.world.writing.apply(post, Change(is_pinned=True))
    await trio.sleep(1)
    await harness.crash()
    await harness.start()
    await harness.until(lambda: len(harness.agent.requests) == 2)
    harness.script = [Say("told", delay=0.01)]
    harness.edit(post, "@helper /new tell me more")
    await harness.settled()
    assert len(harness.agent.requests) == 3
    assert ["tell me more" in each.messages[-1].text for each in harness.agent.requests] == [False, False, True]
    assert not any("/new" in each.messages[-1].text for each in harness.agent.requests)
    assert harness.answers() == ["told"]


async def test_a_setting_is_kept_and_can_be_taken_back(harness: Harness) -> None:
    """The conversation's own, until somebody resets it."""
    await harness.start()
    root = harness.say("@helper /think high")
    await harness.settled()
    for text, expected in [
        ("/think", "Thinking: high"),
        ("/verbose on", "Verbose: on"),
        ("/verbose", "Verbose: on"),
        ("/queue collect cap:7", "Queue: collect, cap 7"),
        ("/queue", "Queue: collect, cap 7"),
        ("/queue reset", "Queue: "),
        ("/model script", "Model: `double/script`"),
        ("/model", "Current: `double/script`\nUsage"),
    ]:
        assert (await reply_to(harness, text, root=root)).startswith(expected)
    assert "cap 7" not in await reply_to(harness, "/queue", root=root)


async def test_a_stop_does_not_wait_behind_the_turn(harness: Harness) -> None:
    """The turn ends, and the answer says so."""
    await harness.start()
    harness.script = SLOW
    question = harness.say("@helper count")
    await trio.sleep(3.0)
    harness.say("@helper /status", root=question)
    await trio.sleep(1.0)
    assert any("answering now" in text for text in harness.answers())
    harness.say("@helper /stop", root=question)
    await harness.settled()
    assert "⚙️ Agent was aborted." in harness.answers()
    assert await harness.state(question) == "cancelled: stopped"


async def test_the_words_behind_new_begin_the_new_conversation(harness: Harness) -> None:
    """Without a reply of its own; the agent does not see what was said before."""
    await harness.start()
    harness.script = [Say("fine")]
    root = harness.say("@helper remember the word apple")
    await harness.settled()
    harness.say("@helper /new what was the word?", root=root)
    await harness.settled()
    assert harness.answers() == ["fine", "fine"]
    prompt_text = "".join(message.text for message in harness.agent.requests[-1].messages)
    assert "what was the word?" in prompt_text
    assert "fine" not in [message.text for message in harness.agent.requests[-1].messages]


async def test_commands_of_a_conversation_keep_their_order(harness: Harness) -> None:
    """The last setting wins, however many come at once."""
    await harness.start()
    root = harness.say("@helper /think low")
    for level in ("high", "off", "medium", "minimal") * 3:
        harness.say(f"@helper /think {level}", root=root)
    await harness.settled()
    levels = [text.removeprefix("Thinking: ") for text in harness.answers()]
    assert levels == ["low", *["high", "off", "medium", "minimal"] * 3]
    assert await reply_to(harness, "/think", root=root) == "Thinking: minimal"


async def test_a_command_ends_although_the_server_refuses_its_answer(harness: Harness) -> None:
    """As failed, with the server's words; what it did is done."""
    await harness.start()
    root = harness.say("@helper /think low")
    await harness.settled()

    async def refuse(request: SandboxRequest) -> SandboxResponse | None:
        if (request.method, request.path) == ("POST", "/api/v4/posts"):
            return SandboxResponse.json({"id": "api.context.permissions.app_error", "message": "no"}, 403)
        return None

    harness.faults.before_rules.append(refuse)
    refused = harness.say("@helper /think high", root=root)
    await harness.settled()
    assert (await harness.state(refused)).startswith("failed: not delivered")
    harness.faults.before_rules.clear()
    assert await reply_to(harness, "/think", root=root) == "Thinking: high"


@pytest.mark.slow
async def test_channels_that_take_no_posts_hold_up_no_other_command(harness: Harness) -> None:
    """Ten answers that wait for the server leave the command handler free."""
    await harness.start()
    waiting = [
        harness.world.create_channel(
            harness.world.teams.get(harness.square.team_id), f"quiet{n}", harness.alice, harness.bot
        )
        for n in range(10)
    ]
    ids = {channel.id for channel in waiting}

    async def away(request: SandboxRequest) -> SandboxResponse | None:
        if request.method == "POST" and any(channel.encode() in request.body for channel in ids):
            return SandboxResponse.text("away", 503)
        return None

    harness.faults.before_rules.append(away)
    for channel in waiting:
        harness.say("@helper /status", channel=channel)
    await trio.sleep(5.0)
    free = harness.say("@helper /status")
    await trio.sleep(5.0)
    assert await harness.state(free) == "delivered"
    harness.faults.before_rules.clear()
    await harness.settled()


async def test_a_command_is_done_once_although_a_restart_answers_it(harness: Harness) -> None:
    """The answer is in the outbox: the next start sends it and does not reset again."""
    await harness.start()
    harness.script = [Say("fine")]
    root = harness.say("@helper hello")
    await harness.settled()

    async def away(request: SandboxRequest) -> SandboxResponse | None:
        if (request.method, request.path) == ("POST", "/api/v4/posts"):
            return SandboxResponse.text("away", 503)
        return None

    harness.faults.before_rules.append(away)
    reset = harness.say("@helper /new", root=root)
    await trio.sleep(2.0)
    [session] = await harness.store.sessions.list(ACCOUNT)
    assert session.generation == 1
    await harness.crash()
    harness.faults.before_rules.clear()
    await harness.start()
    await harness.settled()
    [session] = await harness.store.sessions.list(ACCOUNT)
    assert session.generation == 1
    assert await harness.state(reset) == "delivered"
    assert [text[:2] for text in harness.answers()] == ["fi", "🆕 "]


async def test_an_answer_that_is_not_taken_holds_no_command_back(harness: Harness) -> None:
    """What a later command does is done at once; only its own answer waits for its turn."""

    async def fail(request: SandboxRequest) -> SandboxResponse | None:
        is_status = request.method == "POST" and b"**oc_trio** as" in request.body
        return SandboxResponse.json({"id": "app.post.broken", "message": "no"}, 500) if is_status else None

    await harness.start()
    harness.faults.before_rules.append(fail)
    harness.script = [Say("a new one")]
    channel = harness.direct()
    harness.say("/status", channel=channel)
    await trio.sleep(1.0)
    begins = harness.say("/new hello", channel=channel)
    harness.say("/think high", channel=channel)
    await trio.sleep(5.0)
    assert harness.answers(channel) == ["a new one"]
    assert await harness.state(begins) == "delivered"
    [session] = await harness.store.sessions.list(ACCOUNT)
    assert '"thinking": "high"' in session.settings
    harness.faults.before_rules.clear()
    await harness.settled()
    status, thinking = harness.answers(channel)[1:]
    assert "**oc_trio** as" in status
    assert thinking == "Thinking: high"


async def test_a_choice_in_the_channel_holds_in_new_threads(harness: Harness) -> None:
    """Threads go by their channel, until they have a choice of their own; each option goes its own way."""
    await harness.start()
    before = harness.say("@helper /status")
    await harness.settled()
    assert harness.ours()[-1].root_id == "", "a command outside of threads opens none"
    await reply_to(harness, "/think high")
    await reply_to(harness, "/reasoning on")
    thread = harness.say("a thread")
    assert "thinking: `high`" in await reply_to(harness, "/status", root=thread)
    assert await reply_to(harness, "/reasoning", root=thread) == "Reasoning: on"
    assert await reply_to(harness, "/reasoning off", root=thread) == "Reasoning: off"
    assert await reply_to(harness, "/reasoning", root=thread) == "Reasoning: off"
    assert await reply_to(harness, "/think", root=thread) == "Thinking: high", "the channel's goes on to hold"
    await reply_to(harness, "/think low")
    assert await reply_to(harness, "/think", root=thread) == "Thinking: low"
    assert await reply_to(harness, "/reasoning", root=before) == "Reasoning: on"


async def test_the_chosen_model_answers_in_a_new_thread(harness: Harness) -> None:
    """What `/model` and `/queue` set in the channel is what the turn of a new thread runs with."""
    await harness.start()
    await reply_to(harness, "/model script")
    await reply_to(harness, "/queue followup cap:3")
    thread = harness.say("a thread")
    assert (
        await reply_to(harness, "/model", root=thread) == "Current: `double/script`\nUsage: `/model [name | default]`"
    )
    assert (await reply_to(harness, "/queue", root=thread)).startswith("Queue: followup, cap 3")
    assert (await reply_to(harness, "/queue cap:5", root=thread)).startswith("Queue: followup, cap 5")
    assert (await reply_to(harness, "/queue")).startswith("Queue: followup, cap 3")
    assert (await reply_to(harness, "/queue reset", root=thread)).startswith("Queue: followup, cap 3")
    assert await reply_to(harness, "/model default", root=thread) == "Model: `double/script` (default)"
    assert "(default)" in await reply_to(harness, "/model", root=thread)


@pytest.mark.parametrize(
    ("mode", "in_thread", "expected"),
    [
        (
            "all",
            False,
            "🆕 New conversation of the channel outside of threads. Each thread has a conversation of its own:",
        ),
        ("all", True, "🆕 New conversation in this thread."),
        ("off", False, "🆕 New conversation in this channel."),
    ],
)
async def test_new_says_which_conversation(harness: Harness, mode: str, in_thread: bool, expected: str) -> None:
    """The channel's and a thread's are two; the answer stands where the command was written."""
    await harness.start({"replyToMode": mode})
    root = harness.say("a post")
    more: dict[str, Any] = {"root": root} if in_thread else {}
    assert (await reply_to(harness, "/new", **more)).startswith(expected)
    assert harness.ours()[-1].root_id == (root.id if in_thread else "")


async def test_the_help_is_what_can_be_typed(harness: Harness, logbook: Logbook) -> None:
    """Slash commands where they are registered; else behind a mention, and with `!` in direct messages."""
    await harness.start({"dmPolicy": "open", "allowFrom": ["*"]})
    assert "- `@helper /new [first message]` forget" in await reply_to(harness, "/help")
    direct = harness.world.direct(harness.alice, harness.world.users.get(harness.bot.id))
    harness.say("!help", channel=direct)
    await harness.settled()
    assert "- `!new [first message]` forget" in harness.ours(direct)[-1].message
    await harness.crash()
    await harness.start({"commands": {"native": True}})
    assert "- `/oc_new [first message]` forget" in await reply_to(harness, "/help")
    assert logbook.find(""), "this bot may not register commands"


async def renamed_status(harness: Harness) -> str:
    """What `/status` says to the new name."""
    harness.say("@oracle /status")
    await harness.settled()
    return harness.ours()[-1].message


async def test_a_new_name_is_heeded_at_once(harness: Harness) -> None:
    """The bot is renamed while the gateway runs: the new name calls it, the old one is nobody's."""
    await harness.start()
    bot = harness.world.users.get(harness.bot.id)
    harness.world.users.rename(bot, "oracle")
    harness.world.hub.publish("user_updated", {"user": user_view(bot)}, Broadcast())
    await harness.settled()
    harness.script = [Say("here")]
    harness.say("@helper are you there?")
    await harness.settled()
    assert harness.ours() == []
    harness.say("@oracle are you there?")
    await harness.settled()
    assert harness.ours()[-1].message == "here"
    assert ": are you there?" in str(harness.agent.requests[-1].messages[-1].text)
    assert "as @oracle, live" in await renamed_status(harness)


@pytest.mark.parametrize("away", ["connection", "server", "gateway", "poll"])
async def test_a_new_name_of_which_no_event_told(harness: Harness, away: str) -> None:
    """Renamed while the connection was down (a resumed one is told after catch-up, another one never), while the
    gateway was stopped, or between two polls: what catch-up brings is judged by the new name.
    """
    harness.script = [Say("here")]
    settings = {"connection": {"mode": "poll"}} if away == "poll" else {}
    await harness.start(settings)
    await trio.sleep(20)  # beyond the second pass of this connection
    match away:
        case "connection":
            await harness.streams[-1].aclose()
        case "server":
            harness.world.restart()
        case "gateway":
            await harness.stop()
    bot = harness.world.users.get(harness.bot.id)
    harness.world.users.rename(bot, "oracle")
    harness.world.hub.publish("user_updated", {"user": user_view(bot)}, Broadcast())
    old, new = harness.say("@helper are you there?"), harness.say("@oracle are you there?")
    if away == "gateway":
        await harness.start(settings)
    await harness.until(harness.answers)
    await harness.settled()
    assert [await harness.state(post) for post in (old, new)] == ["none", "delivered"]
    harness.say("@helper and now?")
    harness.say("@oracle and now?")
    await trio.sleep(20)
    await harness.settled()
    assert harness.answers() == ["here", "here"]


async def test_what_follows_new_is_answered_after_it(harness: Harness) -> None:
    """A message right behind `/new` belongs to the new conversation, and one behind its prompt waits for that."""
    await harness.start()
    harness.script = [Say("fine")]
    root = harness.say("@helper remember the word apple")
    await harness.settled()
    harness.say("@helper /new", root=root)
    harness.say("@helper what was the word?", root=root)
    await harness.settled()
    assert "fine" not in [message.text for message in harness.agent.requests[-1].messages]
    harness.say("@helper and now?", root=root)
    await harness.settled()
    assert "what was the word?" in harness.agent.requests[-1].messages[0].text
    harness.say("@helper /new one", root=root)
    harness.say("@helper two", root=root)
    harness.say("@helper three", root=root)
    await harness.settled()
    prompts = [request.messages[-1].text for request in harness.agent.requests[3:]]
    assert [next(word for word in ("one", "two", "three") if word in text) for text in prompts] == [
        "one",
        "two",
        "three",
    ]


async def test_a_setting_holds_for_what_follows_it(harness: Harness) -> None:
    """A message right behind `/think` is answered with it."""
    await harness.start()
    harness.script = [Say("fine")]
    root = harness.say("@helper hello")
    await harness.settled()
    harness.say("@helper /think high", root=root)
    harness.say("@helper think about it", root=root)
    await harness.settled()
    assert harness.agent.requests[-1].thinking == "high"


async def test_what_waits_behind_new_can_be_taken_back(harness: Harness) -> None:
    """A message that is edited or deleted while the command is carried out is answered as it reads then, or not."""
    await harness.start()
    harness.script = [Say("fine")]
    root = harness.say("@helper hello")
    await harness.settled()
    harness.say("@helper /new one", root=root)
    edited = harness.say("@helper two", root=root)
    deleted = harness.say("@helper three", root=root)
    harness.edit(edited, "@helper four")
    harness.delete(deleted)
    await harness.settled()
    prompt_text = "".join(request.messages[-1].text for request in harness.agent.requests[1:])
    assert [word in prompt_text for word in ("one", "two", "three", "four")] == [True, False, False, True]
