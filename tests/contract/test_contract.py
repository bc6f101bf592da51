"""The sandbox against the conformance kit, whose goldens were recorded from a real Mattermost 11 server."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KIT = Path(os.environ.get("OC_TRIO_CONTRACT") or ROOT.parent / "shared" / "contract" / "mmcontract.py")

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        not KIT.is_file(), reason="the conformance kit is not here; set OC_TRIO_CONTRACT to its mmcontract.py"
    ),
]

SERVER = "from oc_trio.cli.sandbox import command; command()"
GROUPS = ("p*", "ws_*", "resume_*", "command_*", "[a-oq-v]*")


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
            kit = [sys.executable, str(KIT), "--base-url", url, "--check", str(KIT.parent / "golden"), "--only", group]
            run = subprocess.run([*kit, *skipped], capture_output=True, text=True, timeout=300, check=False)
        finally:
            server.terminate()
    assert run.returncode == 0, "\n".join(line for line in run.stdout.splitlines() if not line.startswith("ok "))
