"""The sandbox against the conformance kit, whose goldens were recorded from a real Mattermost 11 server."""

import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.contract.mmcontract import scenarios as scenarios
from tests.contract.mmcontract.goldens import DIFFERENCES, GOLDENS, Difference, compare, read_golden
from tests.contract.mmcontract.scenario import SCENARIOS, SLOW

ROOT = Path(__file__).resolve().parents[2]
# Scenarios mostly wait: each group has a server of its own, and all run side by side. The last one is what is in none.
GROUPS = (("ws_[a-l]*", "[a-c]*"), ("ws_[m-z]*",), ("resume_*",))


def start(only: tuple[str, ...], skip: tuple[str, ...]) -> tuple[subprocess.Popen[str], subprocess.Popen[str]]:
    """A server, and the kit that checks it."""
    command = [sys.executable, "-m", "oc_trio", "sandbox", "--port=0", "--json"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True)
    assert server.stdout is not None
    url = json.loads(server.stdout.readline())["url"]
    kit = [sys.executable, "-m", "tests.contract.mmcontract", "--base-url", url, "--check"]
    named = [*(f"--only={name}" for name in only), *(f"--skip={name}" for name in skip)]
    running = subprocess.Popen([*kit, *named], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT, text=True)
    return server, running


@pytest.mark.e2e
def test_every_scenario_is_as_the_real_server_recorded_it() -> None:
    """No step of any scenario differs from its golden, and each kit's exit code is zero."""
    named = tuple(name for group in GROUPS for name in group)
    lines, codes = [], []
    with ExitStack() as stack:
        started = [start(group, ()) for group in GROUPS] + [start((), named)]
        for server, kit in started:
            stack.enter_context(server)
            stack.callback(server.terminate)
            stack.enter_context(kit)
            stack.callback(kit.kill)
        for _, kit in started:
            output, _ = kit.communicate(timeout=280)
            lines += output.splitlines()
            codes.append(kit.returncode)
    shown = "\n".join(line for line in lines if not line.startswith(("ok ", "skip ")))
    assert codes == [0] * len(codes), shown
    passed = {line.split()[1] for line in lines if line.startswith("ok ")}
    assert passed == set(SCENARIOS) - SLOW


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
