"""Goldens: what each scenario saw on a real server, and where later versions of that server differ.

A golden is a list of steps, each a label and a value, in one JSON file per scenario. A recorded golden is never edited:
where a later release answers differently, `DIFFERENCES` says so.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.contract.mmcontract.values import diff

GOLDENS = Path(__file__).resolve().parents[1] / "golden"

Step = dict[str, Any]
Version = tuple[int, ...]


@dataclass(frozen=True)
class Difference:
    """A step that a later release answers differently than the one the goldens were recorded from."""

    scenario: str
    step: str
    seen_on: Version  # releases between the recorded one and this one may answer either way
    value: Any


DIFFERENCES = (
    Difference(
        scenario="command_create_errors",
        step="update to a taken trigger",
        seen_on=(11, 6),
        value={"status": 400, "error_id": "api.command.duplicate_trigger.app_error"},
    ),
)


def read_version(text: str) -> Version:
    """`11.2.0` as (11, 2, 0); () of what is no version."""
    return tuple(int(part) for part in text.split(".")) if re.fullmatch(r"\d+(\.\d+)*", text) else ()


def allowed_values(scenario: str, step: Step, recorded_from: str, version: str) -> list[Any]:
    """What a server of that version may answer in a step: the golden's value, a later release's, or either."""
    server = read_version(version)
    for difference in DIFFERENCES:
        if (difference.scenario, difference.step) == (scenario, step["label"]):
            if server >= difference.seen_on:
                return [difference.value]
            if server > read_version(recorded_from):
                return [step["value"], difference.value]
    return [step["value"]]


def read_golden(folder: Path, scenario: str) -> dict[str, Any] | None:
    """The golden of a scenario, None when it was never recorded."""
    path = folder / f"{scenario}.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


def write_golden(folder: Path, scenario: str, doc: str, version: str, steps: list[Step]) -> None:
    """Saves what a scenario saw as its golden, in a folder that is made when it is not there."""
    pins = re.sub(r"\s+", " ", doc.strip())
    _write(folder, scenario, {"scenario": scenario, "pins": pins, "recorded_from": version, "steps": steps})


def write_wire(folder: Path, scenario: str, exchanges: list[dict[str, Any]]) -> None:
    """Saves every exchange of a scenario in full. These files are read by people and never compared."""
    _write(folder, scenario, exchanges)


def _write(folder: Path, scenario: str, value: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
    (folder / f"{scenario}.json").write_text(text, encoding="utf-8")


def compare(
    scenario: str, golden: dict[str, Any] | None, steps: list[Step], error: str | None, version: str
) -> str | None:
    """The first thing by which a run differs from its golden, in words; None when it is equal.

    `error` is what ended the scenario early, `version` what the server calls itself (`11.2.0`).
    """
    if golden is None:
        return "no golden"
    want = golden["steps"]
    for number, step in enumerate(want):
        if number >= len(steps):
            return error or f"step {step['label']!r} missing"
        got = steps[number]
        if got["label"] != step["label"]:
            return f"step {number}: want {step['label']!r}, got {got['label']!r}"
        differences = [
            diff(value, got["value"]) for value in allowed_values(scenario, step, golden["recorded_from"], version)
        ]
        if all(differences):
            return f"{step['label']}: {str(differences[0]).lstrip('.')}"
    if error is None and len(steps) > len(want):
        return f"extra step {steps[len(want)]['label']!r}"
    return error
