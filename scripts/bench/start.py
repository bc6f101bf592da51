"""Requests and seconds until a gateway is live in many channels: sandbox and gateway in this process.

    python scripts/bench/start.py [--channels N] [--news N]

Prints a line of JSON for a first start, and one for a start after an absence in which some channels got a mention.
The sandbox answers at once and the journal is in memory: the seconds are the gateway's own, its pace of requests
included.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import trio

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.runtime.harness import Harness, open_harness


async def measure(harness: Harness, channels: int, news: int) -> None:
    before, began = harness.calls(), time.perf_counter()
    await harness.start()
    seconds = round(time.perf_counter() - began, 3)
    await harness.settled()
    row = {"channels": channels, "news": news, "requests": harness.calls() - before, "seconds": seconds}
    print(json.dumps(row), flush=True)
    await harness.stop()


async def main(channels: int, news: int) -> None:
    async with trio.open_nursery() as nursery, open_harness(nursery) as harness:
        world, team, alice, bot = harness.world, harness.team, harness.alice, harness.bot
        made = [world.create_channel(team, f"c{n}", alice, bot) for n in range(channels)]
        await measure(harness, channels, 0)
        harness.world.restart()
        for channel in made[:news]:
            harness.say("@helper hello", channel=channel)
        await measure(harness, channels, news)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--channels", type=int, default=1000)
    parser.add_argument("--news", type=int, default=5)
    given = parser.parse_args()
    trio.run(main, given.channels, given.news)
