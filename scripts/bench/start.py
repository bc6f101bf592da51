"""From the start of the process until it is connected, in many channels: seconds, and requests by path.

    python scripts/bench/start.py [--channels N] [--news N] [--json]

`first` is the very first start, `again` one with nothing new, `news` one after an absence in which some channels got a
post. `beyond_catch_up` counts the requests other than those for a channel's posts, until it is connected. The floor is
scripts/bench/floor.py before the same server: its start is Python's, httpx's and trio-websocket's own.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.bench.chat_process import ChatProcess, chat_process
from scripts.bench.processes import HERE, cpu_seconds, gateway, process, progress, report, wait_for

POSTS = "GET /api/v4/channels/*/posts"


def run_floor(server: ChatProcess) -> dict[str, Any]:
    command = (str(HERE / "floor.py"), "--base-url", server.url, "--model-url", "", "--token", server.bot_token)
    began = time.monotonic()
    with process(*command, stderr=subprocess.PIPE) as child:
        wait_for(child.stderr, lambda line: "connected" in line, "the floor", [])
        return {"start_s": round(time.monotonic() - began, 2), "cpu_s": round(cpu_seconds(child.pid), 2)}


def run_gateway(server: ChatProcess, state: Path) -> dict[str, Any]:
    server.order(do="requests")
    with gateway(server.url, "http://127.0.0.1:1", server.bot_token, state=state) as (running, start_s):
        cpu, requests = cpu_seconds(running.pid), server.order(do="requests")
        return {
            "start_s": round(start_s, 2),
            "cpu_s": round(cpu, 2),
            "catch_up_requests": requests.get(POSTS, 0),
            "beyond_catch_up": sum(count for path, count in requests.items() if path != POSTS),
            "requests": requests,
        }


def measure(channels: int = 1000, news: int = 5) -> dict[str, Any]:
    """The three starts, with the floor's as `floor`."""
    with tempfile.TemporaryDirectory() as folder, chat_process(channels=channels) as server:
        state = Path(folder)
        result: dict[str, Any] = {"channels": channels, "news": news}
        progress("the floor")
        result["floor"] = run_floor(server)
        for name in ("first", "again", "news"):
            if name == "news":
                server.order(do="post", posts=news, questions=0)
                server.order(do="forget")
            progress(f"the gateway: {name}")
            result[name] = run_gateway(server, state)
        return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--channels", type=int, default=1000)
    parser.add_argument("--news", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    report("start", measure(given.channels, given.news), as_json=given.json)
