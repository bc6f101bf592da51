"""One answer at a time: how soon after the model's first and last word a reader has them.

    python scripts/bench/quiet_turn.py [--turns N] [--json]

`first_text_ms` runs from the moment at which the model sent its first word to the moment at which a reader's websocket
showed it, `final_ms` the same for the last word. Both pass the chat server, whose own time is in them, as it is in the
floor's (scripts/bench/floor.py).
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.bench.chat_process import ChatProcess, chat_process, model_process
from scripts.bench.people import Person, person
from scripts.bench.processes import HERE, cpu_seconds, gateway, process, progress, report, spread, wait_for

TOKENS, DELAY_MS = 50, 20.0
ANSWER_SECONDS = 30.0


def ask(alice: Person, server: ChatProcess, pid: int, turns: int) -> dict[str, Any]:
    """Ask `turns` times, each once the answer before is whole."""
    roots: list[str] = []
    cpu = cpu_seconds(pid)
    for number in range(turns + 1):
        root = alice.say(server.channels[0], f"@{server.bot_name} question {number}")
        if not alice.wait(lambda: root in alice.answers.whole, ANSWER_SECONDS):  # noqa: B023 - called at once
            raise SystemExit(f"no answer within {ANSWER_SECONDS:g} s")
        time.sleep(0.2)
        if number:  # the first one opens connections and fills caches
            roots.append(root)
        else:
            cpu = cpu_seconds(pid)
    seen = alice.answers
    return {
        "first_text_ms": spread([(seen.first[root] - seen.sent[root]) * 1000 for root in roots]),
        "final_ms": spread([(seen.whole[root] - seen.ended[root]) * 1000 for root in roots]),
        "cpu_ms_per_turn": round((cpu_seconds(pid) - cpu) / turns * 1000, 1),
    }


def measure(turns: int = 20, tokens: int = TOKENS) -> dict[str, Any]:
    """The gateway's figures, with those of the floor as `floor`."""
    with chat_process() as server, model_process(tokens=tokens, delay_ms=DELAY_MS) as model, person(server) as alice:
        progress("the floor")
        command = (str(HERE / "floor.py"), "--base-url", server.url, "--model-url", model, "--token", server.bot_token)
        with process(*command, stderr=subprocess.PIPE) as child:
            wait_for(child.stderr, lambda line: "connected" in line, "the floor", [])
            floor = ask(alice, server, child.pid, turns)
        progress("the gateway")
        with gateway(server.url, model, server.bot_token) as (running, _):
            return {"turns": turns, **ask(alice, server, running.pid, turns), "floor": floor}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    report("quiet_turn", measure(given.turns), as_json=given.json)
