"""What the server saw of a scripted turn, in each mode, as a chat log kept in `golden/`.

`OC_TRIO_GOLDEN=write pytest tests/runtime/turn/test_streaming_golden.py` writes the logs anew; read the difference.
"""

import os
from pathlib import Path
from typing import Any

import pytest

from oc_trio.agent.scripted import Attach, Pause, Say, Step
from oc_trio.core.draft_view import StreamMode
from oc_trio.core.turn_events import (
    Button,
    Failed,
    Headline,
    PlanStep,
    PlanUpdated,
    Thinking,
    ToolEnded,
    ToolStarted,
    ToolStatus,
)
from tests.runtime.harness import Harness

WRITE = os.environ.get("OC_TRIO_GOLDEN") == "write"
GOLDEN = Path(__file__).parent / "golden"
DONE = ToolStatus.COMPLETED


def tool(call_id: str, name: str, detail: str, seconds: float, status: ToolStatus = DONE) -> list[Step]:
    return [
        ToolStarted(call_id, name, detail=detail),
        Pause(seconds),
        ToolEnded(call_id, name, status, "a result", detail),
    ]


RESEARCH: list[Step] = [
    Thinking("What is asked here?"),
    Pause(1.0),
    Say("Let me look at the logs first.", delay=0.1),
    *tool("1", "search", "error 500", 2.0),
    *tool("2", "read", "/var/log/app.log", 2.0, ToolStatus.FAILED),
    Say("\n\nThe disk is full. Free some space, @channel, and restart.", delay=0.2),
]
PLANNED: list[Step] = [
    Headline("Looking into the outage"),
    Pause(0.5),
    PlanUpdated((PlanStep("Read the logs", "active"), PlanStep("Say what is wrong"))),
    *tool("1", "search", "error 500", 1.5),
    PlanUpdated((PlanStep("Read the logs", "done"), PlanStep("Say what is wrong", "active"))),
    Pause(1.5),
    Say("The disk is full.", delay=0.1),
]
PARALLEL: list[Step] = [
    Say("Looking in two places.", delay=0.1),
    ToolStarted("1", "search", detail="one"),
    ToolStarted("2", "search", detail="two"),
    Pause(1.5),
    ToolEnded("2", "search", DONE, "r", "two"),
    Pause(1.5),
    ToolEnded("1", "search", DONE, "r", "one"),
    *tool("3", "read", "three", 1.0),
    Say("\n\nBoth say the same.", delay=0.1),
]
PARAGRAPHS = "\n\n".join(f"Paragraph {number} " + "with words " * 30 + "ends." for number in range(1, 6))
STREAMING = "streaming"

CASES: dict[str, tuple[dict[str, Any], list[Step]]] = {
    "partial": ({}, RESEARCH),
    "partial_short": ({}, [Say("Yes.")]),
    "partial_plan": ({}, PLANNED),
    "partial_min_chars": (
        {STREAMING: {"preview": {"minChars": 30}}},
        [Say("one two three four five six seven eight", 0.5)],
    ),
    "partial_prefix": ({"responsePrefix": "auto"}, [Say("one two three four", 0.5)]),
    "partial_error": ({}, [Say("I was about to say", 0.5), Failed("The model broke off.", "status 500")]),
    "partial_silent": ({}, [Thinking("nothing to add"), Pause(2), Say("NO_REPLY")]),
    "partial_long": ({"textChunkLimit": 60}, [Say("word " * 40, 0.1)]),
    "partial_reasoning": ({}, [Say("> Reasoning: they ask for a sum\n\nIt is four.", 0.4)]),
    "notify_final": ({"notify": "final"}, [Say("one two three four", 0.5)]),
    "notify_both": ({"notify": "both"}, [Say("one two three four", 0.5)]),
    "block": ({STREAMING: {"mode": "block"}}, RESEARCH),
    "block_parallel": ({STREAMING: {"mode": "block"}}, PARALLEL),
    "progress": ({STREAMING: {"mode": "progress"}}, PLANNED),
    "progress_tools": ({STREAMING: {"mode": "progress", "progress": {"toolProgress": True}}}, RESEARCH),
    "progress_quick": ({STREAMING: {"mode": "progress"}}, [Say("A quick answer.", 0.2)]),
    "progress_slow": ({STREAMING: {"mode": "progress"}}, [Thinking("hm"), Pause(4), Say("A slow answer.", 0.2)]),
    "off": ({STREAMING: {"mode": "off"}}, RESEARCH),
    "off_blocks": (
        {STREAMING: {"mode": "off", "block": {"enabled": True, "coalesce": {"minChars": 400}}}},
        [Say(PARAGRAPHS, 0.05)],
    ),
    "off_blocks_tools": (
        {STREAMING: {"mode": "off", "block": {"enabled": True, "coalesce": {"minChars": 10}}}},
        RESEARCH,
    ),
    "buttons_without_callbacks": (
        {},
        [Say("Shall I?", 0.3), Attach(buttons=((Button("Yes", "yes"), Button("Docs", url="https://example.com")),))],
    ),
}


def test_every_mode_has_a_log() -> None:
    """A new mode gets a case above."""
    modes = {settings.get(STREAMING, {}).get("mode", StreamMode.PARTIAL.value) for settings, _ in CASES.values()}
    assert modes == {mode.value for mode in StreamMode}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
async def test_what_the_server_saw(harness: Harness, name: str) -> None:
    """The creations, edits and deletions of a turn are those of the golden log."""
    settings, steps = CASES[name]
    await harness.start(settings, agents={"entries": {"main": {"identity": {"name": "Otto"}}}})
    harness.script = steps
    question = harness.say("@helper what is wrong?")
    await harness.settled()
    log = harness.chat() + f"\nthe message is {await harness.state(question)}\n"
    path = GOLDEN / f"{name}.txt"
    if WRITE:
        path.write_text(log)
    assert path.exists(), "a new case: OC_TRIO_GOLDEN=write has its log written"
    assert log == path.read_text()
