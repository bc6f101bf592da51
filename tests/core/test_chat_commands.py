import pytest
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.core.chat_commands import (
    USAGE,
    ChatCommand,
    ChooseModel,
    ListModels,
    Misused,
    NewSession,
    SetQueue,
    SetReasoning,
    SetThinking,
    SetVerbose,
    ShowHelp,
    ShowStatus,
    StopTurn,
    parse_command,
)
from oc_trio.core.queueing import DropRule, QueueMode


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("/status", ShowStatus(), id="status"),
        pytest.param("  /STATUS ", ShowStatus(), id="spaces and case"),
        pytest.param("!status", ShowStatus(), id="exclamation mark"),
        pytest.param("@bot /status", ShowStatus(), id="mention before"),
        pytest.param("@Bot: !status", ShowStatus(), id="mention with colon"),
        pytest.param("/status @bot", ShowStatus(), id="mention behind"),
        pytest.param("/oc_status", ShowStatus(), id="the registered name"),
        pytest.param("/new", NewSession(), id="new"),
        pytest.param("/reset now\nlook", NewSession("now\nlook"), id="new with a first message"),
        pytest.param("/stop", StopTurn(), id="stop"),
        pytest.param("@bot stop!", StopTurn(), id="bare stop"),
        pytest.param("/help", ShowHelp(), id="help"),
        pytest.param("/model", ChooseModel(), id="model shown"),
        pytest.param("/model openai/gpt-5", ChooseModel("openai/gpt-5"), id="model chosen"),
        pytest.param("/model: x", ChooseModel("x"), id="colon"),
        pytest.param("/models openai", ListModels("openai"), id="models"),
        pytest.param("/think HIGH", SetThinking("high"), id="think"),
        pytest.param("/t", SetThinking(), id="think shown"),
        pytest.param("/reasoning on", SetReasoning(True), id="reasoning"),
        pytest.param("/verbose off", SetVerbose(False), id="verbose"),
        pytest.param("/verbose", SetVerbose(), id="verbose shown"),
        pytest.param("/queue", SetQueue(), id="queue shown"),
        pytest.param(
            "/queue collect cap:5 drop:old debounce:2s",
            SetQueue(QueueMode.COLLECT, 5, DropRule.OLD, 2.0),
            id="queue with everything",
        ),
        pytest.param("/queue debounce:250", SetQueue(debounce=0.25), id="milliseconds are the default"),
        pytest.param("/queue reset", SetQueue(reset=True), id="queue reset"),
        pytest.param("/deploy", None, id="unknown"),
        pytest.param("/status of the build?", None, id="a sentence"),
        pytest.param("please /status", None, id="not at the start"),
        pytest.param("/statusx", None, id="a longer word"),
        pytest.param("/usr/bin", None, id="a path"),
        pytest.param("@bottom /status", None, id="somebody else"),
        pytest.param("@bot.x /status", None, id="a longer username"),
        pytest.param("", None, id="nothing"),
    ],
)
def test_parse_command(text: str, expected: ChatCommand | None) -> None:
    """A command is the whole message."""
    assert parse_command(text, ("bot",)) == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("/think hard", "/think does not know `hard`"),
        ("/reasoning maybe", "/reasoning does not know `maybe`"),
        ("/model two words", "/model takes one word"),
        ("/queue later", "/queue does not know `later`"),
        ("/queue cap:x", "/queue does not know `cap:x`"),
        ("/queue drop:all", "/queue does not know `drop:all`"),
        ("/queue debounce:soon", "/queue does not know `debounce:soon`"),
        ("/queue cap:99999", "/queue takes a cap from 1 to 1000"),
        ("/queue cap:0", "/queue takes a cap from 1 to 1000"),
        (f"/queue cap:{'9' * 5000}", "/queue takes a cap from 1 to 1000"),
        ("/queue cap:-1", "/queue does not know `cap:-1`"),
        ("/queue debounce:61s", "/queue takes a debounce of at most 60s"),
        (f"/queue debounce:{'9' * 400}", "/queue takes a debounce of at most 60s"),
        ("/queue debounce:-1", "/queue does not know `debounce:-1`"),
        ("/queue debounce:nan", "/queue does not know `debounce:nan`"),
        ("/queue debounce:1e9", "/queue does not know `debounce:1e9`"),
        ("/queue cap:1 cap:2", "/queue has cap twice"),
        ("/queue reset cap:2", "/queue takes nothing beside reset"),
    ],
)
def test_a_misused_command_says_how_it_is_used(text: str, problem: str) -> None:
    """Wrong arguments are answered with the usage."""
    command = parse_command(text)
    assert isinstance(command, Misused)
    assert (command.problem, command.usage) == (problem, USAGE[command.command])


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    """Nothing that people write raises an error."""
    parse_command(text, ("bot",))
    parse_command(f"/queue {text}", ("bot",))
