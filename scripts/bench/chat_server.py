"""A sandbox of the size that a benchmark asks for, in a process of its own that takes orders on stdin.

    python scripts/bench/chat_server.py [--channels N] [--users N]

Prints a line of JSON with its URL, the bot and the channels; each line of JSON on stdin is an order, answered by a
line:

    {"do": "post", "posts": 1000, "questions": 5}       people post in all channels, in turn
    {"do": "requests"}                                  the bot's requests since the last such order, by path
    {"do": "drop"}                                      drop the bot's websockets, as a bad network does
    {"do": "forget"}                                    forget websockets, so that none can be resumed
    {"do": "flood", "posts": 50000, "rate": 5000}       posts by websocket alone, as ready bytes; see `flood_socket`

The address is a port of its own before the sandbox: websockets of `flood_socket`, if it is switched on by `--flood`,
and everything else goes to the sandbox as it is.
"""

import argparse
import json
import re
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import trio
from attrs import define, field

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from oc_trio.sandbox.demo import PASSWORD, seed
from oc_trio.sandbox.records import ChannelRecord, UserRecord
from oc_trio.sandbox.serve import serve
from oc_trio.sandbox.settings import Settings
from oc_trio.sandbox.world import World
from scripts.bench.flood_socket import FloodSocket

_ID = re.compile(r"\b[a-z0-9]{26}\b")
WORDS = (
    "The deployment of the new release is done, and the dashboards look fine so far.",
    "Could somebody look at ticket 4711? The customer says that the export is empty.",
    "Lunch at noon? The new place has soup.",
    "I have pushed the branch; tests are green, a review would be nice when you have time for it.",
    "See https://example.com/wiki/Release-Notes for what has changed, and ask @alice about the rest.",
)


@define(eq=False)
class ChatServer:
    """The world and what is done to it by order."""

    world: World
    channels: list[ChannelRecord]
    people: list[UserRecord]
    bot_id: str
    bot_name: str
    flood: FloodSocket
    counted: int = 0
    before: Counter[str] = field(factory=Counter)

    async def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        """Carry out one order; its answer."""
        match order["do"]:
            case "post":
                return self.post(order["posts"], order["questions"])
            case "requests":
                return self.requests()
            case "forget":
                return self.forget()
            case "drop":
                return await self.drop()
            case "flood":
                return await self.flood.run(order["posts"], order["rate"])
            case unknown:
                raise ValueError(f"no such order: {unknown}")

    def post(self, posts: int, questions: int) -> dict[str, Any]:
        """`posts` posts of which `questions` mention the bot, in all channels in turn."""
        every = posts // questions if questions else posts
        for number in range(posts):
            group, place = divmod(number, every)
            # Seven places later in each group, so that the questions are in many channels.
            asks = questions > 0 and place == 7 * group % every
            text = f"@{self.bot_name} question {number}" if asks else WORDS[number % len(WORDS)]
            channel = self.channels[number % len(self.channels)]
            self.world.post_as(self.people[number % len(self.people)], channel, text)
        return {"posts": posts}

    def requests(self) -> dict[str, Any]:
        """Requests of the bot since the last call, by method and path with `*` for ids."""
        mine = [each for each in self.world.requests if each.username == self.bot_name]
        total = Counter(f"{each.method} {_ID.sub('*', each.path)}" for each in mine)
        news, self.before = total - self.before, total
        return dict(sorted(news.items()))

    def forget(self) -> dict[str, Any]:
        """Forget all connections, as a restart of the server does: nothing can be resumed."""
        self.world.hub.restart()
        return {}

    async def drop(self) -> dict[str, Any]:
        """Cut the bot's websockets off without a close frame."""
        await trio.lowlevel.checkpoint()
        dropped = 0
        for connection in self.world.hub.connections(self.bot_id):
            if connection.live:
                connection.overflowed = True
                connection.wake()
                dropped += 1
        return {"dropped": dropped}


def build(channels: int, users: int, bot_token: str) -> ChatServer:
    """A team with the bot and alice in every channel, and `users` more people, who are in every channel, too."""
    world = World(settings=Settings(request_log=200_000))
    demo = seed(world, bot_token=bot_token)
    people = [world.create_user(f"user{number}", PASSWORD, team=demo.team) for number in range(users)]
    made = [
        world.create_channel(demo.team, f"channel-{number}", demo.alice, demo.bot, *people)
        for number in range(channels)
    ]
    flood = FloodSocket([each.id for each in people], [each.id for each in made], demo.team.id)
    return ChatServer(world, made, people or [demo.alice], demo.bot.id, demo.bot.username, flood)


async def main(channels: int, users: int, *, with_flood: bool) -> None:
    bot_token = "b" * 26
    server = build(channels, users, bot_token)
    async with trio.open_nursery() as nursery:
        url: str = await nursery.start(partial(serve, server.world))
        if with_flood:
            url = await nursery.start(server.flood.serve, int(url.rpartition(":")[2]))
        hello = {"url": url, "bot_token": bot_token, "bot_id": server.bot_id, "bot_username": server.bot_name}
        print(json.dumps({**hello, "channels": [each.id for each in server.channels]}), flush=True)
        stdin = trio.wrap_file(sys.stdin)
        async for line in stdin:
            print(json.dumps(await server.obey(json.loads(line))), flush=True)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--users", type=int, default=0)
    parser.add_argument("--flood", action="store_true")
    given = parser.parse_args()
    trio.run(partial(main, given.channels, given.users, with_flood=given.flood))
