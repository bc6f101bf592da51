"""The tools that ask people: called as a model calls them, answered in the sandbox."""

import pytest
import trio
from trio.testing import MockClock

from oc_trio.agent.port import ToolCall, ToolResult
from oc_trio.agent.toolbox import LocalTools
from oc_trio.core.ledger import Source
from oc_trio.core.turn_events import ToolStatus
from oc_trio.ids import ChannelId, SessionKey, TurnId
from oc_trio.runtime.handlers.ask_tools import chat_tools
from oc_trio.runtime.handlers.questions import QuestionPlace
from oc_trio.runtime.tools.post_names import PostNames
from tests.runtime.callback_harness import CallbackHarness, callback_harness


def tools(callbacks: CallbackHarness, seconds: float = 60.0) -> LocalTools:
    place = QuestionPlace(SessionKey("agent:main:x"), ChannelId(callbacks.square.id))
    return chat_tools(callbacks.questions, callbacks.buttons, place, PostNames(TurnId("t1")), seconds=seconds)


async def test_a_question_waits_for_its_answer(autojump_clock: MockClock) -> None:
    """The result of the call is what the person chose."""
    results: list[ToolResult] = []
    async with callback_harness().running() as callbacks, trio.open_nursery() as nursery:

        async def call() -> None:
            arguments = {"question": "Which colour?", "options": ["Red", "Blue"]}
            results.append(await tools(callbacks).call(ToolCall("1", "ask_user", arguments)))

        nursery.start_soon(call)
        await trio.sleep(1)
        (post,) = callbacks.posts()
        await callbacks.press(post.id, "Blue")
        await trio.sleep(1)
        assert [(result.text, result.status) for result in results] == [("Blue", ToolStatus.COMPLETED)]


async def test_silence_is_said_to_the_model(autojump_clock: MockClock) -> None:
    """The turn goes on without an answer."""
    async with callback_harness().running() as callbacks:
        result = await tools(callbacks, 5).call(ToolCall("1", "ask_user", {"question": "Anybody?"}))
        assert result.text == "Nobody answered in time."


async def test_buttons_are_posted_and_work(autojump_clock: MockClock) -> None:
    """The click comes back as a message; links are in the text."""
    async with callback_harness().running() as callbacks:
        rows = [[{"text": "Go", "callback_data": "go"}, {"text": "Docs", "url": "https://example.com"}]]
        result = await tools(callbacks).call(ToolCall("1", "offer_buttons", {"text": "Deploy?", "buttons": rows}))
        assert result.text == "Posted."
        (post,) = callbacks.posts()
        assert post.message == "Deploy?\n\n- [Docs](https://example.com)"
        await callbacks.press(post.id, "Go")
        assert "callback_data: go" in callbacks.admitted[0][0].text


@pytest.mark.parametrize(
    "value", ["/new", "/stop", "!stop", "stop", "!model x", "/oc_stop", " /new", "\n/new", "@helper /new"]
)
async def test_a_hidden_value_is_no_command_of_who_clicks(value: str, autojump_clock: MockClock) -> None:
    """A model may write a command behind a harmless label: the click stays words to the agent."""
    async with callback_harness().running() as callbacks:
        rows = [[{"text": "Thanks", "callback_data": value}]]
        result = await tools(callbacks).call(ToolCall("1", "offer_buttons", {"text": "All done.", "buttons": rows}))
        assert result.status is ToolStatus.COMPLETED, result.text
        (post,) = callbacks.posts()
        await callbacks.press(post.id, "Thanks")
        ((message, command),) = callbacks.admitted
        assert (command, message.command, message.source) == (None, "", Source.BUTTON)
        first, second = message.text.split("\n")
        assert first == '[Button click: user @alice selected "Thanks"]'
        assert second.startswith("callback_data: ")


async def test_neither_tool_pings_a_channel(autojump_clock: MockClock) -> None:
    """Question, text and the names of buttons are made harmless."""
    async with callback_harness().running() as callbacks:
        await tools(callbacks, 5).call(ToolCall("1", "ask_user", {"question": "@channel?", "options": ["@all", "b"]}))
        rows = [[{"text": "@here", "callback_data": "go"}]]
        await tools(callbacks).call(ToolCall("1", "offer_buttons", {"text": "@channel!", "buttons": rows}))
        question, offered = callbacks.posts()
        assert (question.message, offered.message) == ("@\u200bchannel?", "@\u200bchannel!")
        assert offered.props["attachments"][0]["actions"][0]["name"] == "@\u200bhere"


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        pytest.param("ask_user", {"question": "x", "options": ["only one"]}, "2 to 25 options", id="one option"),
        pytest.param("offer_buttons", {"text": "x", "buttons": [[{"text": "a"}]]}, "callback_data", id="no data"),
    ],
)
async def test_what_cannot_be_asked_is_explained(
    name: str, arguments: dict[str, object], words: str, autojump_clock: MockClock
) -> None:
    """The model reads what it did wrong, and nothing is posted."""
    async with callback_harness().running() as callbacks:
        result = await tools(callbacks).call(ToolCall("1", name, arguments))
        assert (result.status, words in result.text) == (ToolStatus.FAILED, True)
        assert callbacks.posts() == []
