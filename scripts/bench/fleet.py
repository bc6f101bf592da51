"""Several processes on one PostgreSQL: how much more they answer, how soon one replaces another, what leases cost.

One JSON object comes out. `turns` has turns per second with 1, 2 and 4 processes and as many accounts; chat server,
model and load are one more process, so the growth ends where the machine's `cores` are in use (`cores_used`, without
PostgreSQL). It says something on a quiet machine only: where the processes waited for a processor longer than they had
one (`waited_per_cpu` above 1), it is that of the other load.

`takeover` is from SIGKILL of the process that writes an answer: `lease_s` until another one serves the account,
`post_s` until it writes to Mattermost, `answer_s` until the answer is whole; `moved` answers ended in another post.
`idle` is what a process takes while nobody writes: with an account, and as a standby; statements are counted in
PostgreSQL's log.

    python scripts/bench/fleet.py [--kills 50] [--turns 60] [--idle 60]
"""

import argparse
import json
import math
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import psycopg
import trio

from scripts.bench.processes import progress
from tests.e2e.fleet.chat import Write
from tests.e2e.fleet.checks import answered, is_complete
from tests.e2e.fleet.gateways import GatewayProcess
from tests.e2e.fleet.trial import Fleet, Options, open_fleet, posts_of

PROCESSES = (1, 2, 4)
PATIENCE_SECONDS = 60.0
# So that it is another process that takes over, and not the killed one.
RESTART_SECONDS = 11.0


def spread(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    if not ordered:
        return {"p50": 0.0, "p95": 0.0, "max": 0.0}
    p95 = ordered[math.ceil(0.95 * len(ordered)) - 1]
    return {"p50": round(statistics.median(ordered), 2), "p95": round(p95, 2), "max": round(ordered[-1], 2)}


def answer_to(fleet: Fleet, number: int) -> tuple[str, str] | None:
    """Post and text of what there is of an answer."""
    for posts in posts_of(fleet.chat).values():
        for post in posts:
            if f"answer q{number}:" in post.message:
                return post.id, post.message
    return None


async def wait_until(is_so: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
    with trio.fail_after(seconds):
        while not is_so():  # noqa: ASYNC110 - other processes tell nobody
            await trio.sleep(0.02)


async def wait_spread(fleet: Fleet) -> None:
    """Until each process serves an account."""
    with trio.fail_after(PATIENCE_SECONDS):
        while len({each.pid for each in (await holders(fleet)).values()}) < len(fleet.gateways):  # noqa: ASYNC110
            await trio.sleep(0.5)


async def holders(fleet: Fleet) -> dict[str, Any]:
    """The newest change of each account's lease."""
    return {change.account: change for change in await fleet.database.lease_changes()}


async def measure_turns(count: int, turns: int) -> dict[str, float]:
    """`count` processes and accounts, `turns` questions to each account at once."""
    options = Options(gateways=count, accounts=count, words=20, delay=0.01, has_callbacks=False)
    with tempfile.TemporaryDirectory() as folder:
        async with open_fleet(Path(folder), options) as fleet:
            await wait_spread(fleet)
            await trio.sleep(3.0)
            cpu_before, own_before = sum(each.cpu_seconds() for each in fleet.gateways), time.process_time()
            wait_before = sum(each.cpu_wait_seconds() for each in fleet.gateways)
            began, total = time.monotonic(), count * turns
            for number in range(total):
                bot = fleet.chat.bots[number % count]
                person = fleet.chat.people[number % len(fleet.chat.people)]
                fleet.chat.say(person, fleet.chat.channels[bot.username], f"@{bot.username} q{number} please")
                await trio.lowlevel.checkpoint()
            await wait_until(lambda: len(answered(posts_of(fleet.chat))) >= total, PATIENCE_SECONDS * 5)
            seconds = time.monotonic() - began
            cpu = sum(each.cpu_seconds() for each in fleet.gateways) - cpu_before
            own = time.process_time() - own_before
            waited = sum(each.cpu_wait_seconds() for each in fleet.gateways) - wait_before
    return {
        "per_second": round(total / seconds, 1),
        "cpu_ms_per_turn": round(cpu * 1000 / total, 1),
        "cores_used": round((cpu + own) / seconds, 2),
        "waited_per_cpu": round(waited / cpu, 2),
    }


async def measure_takeover(kills: int) -> dict[str, Any]:
    """Kill the process that writes an answer, again and again."""
    options = Options(gateways=3, accounts=1, words=30, delay=0.1, has_callbacks=False)
    times: list[dict[str, float]] = []
    moved, rng = 0, random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        async with open_fleet(Path(folder), options) as fleet:
            for gateway in fleet.gateways:
                gateway.restart_seconds = RESTART_SECONDS
            for number in range(kills):
                seconds, is_moved = await _kill_once(fleet, number, rng.uniform(0.0, 2.0))
                times.append(seconds)
                moved += is_moved
                progress(f"kill {number + 1}: {seconds}")
                # The killed one starts meanwhile; a standby is left in any case.
                await wait_until(lambda: sum(fleet.balancer.ready.values()) >= 2)
    names = ("lease_s", "post_s", "answer_s")
    return {"kills": kills, **{name: spread([each[name] for each in times]) for name in names}, "moved": moved}


async def _kill_once(fleet: Fleet, number: int, pause: float) -> tuple[dict[str, float], bool]:
    """Seconds since the kill, and whether the answer came to stand in another post than it had begun in."""
    bot, person = fleet.chat.bots[0], fleet.chat.people[0]
    fleet.chat.say(person, fleet.chat.channels[bot.username], f"@{bot.username} q{number} please")
    await wait_until(lambda: answer_to(fleet, number) is not None)
    await trio.sleep(pause)
    holder = await _holder(fleet, bot.username)
    post, text = answer_to(fleet, number) or ("", "")
    assert not is_complete(number, text), "the answer takes longer than the pause"
    at, first = time.time(), len(fleet.chat.log.writes)
    holder.kill()

    def writes() -> list[Write]:
        return [write for write in fleet.chat.log.writes[first:] if write.host != holder.host]

    await wait_until(lambda: bool(writes()))
    await wait_until(lambda: is_complete(number, (answer_to(fleet, number) or ("", ""))[1]))
    ended = time.time()
    lease = (await holders(fleet))[bot.username]
    last = answer_to(fleet, number)
    seconds = {"lease_s": lease.at / 1000 - at, "post_s": writes()[0].at / 1000 - at, "answer_s": ended - at}
    return {name: round(value, 2) for name, value in seconds.items()}, last is not None and last[0] != post


async def _holder(fleet: Fleet, account: str) -> GatewayProcess:
    pid = (await holders(fleet))[account].pid
    return next(gateway for gateway in fleet.gateways if gateway.pid == pid)


async def measure_idle(seconds: float) -> dict[str, Any]:
    """Two processes and one account: one serves it, the other stands by."""
    options = Options(gateways=2, accounts=1, has_callbacks=False)
    with tempfile.TemporaryDirectory() as folder:
        async with open_fleet(Path(folder), options) as fleet:
            holder = await _holder(fleet, fleet.chat.bots[0].username)
            standby = next(gateway for gateway in fleet.gateways if gateway is not holder)
            await trio.sleep(10.0)  # what follows a start
            await trio.to_thread.run_sync(_log_statements, fleet.database.url)
            log = fleet.database.cluster.directory / "log"
            before = holder.cpu_seconds(), standby.cpu_seconds(), _statements(log)
            await trio.sleep(seconds)
            after = holder.cpu_seconds(), standby.cpu_seconds(), _statements(log)
            connections, rss_mib = await fleet.database.connections() - 1, holder.rss_mib()
    return {
        "seconds": seconds,
        "cpu_s_per_hour": {
            "with_an_account": round((after[0] - before[0]) * 3600 / seconds, 1),
            "standby": round((after[1] - before[1]) * 3600 / seconds, 1),
        },
        "statements_per_minute_and_process": round((after[2] - before[2]) * 60 / seconds / 2),
        "connections_per_process": round(connections / 2, 1),
        "rss_mib": round(rss_mib),
    }


def _log_statements(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET log_statement = 'all'")
        connection.execute("SELECT pg_reload_conf()")
    time.sleep(1.0)


def _statements(log: Path) -> int:
    lines = log.read_text("utf-8", "replace").splitlines()
    return sum("LOG:  statement:" in line or "LOG:  execute" in line for line in lines)


async def main(args: argparse.Namespace) -> dict[str, Any]:
    result: dict[str, Any] = {"cores": os.cpu_count(), "load_before": round(os.getloadavg()[0], 1)}
    if args.turns:
        result["turns"] = {}
        for count in PROCESSES:
            result["turns"][str(count)] = await measure_turns(count, args.turns)
            progress(f"{count} processes: {result['turns'][str(count)]}")
        rates = [result["turns"][str(count)]["per_second"] for count in PROCESSES]
        result["growth"] = {str(count): round(rate / rates[0], 2) for count, rate in zip(PROCESSES, rates, strict=True)}
    if args.idle:
        result["idle"] = await measure_idle(args.idle)
    if args.kills:
        result["takeover"] = await measure_takeover(args.kills)
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50, help="0 leaves this part out")
    parser.add_argument("--turns", type=int, default=60, help="questions to each account; 0 leaves this part out")
    parser.add_argument("--idle", type=float, default=60.0, help="seconds; 0 leaves this part out")
    print(json.dumps(trio.run(main, parser.parse_args()), indent=2))
