"""`commands.allowFrom` over every way by which a command can reach its execution: one decision, whichever way."""

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from oc_trio.agent.scripted import Pause, Say
from oc_trio.config.document import Document
from oc_trio.config.load import build
from oc_trio.core.ledger import Source
from oc_trio.core.questions import Answer, Question
from oc_trio.core.slash import BUILT_IN, PROCESSING
from oc_trio.ids import ChannelId, SessionKey
from oc_trio.runtime.handlers.questions import Place
from oc_trio.sandbox.request import SandboxRequest, SandboxResponse
from tests.runtime.callback_harness import a_house
from tests.runtime.harness import Town

DENIED = "You may not use this bot's commands."

WAYS = [
    pytest.param("@helper /stop", id="a message"),
    pytest.param("@helper !stop", id="with an exclamation mark"),
    pytest.param("@helper stop", id="a bare word with a mention"),
    pytest.param("!stop", id="written as a command, without a mention"),
    pytest.param("🛑", id="the stop reaction"),
]


@pytest.mark.slow
@pytest.mark.parametrize("may", [True, False], ids=["listed", "not listed"])
@pytest.mark.parametrize("way", WAYS)
async def test_stopping_an_answer(town: Town, way: str, *, may: bool) -> None:
    """Somebody who may talk to the bot, but not command it, leaves the answer as it is."""
    listed = [town.alice.id, *([town.bob.id] if may else [])]
    await town.start(commands={"allowFrom": {"mattermost": listed}})
    town.script = [Say("one", delay=0), Pause(30), Say(" two")]
    asked = town.say("@helper count")
    await town.until(lambda: town.answers() == ["one"])
    if way == "🛑":
        town.react(town.ours()[0], "octagonal_sign", by=town.bob)
    else:
        town.say(way, by=town.bob, root=asked)
    await town.settled()
    assert await town.state(asked) == ("cancelled: stopped" if may else "delivered")


@pytest.mark.parametrize("may", [True, False], ids=["listed", "not listed"])
async def test_a_message_edited_into_a_command(town: Town, *, may: bool) -> None:
    """A post that was for nobody becomes a command by its edit, for who may command."""
    listed = [town.alice.id, *([town.bob.id] if may else [])]
    own_words = {"implicitMentions": {"threadParticipation": False}}
    await town.start(own_words, commands={"allowFrom": {"mattermost": listed}})
    town.script = [Say("one", delay=0), Pause(30), Say(" two")]
    asked = town.say("@helper count")
    await town.until(lambda: town.answers() == ["one"])
    post = town.say("good grief", by=town.bob, root=asked)
    await trio.sleep(1)
    town.edit(post, "@helper /stop")
    await town.settled()
    assert await town.state(asked) == ("cancelled: stopped" if may else "delivered")


@pytest.mark.parametrize("may", [True, False], ids=["listed", "not listed"])
@pytest.mark.parametrize("is_down", [False, True], ids=["while it waits", "while the gateway is down"])
async def test_an_admitted_message_edited_into_a_command(town: Town, *, is_down: bool, may: bool) -> None:
    """It stays a message to the agent, whoever wrote it: what it says now is read, nothing is carried out."""
    listed = [town.alice.id, *([town.bob.id] if may else [])]
    rules = {"allowFrom": {"mattermost": listed}}
    queue = {"queue": {"mode": "followup"}}
    await town.start(commands=rules, messages=queue)
    town.script = [Say("one", delay=0), Pause(30), Say(" two")]
    asked = town.say("@helper count")
    await town.until(lambda: town.answers() == ["one"])
    waiting = town.say("@helper good grief", by=town.bob, root=asked)
    await trio.sleep(5)
    if is_down:
        await town.crash()
        town.edit(waiting, "@helper /stop")
        await town.start(commands=rules, messages=queue)
    else:
        town.edit(waiting, "@helper /stop")
    await town.settled()
    assert (await town.state(asked), await town.state(waiting)) == ("delivered", "delivered")
    assert town.stage.requests[-1].messages[-1].text.split("\n")[0].endswith(": /stop")


async def test_a_dialog_s_words_are_an_answer(autojump_clock: MockClock) -> None:
    """What is written into a question's dialog goes to the agent that asked, never to the commands."""
    house = a_house(groupPolicy="open", rules={"allowFrom": {"mattermost": ["z" * 26]}})
    question, answers = Question("q1", "What now?"), list[Answer | None]()
    async with house.lived_in(), trio.open_nursery() as nursery:

        async def ask() -> None:
            place = Place(SessionKey("agent:main:x"), ChannelId(house.square.id))
            answers.append(await house.doors.questions.ask(question, place))

        nursery.start_soon(ask)
        await trio.sleep(1)
        (post,) = house.posts()
        opened: list[dict[str, Any]] = []
        house.world.interactions.open_dialog = opened.append  # type: ignore[method-assign, assignment]
        await house.press(post.id, "Answer", by=house.mallory)
        submission = {
            "url": opened[0]["url"],
            "callback_id": opened[0]["dialog"]["callback_id"],
            "state": opened[0]["dialog"]["state"],
            "channel_id": house.square.id,
            "submission": {"answer": "/stop"},
        }
        assert await house.world.interactions.submit_dialog(house.mallory, submission) == {}
        await trio.sleep(1)
        assert answers == [Answer("q1", "/stop")]
        assert house.admitted == []


@pytest.mark.parametrize("trigger", [spec.trigger for spec in BUILT_IN])
async def test_native_slash_commands(trigger: str, autojump_clock: MockClock) -> None:
    """Each is refused in words to who may talk, but not command; who is listed may."""
    async with a_house(groupPolicy="open").lived_in() as house:
        await house.registered()
        alice, mallory = house.alice.id, house.mallory.id
    async with a_house(groupPolicy="open", rules={"allowFrom": {"*": [alice]}}).lived_in() as house:
        assert (house.alice.id, house.mallory.id) == (alice, mallory), "the same seed gives the same people"
        await house.registered()
        assert (await house.execute(f"/{trigger}", by=house.mallory))["text"] == DENIED
        assert house.admitted == []
        assert house.posts() == []
        assert (await house.execute(f"/{trigger}"))["text"] == PROCESSING


async def test_the_model_picker(autojump_clock: MockClock) -> None:
    """A picker that was opened before the rules changed is of no use to its opener."""
    house = a_house()
    async with house.lived_in():
        await house.registered()
        await house.execute("/oc_models")
        await trio.sleep(1)
        (post,) = house.posts()
    values = {
        "channels": {
            "mattermost": {
                "botToken": house.bot.token,
                "baseUrl": "http://mm.test",
                "commands": {"native": True},
                "groupPolicy": "open",
            }
        },
        "commands": {"allowFrom": {"mattermost": [house.mallory.id]}},
    }
    house.loaded = build(Document(values), {}, connect=False)
    async with house.lived_in():
        assert await house.press(post.id, "big (10)") == {"ephemeral_text": DENIED}
        assert house.admitted == []


async def test_buttons_are_never_commands(autojump_clock: MockClock) -> None:
    """What a button carries is told to the agent as what it is, whoever clicks and whatever it looks like."""
    async with a_house(rules={"allowFrom": {"mattermost": []}}).lived_in() as house:
        for value in ("/stop", "/new", "!model x"):
            post = await house.post_buttons(value)
            await house.press(post, value)
        assert [command for _, command in house.admitted] == [None, None, None]
        assert all(message.text.startswith("[Button click: ") for message, _ in house.admitted)
        assert {message.source for message, _ in house.admitted} == {Source.BUTTON}


async def test_what_was_admitted_before_the_rules_changed(town: Town) -> None:
    """A restart carries out a command that was admitted, unless its sender may not command any more."""
    await town.start()

    async def hang(request: SandboxRequest) -> SandboxResponse | None:
        if request.method == "POST" and request.path.endswith("/posts"):
            await trio.sleep_forever()
        return None

    town.weather.before_rules.append(hang)
    asked = town.say("@helper /model big/one")
    await town.until(lambda: town.journal.execute("SELECT count(*) FROM obligations").fetchone()[0])
    await town.crash()
    town.weather.before_rules.clear()
    # As if the process had died a moment earlier, between the admission and the command.
    town.journal.execute("DELETE FROM outbox")
    await town.start(commands={"allowFrom": {"mattermost": [town.bob.id]}})
    await town.settled()
    assert town.answers() == [DENIED]
    assert await town.state(asked) == "delivered"
