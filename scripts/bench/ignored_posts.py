"""Posts that are not for the bot, as many per second as the gateway takes: decoded, gated, recorded and dropped.

    python scripts/bench/ignored_posts.py [--rates 1000,2000,...] [--seconds 4] [--json]

The posts come by websocket at one rate after the other, until one is not held: the connection was lost, or the last
post was not in the journal within a second of its arrival. `posts_per_s` is the highest rate that was held,
`longest_gap_s` the longest time without an answer to the server's pings, which come ten a second, at that rate, and
`cpu_us_per_post` what the process took for a post. The floor is scripts/bench/floor.py before the same server: it
parses each frame and looks for its id in the mentions.
"""

import argparse
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.bench.chat_process import ChatProcess, chat_process
from scripts.bench.processes import (
    HERE,
    Gateway,
    cpu_seconds,
    gateway,
    peak_rss_mib,
    process,
    progress,
    report,
    wait_for,
)

CHANNELS, USERS = 100, 50
RATES = (1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 10000)
LATE_SECONDS = 1.0
# Users and channels are looked up at their first post, at the rate of the gateway's budget.
WARM_UP = {"posts": 5 * CHANNELS, "rate": 40 * 5}
WARM_UP_SECONDS = 30.0


def seen(journal: Path, post: str, within: float) -> bool:
    """Whether the journal has a post `within` seconds from now."""
    until = time.monotonic() + within
    with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as database:
        while True:
            if database.execute("SELECT 1 FROM seen WHERE trigger = ?", (post,)).fetchone():
                return True
            if time.monotonic() > until:
                return False
            time.sleep(0.02)


def climb(
    server: ChatProcess, pid: int, rates: tuple[int, ...], seconds: float, is_done: Callable[[str, float], bool]
) -> dict[str, Any]:
    """Send at one rate after the other; the figures of the highest that was held.

    `is_done` says whether a post is dealt with within some seconds.
    """
    best: dict[str, Any] = {"posts_per_s": 0}
    is_done(server.order(do="flood", **WARM_UP)["last"], WARM_UP_SECONDS)
    for rate in rates:
        cpu = cpu_seconds(pid)
        result = server.order(do="flood", posts=int(rate * seconds), rate=rate)
        # A last pong that is late: the posts were not even read, or the server itself is too slow.
        in_time = result["held"] and result["seconds"] < seconds + LATE_SECONDS
        held = in_time and is_done(result["last"], LATE_SECONDS)
        spent = cpu_seconds(pid) - cpu
        word = "held" if held else "not held"
        progress(f"{rate} posts/s: {word}, CPU {spent / seconds:.0%}, longest pong {result['longest_pong_s']} s")
        if not held:
            break
        best = {
            "posts_per_s": rate,
            "cpu_us_per_post": round(spent / result["sent"] * 1e6, 1),
            "longest_pong_s": result["longest_pong_s"],
            "longest_gap_s": result["longest_gap_s"],
        }
    return best


def run_floor(server: ChatProcess, rates: tuple[int, ...], seconds: float) -> dict[str, Any]:
    command = (str(HERE / "floor.py"), "--base-url", server.url, "--model-url", "", "--token", server.bot_token)
    with process(*command, stderr=subprocess.PIPE) as child:
        wait_for(child.stderr, lambda line: "connected" in line, "the floor", [])
        return climb(server, child.pid, rates, seconds, lambda _last, _within: True)


def run_gateway(server: ChatProcess, rates: tuple[int, ...], seconds: float) -> dict[str, Any]:
    with gateway(server.url, "http://127.0.0.1:1", server.bot_token) as (running, _):
        result = climb(server, running.pid, rates, seconds, partial(seen, running.journal))
        return {**result, "peak_rss_mib": round(peak_rss_mib(running.pid), 1), **_journal(running)}


def _journal(running: Gateway) -> dict[str, Any]:
    with closing(sqlite3.connect(f"file:{running.journal}?mode=ro", uri=True)) as database:
        (rows,) = database.execute("SELECT count(*) FROM seen").fetchone()
    return {"recorded": rows}


def measure(rates: tuple[int, ...] = RATES, seconds: float = 4.0) -> dict[str, Any]:
    """The gateway's figures, with those of the floor as `floor`."""
    with chat_process(channels=CHANNELS, users=USERS, flood=True) as server:
        progress("the floor")
        floor = run_floor(server, rates, seconds)
    with chat_process(channels=CHANNELS, users=USERS, flood=True) as server:
        progress("the gateway")
        return {**run_gateway(server, rates, seconds), "floor": floor}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", default=",".join(map(str, RATES)))
    parser.add_argument("--seconds", type=float, default=4.0, help="how long each rate lasts")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rates = tuple(int(rate) for rate in given.rates.split(","))
    report("ignored_posts", measure(rates, given.seconds), as_json=given.json)
