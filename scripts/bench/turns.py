"""Many mentions at once: how soon and how cheaply they are answered, beside a bare script that does the same.

One JSON line comes out. `first_text_s` and `final_s` run from the moment of posting to what a reader's websocket saw;
`cpu_ms_per_turn` and `peak_rss_mib` are the gateway process's own, `journal_share` is the part of that CPU which its
journal's thread took. `floor` holds the same figures for
scripts/bench/floor.py, run just before on the same sandbox and model server. Each of the four is its own process.

With `--live N` it measures many long answers at once instead: how long after the model's first token a reader sees any
text (`first_after_token_s`), the edits per second while all N drafts are live, how long after the model's end a reader
has the whole answer (`final_after_end_s`), and how much of a core that takes (`cores`).
"""

import argparse
import json
import math
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import trio

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from oc_trio.core.draft_view import StreamMode
from scripts.bench.processes import HERE, cpu_seconds, journal_seconds, peak_rss_mib, process, spread, wait_for
from scripts.bench.processes import gateway as started_gateway
from scripts.bench.user_socket import open_user_socket

PASSWORD = "Passw0rd!x"
LIVE_CHANNELS = 20


class Reader:
    """A user's websocket: when each thread got its first text and its whole answer."""

    def __init__(self, bot_id: str, last_word: str, threads: int) -> None:
        self.bot_id, self.last_word, self.threads = bot_id, last_word, threads
        self.finished = trio.Event()
        self.first: dict[str, float] = {}
        self.final: dict[str, float] = {}
        self.edits = 0

    async def read(self, base: str, token: str, task_status: trio.TaskStatus[None]) -> None:
        async with open_user_socket(base, token) as socket:
            while True:
                frame = json.loads(await socket.get_message())
                if frame.get("event") == "hello":
                    task_status.started()
                if frame.get("event") not in ("posted", "post_edited"):
                    continue
                post = json.loads(frame["data"]["post"])
                if post["user_id"] != self.bot_id or not post["root_id"]:
                    continue
                self.edits += frame["event"] == "post_edited"
                words = post["message"].split()
                if any(word.startswith("word") for word in words):
                    self.first.setdefault(post["root_id"], time.monotonic())
                if self.last_word in words:
                    self.final[post["root_id"]] = time.monotonic()
                    if len(self.final) == self.threads:
                        self.finished.set()


async def burst(base: str, world: dict[str, Any], args: argparse.Namespace, pid: int) -> dict[str, Any]:
    """Post the mentions, wait for the answers, and read the process's meters."""
    posted: dict[str, float] = {}
    reader = Reader(world["bot_id"], f"word{args.tokens}", args.threads)
    async with (
        httpx.AsyncClient(base_url=base, headers={"Authorization": f"Bearer {world['token']}"}, timeout=60) as api,
        trio.open_nursery() as nursery,
    ):
        await nursery.start(reader.read, base, world["token"])
        await trio.sleep(0.5)
        calls_before = await bot_calls(api, world)
        cpu_before, journal_before, began = cpu_seconds(pid), journal_seconds(pid), time.monotonic()

        async def ask(number: int) -> None:
            at = time.monotonic()
            message = f"@{world['bot_name']} question {number}"
            answer = await api.post("/api/v4/posts", json={"channel_id": world["channel_id"], "message": message})
            posted[answer.raise_for_status().json()["id"]] = at

        async with trio.open_nursery() as askers:
            for number in range(args.threads):
                askers.start_soon(ask, number)
        with trio.move_on_after(args.patience):
            await reader.finished.wait()
        await trio.sleep(1.0)  # trailing calls (typing, receipts) belong to the turns too
        cpu, journal = cpu_seconds(pid) - cpu_before, journal_seconds(pid) - journal_before
        calls = await bot_calls(api, world) - calls_before
        nursery.cancel_scope.cancel()
    return {
        "answered": len(reader.final),
        "first_text_s": spread([reader.first[root] - at for root, at in posted.items() if root in reader.first]),
        "final_s": spread([reader.final[root] - at for root, at in posted.items() if root in reader.final]),
        "cpu_ms_per_turn": round(cpu * 1000 / args.threads, 1),
        "journal_share": round(journal / cpu, 3) if cpu else 0.0,
        "peak_rss_mib": round(peak_rss_mib(pid), 1),
        "calls_per_turn": round(calls / args.threads, 1),
        "edits": reader.edits,
        "wall_s": round(max(reader.final.values(), default=began) - began, 2),
    }


class LiveReader:
    """A user's websocket during long answers: when edits came, and when each answer was whole."""

    def __init__(self, bot_id: str, threads: int) -> None:
        self.bot_id, self.threads = bot_id, threads
        self.finished = trio.Event()
        self.begun: dict[str, float] = {}
        self.waited: dict[str, float] = {}
        self.late: dict[str, float] = {}
        self.ended_at = math.inf
        self.edits: list[float] = []

    def take(self, event: str, post: dict[str, Any]) -> None:
        """Count one event of a post by the bot in a thread."""
        now = time.monotonic()
        self.begun.setdefault(post["root_id"], now)
        if event == "post_edited":
            self.edits.append(now)
        first = post["message"].partition(" ")[0]
        if first.startswith("first@"):
            self.waited.setdefault(post["root_id"], now - float(first.removeprefix("first@")))
        last = post["message"].rsplit(" ", 1)[-1]
        if last.startswith("end@") and post["root_id"] not in self.late:
            stamp = float(last.removeprefix("end@"))
            self.late[post["root_id"]] = now - stamp
            self.ended_at = min(self.ended_at, stamp)
            if len(self.late) == self.threads:
                self.finished.set()

    def plateau(self) -> tuple[float, int]:
        """Seconds in which every draft was live, and the edits in them."""
        first = max(self.begun.values(), default=0.0)
        if len(self.begun) < self.threads or self.ended_at <= first:
            return 0.0, 0
        return self.ended_at - first, sum(first < at < self.ended_at for at in self.edits)

    async def read(self, base: str, token: str, task_status: trio.TaskStatus[None]) -> None:
        async with open_user_socket(base, token) as socket:
            while True:
                frame = json.loads(await socket.get_message())
                if frame.get("event") == "hello":
                    task_status.started()
                if frame.get("event") not in ("posted", "post_edited"):
                    continue
                post = json.loads(frame["data"]["post"])
                if post["user_id"] == self.bot_id and post["root_id"]:
                    self.take(frame["event"], post)


async def live(base: str, world: dict[str, Any], args: argparse.Namespace, pid: int) -> dict[str, Any]:
    """Begin N long answers within `--ramp` seconds, and watch them until all are whole."""
    reader = LiveReader(world["bot_id"], args.live)
    async with (
        httpx.AsyncClient(base_url=base, headers={"Authorization": f"Bearer {world['token']}"}, timeout=60) as api,
        trio.open_nursery() as nursery,
    ):
        await nursery.start(reader.read, base, world["token"])
        calls_before, cpu_before, began = await bot_calls(api, world), cpu_seconds(pid), time.monotonic()
        for number in range(args.live):
            message = f"@{world['bot_name']} question {number}"
            answer = await api.post(
                "/api/v4/posts", json={"channel_id": world["channels"][number % LIVE_CHANNELS], "message": message}
            )
            answer.raise_for_status()
            await trio.sleep(args.ramp / args.live)
        with trio.move_on_after(args.patience):
            await reader.finished.wait()
        await trio.sleep(1.0)
        cpu, calls = cpu_seconds(pid) - cpu_before, await bot_calls(api, world) - calls_before
        wall = time.monotonic() - began
        nursery.cancel_scope.cancel()
    seconds, edits = reader.plateau()
    return {
        "answered": len(reader.late),
        "plateau_s": round(seconds, 1),
        "edits_per_s": round(edits / seconds, 1) if seconds else 0.0,
        "edits_per_turn": round(len(reader.edits) / args.live, 1),
        "first_after_token_s": {
            **spread(list(reader.waited.values())),
            "max": round(max(reader.waited.values(), default=0.0), 3),
        },
        "final_after_end_s": spread(list(reader.late.values())),
        "cores": round(cpu / wall, 2),
        "cpu_ms_per_turn": round(cpu * 1000 / args.live, 1),
        "calls_per_turn": round(calls / args.live, 1),
        "peak_rss_mib": round(peak_rss_mib(pid), 1),
    }


async def bot_calls(api: httpx.AsyncClient, world: dict[str, Any]) -> int:
    """REST calls that the bot has made so far, as the sandbox counted them."""
    answer = (await api.get("/sandbox/stats")).raise_for_status().json()
    return int(answer["calls"].get(world["bot_name"], 0))


def prepare(base: str) -> dict[str, Any]:
    """Log alice in, and find the bot and the channel of the sandbox's demo world."""
    with httpx.Client(base_url=base) as http:
        login = http.post("/api/v4/users/login", json={"login_id": "alice", "password": PASSWORD}).raise_for_status()
        http.headers["Authorization"] = f"Bearer {login.headers['Token']}"
        channel = http.get("/api/v4/teams/name/demo/channels/name/town-square").raise_for_status().json()
        return {"token": login.headers["Token"], "channel_id": channel["id"], "team_id": channel["team_id"]}


def add_channels(base: str, world: dict[str, Any], count: int) -> list[str]:
    """More channels of alice and the bot: so many answers in one are more than its catch-up reads, if it is needed."""
    ids = []
    with httpx.Client(base_url=f"{base}/api/v4", headers={"Authorization": f"Bearer {world['token']}"}) as http:
        for number in range(count):
            body = {"team_id": world["team_id"], "name": f"live-{number}", "display_name": "Live", "type": "O"}
            ids.append(http.post("/channels", json=body).raise_for_status().json()["id"])
            http.post(f"/channels/{ids[-1]}/members", json={"user_id": world["bot_id"]}).raise_for_status()
    return ids


def run_floor(base: str, model: str, world: dict[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    began = time.monotonic()
    command = (str(HERE / "floor.py"), "--base-url", base, "--model-url", model, "--token", world["bot_token"])
    with process(*command, stderr=subprocess.PIPE) as child:
        wait_for(child.stderr, lambda line: "connected" in line, "the floor", [])
        start_s = time.monotonic() - began
        return {**trio.run(burst, base, world, args, child.pid), "start_s": round(start_s, 2)}


def run_gateway(base: str, model: str, world: dict[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    extra = f'streaming.mode = "{args.mode}"' if args.mode else ""
    with started_gateway(base, model, world["bot_token"], extra=extra) as (running, start_s):
        measured = trio.run(live if args.live else burst, base, world, args, running.pid)
        if args.verbose:
            sys.stderr.write(running.log.read_text())
        return {**measured, "start_s": round(start_s, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=50)
    parser.add_argument("--tokens", type=int, default=50)
    parser.add_argument("--delay-ms", type=float, default=20)
    parser.add_argument("--mode", choices=[mode.value for mode in StreamMode], default="")
    parser.add_argument("--live", type=int, default=0, help="this many long answers at once instead")
    parser.add_argument("--seconds", type=float, default=40.0, help="with --live: how long each answer takes")
    parser.add_argument("--rate", type=float, default=30.0, help="with --live: tokens per second of each answer")
    parser.add_argument("--ramp", type=float, default=10.0, help="with --live: seconds in which they begin")
    parser.add_argument("--patience", type=float, default=120, help="seconds to wait for the last answer")
    parser.add_argument("--verbose", action="store_true", help="the gateway's log on stderr")
    args = parser.parse_args()
    sandbox = process("-m", "oc_trio", "sandbox", "--port", "0", "--json")
    model_command: tuple[str, ...] = (
        "-m",
        "oc_trio.sandbox.model_server",
        "--tokens",
        str(args.tokens),
        "--delay-ms",
        str(args.delay_ms),
    )
    if args.live:
        words = ("--tokens", str(int(args.seconds * args.rate)), "--rate", str(args.rate))
        model_command = (str(HERE / "live_model.py"), *words)
    with sandbox as server, process(*model_command) as model:
        assert server.stdout is not None
        assert model.stdout is not None
        started = json.loads(server.stdout.readline())
        base, model_url = started["url"], model.stdout.readline().strip()
        world = {**prepare(base), "bot_token": started["bot_token"], "bot_id": started["bot_id"]}
        world["bot_name"] = started["bot_username"]
        if args.live:
            world["channels"] = add_channels(base, world, LIVE_CHANNELS)
            print(json.dumps({"live": args.live, **run_gateway(base, model_url, world, args)}))
            return
        floor = run_floor(base, model_url, world, args)
        gateway = run_gateway(base, model_url, world, args)
    print(json.dumps({"threads": args.threads, **gateway, "floor": floor}))


if __name__ == "__main__":
    main()
