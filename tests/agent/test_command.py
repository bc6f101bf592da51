"""A program answers in JSON lines; whatever it does, the turn ends and the process is gone."""

import os
import sys
import time
from pathlib import Path

import pytest
import trio

from oc_trio.agent.command import CRASHED, NONSENSE, NOT_STARTED, CommandAgent, CommandSettings
from oc_trio.agent.failures import TOO_SLOW
from oc_trio.agent.http_stream import Deadlines
from oc_trio.agent.port import ImagePart, Message, Role, ToolResult, TurnRequest
from oc_trio.core.turn_events import (
    AgentEvent,
    Button,
    Failed,
    Final,
    Headline,
    Media,
    PlanStep,
    PlanUpdated,
    TextDelta,
    Thinking,
    ToolEnded,
    ToolStarted,
    ToolStatus,
    Usage,
)
from oc_trio.errors import AgentFailed, AgentUnavailable
from oc_trio.ids import AgentId, SessionKey
from tests.agent.model_server import Tools, collect

PRELUDE = """
import json, os, signal, sys, time
turn = json.loads(sys.stdin.readline())
def out(type, **more): print(json.dumps({"type": type, **more}), flush=True)
"""


def program(body: str, **settings: object) -> CommandAgent:
    command = (sys.executable, "-c", PRELUDE + body)
    return CommandAgent(CommandSettings(command, **{"grace": 0.5, **settings}))  # type: ignore[arg-type]


def turn(tools: Tools | None = None) -> TurnRequest:
    messages = (Message(Role.USER, "hello", images=(ImagePart("image/png", b"\x01"),)),)
    return TurnRequest(AgentId("main"), SessionKey("s"), "Be kind.", messages, tools=tools or Tools(), thinking="low")


async def run(agent: CommandAgent, tools: Tools | None = None) -> list[AgentEvent]:
    with trio.fail_after(20):
        return await collect(agent, turn(tools))


async def gone(pid: int) -> bool:
    """Whether the process ends soon."""
    with trio.move_on_after(30):
        while True:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return True
            await trio.sleep(0.01)
    return False


async def test_every_kind_of_line_becomes_its_event() -> None:
    """The contract's table, in one turn."""
    events = await run(
        program("""
out("thinking", text="hm")
out("headline", text="Looking")
out("plan", steps=[{"text": "look", "state": "done"}, {"text": "say"}])
out("tool_started", id="1", name="grep", arguments={"a": 1}, detail="a")
out("tool_ended", id="1", name="grep", status="failed", text="none", detail="0 hits")
out("text", text="Hi ")
print()
out("text", text="there")
out("final", media=[{"path": "/tmp/x.png", "mime": "image/png"}], buttons=[[{"label": "Yes", "value": "y"}]],
    usage={"input_tokens": 3, "output_tokens": 2, "model": "mine"})
""")
    )
    assert events == [
        Thinking("hm"),
        Headline("Looking"),
        PlanUpdated((PlanStep("look", "done"), PlanStep("say"))),
        ToolStarted("1", "grep", {"a": 1}, "a"),
        ToolEnded("1", "grep", ToolStatus.FAILED, "none", "0 hits"),
        TextDelta("Hi there"),
        Final(
            "Hi there",
            media=(Media(path="/tmp/x.png", mime="image/png"),),
            buttons=((Button("Yes", "y"),),),
            usage=Usage(3, 2, "mine"),
        ),
    ]


async def test_the_program_reads_the_whole_turn() -> None:
    """The first line carries transcript, tools, model and options."""
    agent = program('out("final", text=json.dumps(turn))', model="m", options={"deep": True})
    (final,) = await run(agent)
    assert isinstance(final, Final)
    for part in ('"agent": "main"', '"model": "m"', '"deep": true', '"data": "AQ=="', '"name": "look"', '"low"'):
        assert part in final.text


async def test_the_program_calls_our_tools() -> None:
    """It gets each result as a line."""
    tools = Tools(ToolResult("found"))
    events = await run(
        program("""
out("tool_call", id="7", name="look", arguments={"x": 1})
result = json.loads(sys.stdin.readline())
out("final", text=f"{result['id']} {result['status']} {result['text']}")
"""),
        tools,
    )
    assert [type(event) for event in events] == [ToolStarted, ToolEnded, Final]
    assert events[-1] == Final("7 completed found")


async def test_it_may_tidy_up_after_its_last_line(tmp_path: Path) -> None:
    """A reader that leaves at the final does not cut it short."""
    done = tmp_path / "done"
    agent = program(f'out("final", text="x"); sys.stdin.read(); time.sleep(0.1); open({str(done)!r}, "w")', grace=10)
    async with agent.run(turn()) as events:
        assert await anext(events) == Final("x")
    assert await trio.Path(done).exists()


async def test_text_and_a_clean_exit_are_an_answer() -> None:
    """The final line may be left out."""
    assert await run(program('out("text", text="Hi")')) == [TextDelta("Hi"), Final("Hi")]


async def test_silence_has_a_reason() -> None:
    """An empty final with a reason says nothing on purpose."""
    events = await run(program('out("text", text="x"); out("final", silent_reason="not for me")'))
    assert events[-1] == Final("", silent_reason="not for me")


async def test_it_may_fail_in_its_own_words() -> None:
    """The program's own sentences about a failure are passed on."""
    events = await run(program('out("failed", for_user="No luck.", retryable=True)'))
    assert events == [Failed("No luck.", "No luck.", retryable=True)]


CRASHES = [
    pytest.param('sys.stderr.write("no"); sys.exit(3)', "3 without an answer and with 1 line", CRASHED, id="exit code"),
    pytest.param("os.kill(os.getpid(), 9)", "ended with -9", CRASHED, id="killed"),
    pytest.param("pass", "ended with 0 without an answer", CRASHED, id="nothing said"),
    pytest.param('print("hello")', "not JSON", NONSENSE, id="not JSON"),
    pytest.param("print([])", "not an object", NONSENSE, id="not an object"),
    pytest.param('out("dance")', "unknown type", NONSENSE, id="unknown type"),
    pytest.param('out("text")', "lacks or misspells 'text'", NONSENSE, id="missing field"),
    pytest.param('out("text", text=5)', "lacks or misspells 'text'", NONSENSE, id="wrong type"),
]


@pytest.mark.parametrize(("body", "line", "for_user"), CRASHES)
async def test_a_broken_program_before_its_first_event(body: str, line: str, for_user: str) -> None:
    """The operator reads what happened, the reader one sentence."""
    with pytest.raises(AgentFailed, match=line) as caught:
        await run(program(body))
    assert caught.value.for_user == for_user


async def test_a_crash_after_its_first_event_is_the_last_event() -> None:
    """What the program had said before it crashed stays."""
    events = await run(program('out("text", text="Half"); sys.exit(1)'))
    assert events[0] == TextDelta("Half")
    assert isinstance(events[-1], Failed)
    assert events[-1].for_user == CRASHED


async def test_a_missing_program_is_the_operators_mistake() -> None:
    """No retry helps."""
    with pytest.raises(AgentFailed, match="/nowhere") as caught:
        await run(CommandAgent(CommandSettings(("/nowhere",))))
    assert caught.value.for_user == NOT_STARTED


async def test_a_program_that_says_nothing_is_given_up() -> None:
    """The deadline for the first line ends it."""
    with pytest.raises(AgentUnavailable) as caught:
        await run(program("time.sleep(60)", deadlines=Deadlines(first_token=0.3)))
    assert caught.value.for_user == TOO_SLOW


async def test_a_program_that_stalls_is_given_up() -> None:
    """The deadline between two lines ends it."""
    agent = program('out("text", text="Half"); time.sleep(60)', deadlines=Deadlines(idle=0.3))
    events = await run(agent)
    assert isinstance(events[-1], Failed)
    assert events[-1].for_user == TOO_SLOW


STUBBORN = "signal.signal(signal.SIGTERM, signal.SIG_IGN); "


@pytest.mark.parametrize("body", ["", STUBBORN], ids=["obedient", "stubborn"])
async def test_cancelling_ends_the_process(body: str) -> None:
    """SIGTERM first, SIGKILL after the grace."""
    agent = program(f'{body}out("text", text=str(os.getpid())); time.sleep(60)')
    pid = 0
    with trio.fail_after(20), trio.CancelScope() as scope:
        async with agent.run(turn()) as events:
            async for event in events:
                assert isinstance(event, TextDelta)
                pid = int(event.text)
                scope.cancel()
    assert await gone(pid)


async def test_what_it_started_dies_with_it() -> None:
    """A child that holds the pipes is no reason to hang."""
    body = """
import subprocess
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
out("final", text=str(child.pid))
"""
    (final,) = await run(program(body))
    assert isinstance(final, Final)
    assert await gone(int(final.text))


@pytest.mark.slow
async def test_it_does_not_get_the_gateways_secrets(tmp_path: Path) -> None:
    """Its environment is the harmless part of ours and what the operator adds."""
    command = (sys.executable, "-c", PRELUDE + 'out("final", text=" ".join(sorted(os.environ)))')
    outer = """
import sys, trio
from tests.agent.test_command import turn, collect
from oc_trio.agent.command import CommandAgent, CommandSettings
(final,) = trio.run(collect, CommandAgent(CommandSettings(tuple(sys.argv[1:]), {"MINE": "1"})), turn())
print(final.text)
"""
    env = {**os.environ, "MATTERMOST_BOT_TOKEN": "secret", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = await trio.run_process([sys.executable, "-c", outer, *command], env=env, capture_stdout=True)
    names = done.stdout.decode().split()
    assert "MINE" in names
    assert "PATH" in names
    assert "MATTERMOST_BOT_TOKEN" not in names


@pytest.mark.slow
async def test_a_line_of_very_many_values_holds_nobody_up() -> None:
    """A line of very many values is refused with a sentence, and other tasks run meanwhile."""
    waits: list[float] = []

    async def others() -> None:
        while True:
            before = time.process_time()
            await trio.sleep(0.01)
            waits.append(time.process_time() - before)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(others)
        with pytest.raises(AgentFailed, match="'steps', a list of 100 items at most"):
            await run(program("out('plan', steps=[{'text': 'a', 'state': ''}] * 400_000)"))
        nursery.cancel_scope.cancel()
    assert max(waits) < 2.0
