"""Whatever an agent of another package gives is an event with clean text, or a refusal that names the field."""

from datetime import UTC, datetime
from typing import Any

import pytest

from oc_trio.core.event_check import BadEvent, checked
from oc_trio.core.turn_events import (
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

GOOD = [
    Thinking("hm"),
    TextDelta("a"),
    Headline("b"),
    ToolStarted("1", "look", {"deep": [1, {"x": None}]}, "detail"),
    ToolEnded("1", "look", ToolStatus.FAILED, "none", "0 hits"),
    PlanUpdated((PlanStep("look", "done"),)),
    Final("x", (Media(path="/x"),), ((Button("Yes"),),), Usage(1, 2, "m")),
    Failed("a", "b", retryable=True),
]


@pytest.mark.parametrize("event", GOOD, ids=lambda event: type(event).__name__)
def test_a_proper_event_passes_as_it_is(event: object) -> None:
    """Every kind there is."""
    assert checked(event) == event


def test_text_is_cleaned_wherever_it_stands() -> None:
    """In nested values and in arguments too."""
    half = "a\ud83d\0"
    final = Final(half, (Media(url=half),), ((Button(half, half),),), Usage(model=half))
    clean = "a\ufffd"
    assert checked(final) == Final(clean, (Media(url=clean),), ((Button(clean, clean),),), Usage(model=clean))
    assert checked(ToolStarted("1", "x", {half: [half]})) == ToolStarted("1", "x", {clean: [clean]})


def test_lists_count_as_tuples() -> None:
    """Whoever writes an agent without a type checker means the same."""
    bad: Any = [PlanStep("a")]
    assert checked(PlanUpdated(bad)) == PlanUpdated((PlanStep("a"),))


def _deep() -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(5_000):
        value = {"a": value}
    return value


def bad(kind: Any, *values: Any, **fields: Any) -> object:
    return kind(*values, **fields)


BAD = [
    pytest.param("hello", "str is no event", id="a text"),
    pytest.param(None, "NoneType is no event", id="nothing"),
    pytest.param(Usage(), "Usage is no event", id="a part of an event"),
    pytest.param(bad(TextDelta, None), r"TextDelta\.text", id="no text"),
    pytest.param(bad(TextDelta, b"x"), r"TextDelta\.text", id="bytes"),
    pytest.param(bad(Final, 5), r"Final\.text", id="a number"),
    pytest.param(bad(Final, "", media=[{"path": "x"}]), r"Final\.media is no Media", id="media as a mapping"),
    pytest.param(bad(PlanUpdated, (PlanStep("a"),) * 101), r"PlanUpdated\.steps has more than 100", id="a long plan"),
    pytest.param(bad(Final, "", media=(Media(url="http://h/"),) * 101), r"Final\.media has more than", id="many files"),
    pytest.param(bad(Final, "", buttons=[Button("x")]), r"Final\.buttons is no tuple", id="a flat list of buttons"),
    pytest.param(bad(Final, "", usage={"input_tokens": 1}), r"Final\.usage", id="usage as a mapping"),
    pytest.param(bad(Final, "", usage=Usage(-1)), r"Usage\.input_tokens", id="a negative count"),
    pytest.param(bad(Final, "", usage=Usage(10**30)), r"Usage\.input_tokens", id="a huge count"),
    pytest.param(bad(ToolEnded, "1", "x", "completed"), r"ToolEnded\.status", id="a status as text"),
    pytest.param(bad(ToolStarted, "1", "x", [1]), r"ToolStarted\.arguments", id="arguments that are a list"),
    pytest.param(bad(ToolStarted, "1", "x", {"at": datetime.now(UTC)}), "can't be written", id="a time in arguments"),
    pytest.param(bad(ToolStarted, "1", "x", {"n": float("inf")}), "can't be written", id="infinity in arguments"),
    pytest.param(bad(ToolStarted, "1", "x", _deep()), "can't be written", id="arguments without a bottom"),
    pytest.param(bad(Failed, "a", "b", retryable="yes"), r"Failed\.retryable", id="a flag as text"),
]


@pytest.mark.parametrize(("event", "words"), BAD)
def test_anything_else_is_refused(event: object, words: str) -> None:
    """The refusal names the field."""
    with pytest.raises(BadEvent, match=words):
        checked(event)
