"""Directives do what docs/agents.md says, and small talk knows the conversation."""

from pathlib import Path

import pytest
import trio
import trio.testing

from oc_trio.agent.port import ImagePart, Message, Role, ToolResult, TurnRequest
from oc_trio.agent.scripted_directives import DIRECTIVES, demo_agent, parse, words
from oc_trio.agent.scripted_replies import HELP
from oc_trio.core.context import render_message
from oc_trio.core.turn_events import (
    AgentEvent,
    Button,
    Failed,
    Final,
    Headline,
    Media,
    PlanUpdated,
    TextDelta,
    Thinking,
    ToolEnded,
    ToolStarted,
    ToolStatus,
)
from oc_trio.errors import AgentFailed, AgentUnavailable
from oc_trio.ids import AgentId, ChannelId, PostId, SessionKey, UserId
from tests.agent.model_server import Tools, collect


async def say(*texts: str, tools: Tools | None = None, after: tuple[Message, ...] = ()) -> list[AgentEvent]:
    """The events for the last of `texts`; those before it alternate between user and assistant."""
    roles = (Role.USER, Role.ASSISTANT)
    messages = tuple(Message(roles[at % 2], text) for at, text in enumerate(texts))
    request = TurnRequest(AgentId("a"), SessionKey("s"), "", (*messages, *after), tools=tools or Tools())
    return await collect(demo_agent(), request)


async def final(*texts: str) -> Final:
    event = (await say(*texts))[-1]
    assert isinstance(event, Final)
    return event


TALK = [
    pytest.param(("help",), HELP, id="help"),
    pytest.param(("what did I say?",), "Nothing yet: this is your first message in this conversation.", id="nothing"),
    pytest.param(
        ("one", "ok", "two", "ok", "What did I say?"), "In this conversation you said:\n\n1. one\n2. two", id="recall"
    ),
    pytest.param(("My name is Ada", "ok", "what's my name?"), "Your name is Ada.", id="name"),
    pytest.param(("what is my name",), "You have not told me.", id="no name"),
    pytest.param(("What is 12 * 7?",), "12 * 7 is 84.", id="sum"),
    pytest.param(("hi", "Hello!", "hello"), "Hello again!", id="again"),
    pytest.param(("thanks!",), "You are welcome.", id="thanks"),
    pytest.param(("",), "You sent me an empty message.", id="empty"),
]


@pytest.mark.parametrize(("texts", "answer"), TALK)
async def test_small_talk(texts: tuple[str, ...], answer: str, autojump_clock: trio.testing.MockClock) -> None:
    """The table of what it understands."""
    assert (await final(*texts)).text == answer


async def test_labels_are_not_words(autojump_clock: trio.testing.MockClock) -> None:
    """What the gateway adds to a message for models is not answered."""
    labelled = render_message(
        "help", name="alice", user_id=UserId("u"), post_id=PostId("p"), channel_id=ChannelId("c"), at=0
    )
    assert (await final(labelled)).text == HELP


async def test_anything_else_is_echoed(autojump_clock: trio.testing.MockClock) -> None:
    """The same words get the same answer, with the words in it."""
    answer = (await final("the moon is blue")).text
    assert "the moon is blue" in answer
    assert (await final("the moon is blue")).text == answer


async def test_images_are_seen(autojump_clock: trio.testing.MockClock) -> None:
    """The answer names each picture's type and size."""
    message = Message(Role.USER, "look", images=(ImagePart("image/png", b"123"),))
    events = await collect(demo_agent(), TurnRequest(AgentId("a"), SessionKey("s"), "", (message,)))
    assert isinstance(events[-1], Final)
    assert events[-1].text == "I see image/png of 3 bytes. And you said: look"


async def test_slow_takes_its_time(autojump_clock: trio.testing.MockClock) -> None:
    """Ten words, 0.3 s each."""
    started = trio.current_time()
    assert len((await final("!slow 10 words")).text.split()) == 10
    assert trio.current_time() - started == pytest.approx(3)


@pytest.mark.parametrize("size", [1, 100, 9000])
async def test_long_is_as_long_as_asked(size: int, autojump_clock: trio.testing.MockClock) -> None:
    """The length of the answer is that of the directive, in characters."""
    assert len((await final(f"!long {size}")).text) == size


async def test_work_in_progress_is_shown(autojump_clock: trio.testing.MockClock) -> None:
    """Thought, headline, plan and a pretended tool come before the word that ends it."""
    events = await say("!ponder hm !headline Reading !plan a|b !tool search cats")
    kinds = [type(event) for event in events]
    assert kinds == [Thinking, Headline, *[PlanUpdated] * 3, ToolStarted, ToolEnded, TextDelta, Final]
    assert events[-3] == ToolEnded(
        "pretend_search", "search", ToolStatus.COMPLETED, "a pretended result of search", "pretended"
    )
    assert isinstance(events[-1], Final)
    assert events[-1].text == "Done."


async def test_a_tool_that_exists_is_really_called(autojump_clock: trio.testing.MockClock) -> None:
    """Arguments are a JSON object, or else one input."""
    tools = Tools(ToolResult("1"), ToolResult("2"))
    await say('!tool look {"a": 1} !tool look over there', tools=tools)
    assert [call.arguments for call in tools.calls] == [{"a": 1}, {"input": "over there"}]


@pytest.mark.parametrize(
    ("argument", "arguments"),
    [
        ('{"a": "\\ud83d"}', {"a": "\ufffd"}),
        ('{"a": 1e999}', {"input": '{"a": 1e999}'}),
        ('{"a": NaN}', {"input": '{"a": NaN}'}),
        ("[" * 5_000, {"input": "[" * 5_000}),
    ],
    ids=["half an emoji", "infinite", "NaN", "deep"],
)
async def test_arguments_that_are_no_json(argument: str, arguments: dict[str, object]) -> None:
    """They are one text; half a surrogate pair is mended."""
    tools = Tools(ToolResult("x"))
    await say(f"!tool look {argument}", tools=tools)
    assert [call.arguments for call in tools.calls] == [arguments]


async def test_after_an_interruption_finished_calls_are_not_repeated(autojump_clock: trio.testing.MockClock) -> None:
    """The transcript ends with their results."""
    tools = Tools(ToolResult("2"))
    done = (Message(Role.TOOL, "1", tool_call_id="call_1"),)
    await say("!tool look one !tool look two", tools=tools, after=done)
    assert [call.arguments for call in tools.calls] == [{"input": "two"}]


async def test_forms_of_reply(autojump_clock: trio.testing.MockClock) -> None:
    """Several in one message make one reply."""
    assert (await final("!buttons Red|Blue")).buttons == ((Button("Red", "red"), Button("Blue", "blue")),)
    assert (await final("!media /etc/passwd")).media == ()
    assert (await final("!media https://x.example/y")).media == (Media(url="https://x.example/y"),)
    both = (await final("!say Look: !table !code")).text
    assert both.startswith("Look:\n\n| Fruit |")
    assert "```python" in both


async def test_no_answer(autojump_clock: trio.testing.MockClock) -> None:
    """Failures and silence, on request."""
    assert (await say("!fail Oh dear."))[-1] == Failed("Oh dear.", "the script failed on request")
    assert (await final("!silent")).silent_reason
    with pytest.raises(AgentUnavailable):
        await say("!unavailable")
    with pytest.raises(AgentFailed):
        await say("!refuse")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("hello!", []),
        ("wow !amazing", []),
        ("a!code", []),
        ("!code", [("code", "")]),
        ("please !slow 5 !code", [("slow", "5"), ("code", "")]),
    ],
)
def test_what_is_a_directive(text: str, found: list[tuple[str, str]]) -> None:
    """A known word after an exclamation mark at the start of a word."""
    assert parse(text) == found


def test_words_are_always_the_same() -> None:
    """Runs can be compared."""
    assert words(130).split() == words(130).split()
    assert len(words(130).split()) == 130


def test_every_directive_is_documented() -> None:
    """docs/agents.md names them all."""
    docs = (Path(__file__).parents[2] / "docs" / "agents.md").read_text()
    assert [name for name in DIRECTIVES if f"`!{name}" not in docs] == []
