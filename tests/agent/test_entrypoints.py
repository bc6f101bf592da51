"""Agents of other packages are found, made and run; the examples of docs/agents.md work as they stand."""

import os
import re
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from oc_trio.agent.checked_events import NONSENSE
from oc_trio.agent.command import CommandAgent, CommandSettings
from oc_trio.agent.entrypoints import installed_agents, load_agent, make_agent
from oc_trio.agent.port import Message, Role, TurnRequest
from oc_trio.agent.scripted import ScriptedAgent
from oc_trio.core.turn_events import AgentEvent, Final, TextDelta
from oc_trio.errors import AgentFailed, ConfigError
from oc_trio.ids import AgentId, SessionKey
from tests.agent.model_server import collect

PAGES = Path(__file__).parents[2] / "docs"
DOCS = (PAGES / "agents.md").read_text()
REQUEST = TurnRequest(AgentId("a"), SessionKey("s"), "", (Message(Role.USER, "hello you"),))


def example(name: str, language: str = "python", page: str = DOCS) -> str:
    """The code block of the page that holds `name`."""
    blocks: list[str] = re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)
    return next(block for block in blocks if name in block)


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[None]:
    """The page's package, as an installer would lay it out."""
    (tmp_path / "shout_agent.py").write_text(example("shout_agent.py"))
    info = tmp_path / "shout-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shout\nVersion: 1.0\n")
    header, line = example("oc_trio.agents", "toml").strip().splitlines()
    assert header == '[project.entry-points."oc_trio.agents"]'
    (info / "entry_points.txt").write_text(f"[oc_trio.agents]\n{line.replace(chr(34), '')}\n")
    sys.path.insert(0, str(tmp_path))
    yield
    sys.path.remove(str(tmp_path))
    sys.modules.pop("shout_agent", None)


@pytest.mark.usefixtures("installed")
async def test_the_documented_package_answers() -> None:
    """The documented package is found by its name and gets its settings."""
    assert "shout" in installed_agents()
    agent = load_agent("shout", {"mark": "?"})
    assert await collect(agent, REQUEST) == [TextDelta("HELLO YOU?"), Final("HELLO YOU?")]


def test_the_documented_package_is_short() -> None:
    """Twenty lines of code are enough."""
    assert len([line for line in example("shout_agent.py").splitlines() if line.strip()]) <= 20


async def test_the_documented_program_answers() -> None:
    """The documented program answers when it is started as `command` starts it."""
    agent = CommandAgent(CommandSettings((sys.executable, "-c", example("answer.py"))))
    events = await collect(agent, REQUEST)
    *deltas, final = events
    assert "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)) == "olleh uoy "
    assert final == Final("olleh uoy ")


async def test_the_program_that_asks_openclaw(tmp_path: Path) -> None:
    """The page's program asks with the session and the text, and says every part of the answer."""
    (tmp_path / "openclaw").write_text(
        f"""#!{sys.executable}
import json, sys
words = sys.argv[1:]
values = dict(zip(words[1::2], words[2::2]))
assert (words[0], values["--agent"]) == ("agent", "main"), words
text = open(words[words.index("--message-file") + 1]).read()
parts = [words[words.index("--session-key") + 1], text, None]
print(json.dumps({{"result": {{"payloads": [{{"text": part, "mediaUrl": None}} for part in parts]}}}}))
"""
    )
    (tmp_path / "openclaw").chmod(0o700)
    program = example("openclaw_agent.py", page=(PAGES / "moving-from-openclaw.md").read_text())
    path = f"{tmp_path}:{os.environ['PATH']}"
    agent = CommandAgent(CommandSettings((sys.executable, "-c", program), env={"PATH": path}))
    request = evolve(REQUEST, session=SessionKey("agent:main:thread:x"))
    assert (await collect(agent, request))[-1] == Final("agent-main-thread-x\nhello you\n\n")


def test_an_unknown_name_is_the_operators_mistake() -> None:
    """The error lists what is installed."""
    with pytest.raises(ConfigError, match=r"no agent named 'nobody'.*installed agents"):
        load_agent("nobody", {})


@pytest.mark.parametrize("event", [TextDelta("\ud83d"), Final("a\0b")], ids=["half an emoji", "NUL"])
async def test_what_a_package_says_is_cleaned(event: AgentEvent) -> None:
    """Text of another package's agent is cleaned where its events come in."""
    agent = make_agent("x", lambda: lambda _: ScriptedAgent(lambda _: iter([event])), {})
    assert (await collect(agent, REQUEST))[0] in (TextDelta("\ufffd"), Final("ab"))


@pytest.mark.parametrize("event", [5, TextDelta(None), {"text": "x"}], ids=["a number", "no text", "a mapping"])  # type: ignore[arg-type]
async def test_what_a_package_gives_instead_of_an_event_fails_its_turn(event: object) -> None:
    """A value that is no event fails the turn with a sentence; the log names the field."""

    class Odd:
        @asynccontextmanager
        async def run(self, _: TurnRequest) -> AsyncIterator[AsyncIterator[Any]]:
            async def events() -> AsyncIterator[Any]:
                yield TextDelta("so far")
                yield event

            yield events()

    agent = make_agent("odd", lambda: lambda _: Odd(), {})
    with pytest.raises(AgentFailed, match="the agent odd: ") as caught:
        await collect(agent, REQUEST)
    assert caught.value.for_user == NONSENSE


def _missing() -> object:
    raise ImportError("no module named x")


def _nothing(settings: Mapping[str, Any]) -> object:
    return object()


@pytest.mark.parametrize(
    ("load", "words"),
    [
        (_missing, "can't be loaded: no module named x"),
        (lambda: 5, "is no callable"),
        (lambda: _nothing, "without run"),
    ],
    ids=["import error", "no callable", "no agent"],
)
def test_an_unusable_agent_is_the_operators_mistake(load: Any, words: str) -> None:
    """One clear message for each way."""
    with pytest.raises(ConfigError, match=words):
        make_agent("x", load, {})
