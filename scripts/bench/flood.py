"""What a flood of bad requests from one source costs everybody else: loop delay and latency of genuine callbacks.

    python -m scripts.bench.flood --seconds 10

Server and genuine caller share this process, as the gateway's chat work would; the flood comes from another one.
"""

import argparse
import logging
import resource
import statistics
import subprocess
import sys
from urllib.parse import urlencode

import httpx
import structlog
import trio

from oc_trio.callbacks.server import serve_callbacks
from tests.callbacks.callers import COMMAND_PATH, FORM, open_port

CONNECTIONS = 16

ATTACK = f"""
import sys, trio
HEAD = "POST {COMMAND_PATH} HTTP/1.1", "Host: x", "Content-Type: application/json", "Content-Length: 2", "", "{{}}"
BAD = "\\r\\n".join(HEAD).encode()
async def flood(port, count):
    while True:
        try:
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                while True:
                    await stream.send_all(BAD)
                    if not await stream.receive_some(4096):
                        break
                    count[0] += 1
        except (OSError, trio.BrokenResourceError):
            await trio.sleep(0.001)
async def main():
    count = [0]
    with trio.move_on_after(float(sys.argv[2])):
        async with trio.open_nursery() as nursery:
            for _ in range({CONNECTIONS}):
                nursery.start_soon(flood, int(sys.argv[1]), count)
    print(count[0])
trio.run(main)
"""


async def measure(url: str, seconds: float) -> tuple[list[float], list[float]]:
    """Delays of a 10 ms timer and latencies of one genuine call each 50 ms, in milliseconds."""
    delays: list[float] = []
    latencies: list[float] = []

    async def tick() -> None:
        while True:
            before = trio.current_time()
            await trio.sleep(0.01)
            delays.append((trio.current_time() - before - 0.01) * 1000)

    async def call(client: httpx.AsyncClient) -> None:
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Authorization": "Token tok-status"}
        while True:
            before = trio.current_time()
            answer = await client.post(url + COMMAND_PATH, content=urlencode(FORM), headers=headers)
            assert answer.status_code == 200, answer.status_code
            latencies.append((trio.current_time() - before) * 1000)
            await trio.sleep(0.05)

    async with httpx.AsyncClient(trust_env=False, timeout=None) as client:
        with trio.move_on_after(seconds):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(tick)
                nursery.start_soon(call, client)
    return delays, latencies


def figures(name: str, values: list[float]) -> str:
    cuts = statistics.quantiles(values, n=100)
    return f"{name}: p50 {statistics.median(values):.1f} ms, p99 {cuts[98]:.1f} ms ({len(values)})"


async def main(seconds: float) -> None:
    shutdown, port = trio.Event(), open_port()
    async with trio.open_nursery() as nursery:

        async def run(*, task_status: trio.TaskStatus[str]) -> None:
            await serve_callbacks(port.app, "127.0.0.1", 0, shutdown=shutdown, task_status=task_status)

        url: str = await nursery.start(run)
        await measure(url, 1.0)
        for name in ("quiet", "flood"):
            before = resource.getrusage(resource.RUSAGE_SELF)
            attacker = None
            if name == "flood":
                command = [sys.executable, "-c", ATTACK, url.rpartition(":")[2], str(seconds)]
                attacker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: ASYNC220
                await trio.sleep(1)
            delays, latencies = await measure(url, seconds - 1)
            after = resource.getrusage(resource.RUSAGE_SELF)
            print(f"{name}: {figures('loop delay', delays)}; {figures('genuine calls', latencies)}; ", end="")
            print(
                f"cpu {(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / seconds:.0%}, ", end=""
            )
            print(f"peak RSS {after.ru_maxrss / 1024:.0f} MiB")
            if attacker is not None:
                answered = await trio.to_thread.run_sync(attacker.communicate)
                print(f"answered bad requests: {int(answered[0]) / seconds:.0f}/s")
        shutdown.set()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    trio.run(main, parser.parse_args().seconds)
