"""Catch-up after an absence: 10,000 missed posts in 100 channels, 50 of them questions.

    python scripts/bench/catch_up.py [--posts N] [--channels N] [--questions N] [--json]

All seconds are since the start of the process, which takes `start_s` of a gateway that missed nothing. `requests` are
the bot's until all is answered, by path; `peak_rss_mib` beside `idle_rss_mib`, the peak of the one that missed nothing.
The floor reads one page of each channel after the other, parses it and looks for mentions, with httpx and json alone.
"""

import argparse
import json
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.bench.chat_process import ChatProcess, chat_process, model_process
from scripts.bench.people import Person, person
from scripts.bench.processes import Gateway, cpu_seconds, gateway, peak_rss_mib, progress, report, starting_gateway

PATIENCE = 120.0


def recorded(journal: Path, since_ms: int) -> int:
    """How many posts since then the journal has."""
    with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as database:
        (rows,) = database.execute("SELECT count(*) FROM seen WHERE create_at >= ?", (since_ms,)).fetchone()
    return int(rows)


def run_floor(server: ChatProcess) -> dict[str, Any]:
    """Reading the same posts in a row, without deciding or keeping anything."""
    headers = {"Authorization": f"Bearer {server.bot_token}"}
    with httpx.Client(base_url=f"{server.url}/api/v4", headers=headers, timeout=60, trust_env=False) as http:
        began, cpu, found = time.monotonic(), time.process_time(), 0
        for channel in server.channels:
            page = json.loads(http.get(f"/channels/{channel}/posts?per_page=200").raise_for_status().content)
            found += sum(f"@{server.bot_name}" in post["message"] for post in page["posts"].values())
        return {
            "questions": found,
            "requests": len(server.channels),
            "read_s": round(time.monotonic() - began, 2),
            "cpu_s": round(time.process_time() - cpu, 2),
        }


def measure(posts: int = 10_000, channels: int = 100, questions: int = 50) -> dict[str, Any]:
    with (
        tempfile.TemporaryDirectory() as folder,
        chat_process(channels=channels, users=20) as server,
        model_process(tokens=20, delay_ms=20) as model,
    ):
        state = Path(folder)
        progress("a first start, in channels without news")
        with gateway(server.url, model, server.bot_token, state=state) as (running, _):
            time.sleep(1.0)
        with gateway(server.url, model, server.bot_token, state=state) as (running, start_s):
            idle_rss = peak_rss_mib(running.pid)
        progress(f"{posts} posts while nobody listens")
        since = time.time_ns() // 1_000_000
        server.order(do="post", posts=posts, questions=questions)
        server.order(do="forget")
        server.order(do="requests")
        progress("the floor")
        floor = run_floor(server)
        server.order(do="requests")
        progress("the start that catches up")
        with (
            person(server) as alice,
            starting_gateway(server.url, model, server.bot_token, state=state) as running,
        ):
            result = watch(running, alice, questions)
            alice.wait(lambda: recorded(running.journal, since) >= posts, 10.0)
            requests = server.order(do="requests")
            return {
                "posts": posts,
                "channels": channels,
                "questions": questions,
                "start_s": round(start_s, 2),
                **result,
                "recorded": recorded(running.journal, since),
                "idle_rss_mib": round(idle_rss, 1),
                "page_requests": requests.get("GET /api/v4/channels/*/posts", 0),
                "requests": requests,
                "floor": floor,
            }


def watch(running: Gateway, alice: Person, questions: int) -> dict[str, Any]:
    """The figures of a start until all questions are answered."""
    alice.wait(lambda: bool(alice.answers.first), PATIENCE)
    connected_s = running.wait_connected()
    alice.wait(lambda: len(alice.answers.whole) >= questions, PATIENCE)
    return {
        "answered": len(alice.answers.whole),
        "first_answer_s": round(min(alice.answers.first.values(), default=0.0) - running.began, 2),
        "connected_s": round(connected_s, 2),
        "all_answered_s": round(time.monotonic() - running.began, 2),
        "cpu_s": round(cpu_seconds(running.pid), 2),
        "peak_rss_mib": round(peak_rss_mib(running.pid), 1),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--posts", type=int, default=10_000)
    parser.add_argument("--channels", type=int, default=100)
    parser.add_argument("--questions", type=int, default=50)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    report("catch_up", measure(given.posts, given.channels, given.questions), as_json=given.json)
