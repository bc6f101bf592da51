"""The sandbox against the conformance kit, whose goldens were recorded from a real Mattermost 11 server."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.mmcontract import scenarios as scenarios
from tests.contract.mmcontract.goldens import DIFFERENCES, GOLDENS, Difference, compare, read_golden
from tests.contract.mmcontract.scenario import SCENARIOS

ROOT = Path(__file__).resolve().parents[2]
SERVER = "from oc_trio.cli.sandbox import command; command()"
GROUPS = ("p*", "ws_*", "resume_*", "command_*", "[a-oq-v]*")


@pytest.mark.e2e
@pytest.mark.parametrize("group", GROUPS)
def test_every_scenario_is_as_the_real_server_recorded_it(group: str) -> None:
    """The kit's exit code is zero: no step of any scenario of the group differs from its golden."""
    skipped = [f"--skip={other}" for other in GROUPS[1:4]] if group == GROUPS[4] else []
    with subprocess.Popen(
        [sys.executable, "-c", SERVER, "--port=0", "--json"], stdout=subprocess.PIPE, cwd=ROOT, text=True
    ) as server:
        try:
            assert server.stdout is not None
            url = json.loads(server.stdout.readline())["url"]
            kit = [sys.executable, "-m", "tests.contract.mmcontract", "--base-url", url, "--check", "--only", group]
            run = subprocess.run([*kit, *skipped], capture_output=True, text=True, timeout=300, check=False, cwd=ROOT)
        finally:
            server.terminate()
    shown = "\n".join(line for line in run.stdout.splitlines() if not line.startswith("ok "))
    assert run.returncode == 0, shown + run.stderr


def test_each_scenario_has_its_golden_and_each_golden_its_scenario() -> None:
    assert {path.stem for path in GOLDENS.glob("*.json")} == set(SCENARIOS)


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.scenario)
@pytest.mark.parametrize(
    ("version", "old_answer", "new_answer"),
    [
        ("11.2.0", True, False),
        ("11.4.1", True, True),
        ("11.6.0", False, True),
        ("12.0", False, True),
        ("", True, False),
    ],
)
def test_a_later_server_is_held_to_what_later_servers_answer(
    difference: Difference, version: str, old_answer: bool, new_answer: bool
) -> None:
    """The recorded release gives the golden's answer, one from `seen_on` on the new one, those between give either."""
    golden = read_golden(GOLDENS, difference.scenario)
    assert golden is not None
    changed = [
        {**step, "value": difference.value} if step["label"] == difference.step else step for step in golden["steps"]
    ]
    assert changed != golden["steps"], "the step that differs is in the golden"
    assert (compare(difference.scenario, golden, golden["steps"], None, version) is None) == old_answer
    assert (compare(difference.scenario, golden, changed, None, version) is None) == new_answer


def test_a_run_that_differs_is_named_by_its_step() -> None:
    right = [{"label": "ping", "value": {"status": 200}}]
    golden = {"recorded_from": "11.2.0", "steps": right}
    wrong = [{"label": "ping", "value": {"status": 500}}]
    assert compare("system_ping", golden, wrong, None, "11.2.0") == "ping: status: want 200, got 500"
    assert compare("system_ping", golden, [], None, "11.2.0") == "step 'ping' missing"
    assert compare("system_ping", golden, right * 2, None, "11.2.0") == "extra step 'ping'"
    assert compare("system_ping", None, wrong, None, "11.2.0") == "no golden"
