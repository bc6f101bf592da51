"""A gateway with a chat server of its own, for looking at its status page: prints the page's URL and its token.

`python -m tests.browser.status_server PORT`. Alice's question is being answered, word by word; bob wants to be let in.
A line on standard input says something as alice.
"""

import sys
import tempfile
from pathlib import Path
from random import Random
from typing import Any

import trio

from oc_trio.agent.scripted import Pause, Say, ScriptedAgent
from oc_trio.config.document import Document
from oc_trio.config.load import build
from oc_trio.core.ledger import delivered, failed
from oc_trio.ids import AccountId, ChannelId, SessionKey, TurnId
from oc_trio.runtime.account.dependencies import Dependencies
from oc_trio.runtime.clock import Clock
from oc_trio.runtime.process.gateway import Gateway
from oc_trio.sandbox.demo import Demo, seed
from oc_trio.sandbox.serve import serve
from oc_trio.sandbox.world import World
from oc_trio.store.store import open_store
from oc_trio.store.turns import Turn
from oc_trio.telemetry.log import configure

ANSWER = (
    "A gateway is **light** when it does nothing while nobody asks. This one has a task for each conversation that is "
    "awake, a bounded queue in front of it, and a journal that remembers the rest. <b>Nothing</b> here is markup: what "
    "a model writes is shown as text, whatever it looks like. "
)


def script(request: Any) -> list[Any]:
    """Short answers, but for who asks for a long one."""
    text = request.messages[-1].text
    if "fail" in text:
        return [Pause(0.4), Say("I begin, and "), _broken()]
    if "long" not in text:
        return [Pause(0.2), Say("Yes, gladly. " * 6, delay=0.02)]
    return [Say(ANSWER * 40, delay=0.12)]


def _broken() -> Any:
    from oc_trio.core.turn_events import Failed

    return Failed("The model can't be reached.", "connection refused")


async def main(port: int) -> None:
    world = World(rng=Random(7))
    demo = seed(world)
    with tempfile.TemporaryDirectory() as state:
        async with trio.open_nursery() as nursery:

            async def run(*, task_status: trio.TaskStatus[str]) -> None:
                await serve(world, port=0, task_status=task_status)

            url = await nursery.start(run)
            gateway = _gateway(url, demo, Path(state), port)
            await _remember(gateway, Path(state))
            nursery.start_soon(gateway.run)
            await gateway.ready.wait()
            await _talk(world, demo)
            token = await _token(Path(state) / "admin.sock")
            sys.stdout.write(f"http://127.0.0.1:{port} {token}\n")
            sys.stdout.flush()
            nursery.start_soon(_listen, world, demo)
            await trio.sleep_forever()


async def _listen(world: World, demo: Demo) -> None:
    while line := await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True):
        world.post_as(demo.alice, demo.town_square, line.strip())


async def _talk(world: World, demo: Demo) -> None:
    for text in ("Are you there?", "Is all well?", "Please fail", "And now?"):
        world.post_as(demo.alice, demo.town_square, f"@bot {text}")
        await trio.sleep(0.3)
    root = world.post_as(demo.alice, demo.town_square, "@bot tell us a long story about gateways")
    await trio.sleep(0.5)
    world.post_as(demo.alice, demo.town_square, "@bot and what of queues?", root_id=root.id)
    world.post_as(demo.bob, world.direct(demo.bob, demo.bot), "hello, may I write to you?")
    await trio.sleep(2.0)


async def _remember(gateway: Gateway, state: Path) -> None:
    """The turns of an hour of some other day, for the charts."""
    random, now = Random(3), gateway.dependencies.clock.now_ms()
    async with open_store(state / "journal.sqlite3") as store:
        for number in range(140):
            ended = now - random.randrange(60_000, 3_500_000)
            row = Turn(TurnId(f"t{number}"), AccountId("default"), SessionKey("s"), ChannelId("c"), "")
            outcome = failed("no model") if random.random() < 0.06 else delivered()
            await store.turns.begin(row, [], ended - round(random.lognormvariate(1.6, 0.5) * 1000))
            await store.turns.end(row.id, outcome, ended)
    for at in sorted(now - random.randrange(60_000, 3_500_000) for _ in range(900)):
        gateway.metrics.recent_edits.add(at)


async def _token(socket: Path) -> str:
    from oc_trio.cli.admin_socket import NoAnswerError, ask

    with trio.fail_after(20):
        while True:
            try:
                return str((await trio.to_thread.run_sync(ask, socket, "/page.json"))["token"])
            except NoAnswerError:
                await trio.sleep(0.1)


def _gateway(url: str, demo: Demo, state: Path, port: int) -> Gateway:
    values = {
        "channels": {
            "mattermost": {
                "baseUrl": url,
                "botToken": demo.bot.token,
                "dmPolicy": "pairing",
                "groupPolicy": "open",
                "replyToMode": "all",
                "network": {"dangerouslyAllowPrivateNetwork": True},
            }
        },
        "agents": {"defaults": {"model": {"primary": "double/script"}}},
        "models": {"providers": {"double": {"api": "scripted", "models": ["script"]}}},
        "messages": {"queue": {"mode": "followup"}},
        "gateway": {"admin": {"port": port}, "drainSeconds": 0},
    }
    loaded = build(Document(values), {"HOME": str(state), "STATE_DIRECTORY": str(state)})
    dependencies = Dependencies(
        Clock(random=Random(7)), make_agent=lambda _spec, _http: ScriptedAgent(script, token_delay=0.05)
    )
    return Gateway(loaded, str(state / "journal.sqlite3"), dependencies, has_admin=True)


if __name__ == "__main__":
    configure(level="warning")
    trio.run(main, int(sys.argv[1]))
