"""An hour of a busy company's traffic, as fast as it goes: does anything of the process grow?

    python scripts/bench/hour.py [--rounds N] [--warm-up N] [--json]

A round is what comes in fifteen seconds: a direct message, a question in a channel and one in its thread, an edit that
adds a mention, a slash command, a command as text, a deletion, and twenty posts that are not for the bot; every twelfth
round a click, every tenth the connection is cut. 240 rounds are the hour. After every twelfth, once all is answered,
the process is looked at: resident memory, Trio's tasks, threads, open files and sockets. Before them go 240 rounds for
warming up, after which memory has come to its level. Before and after the hour it is looked at when it has been quiet
for so long that unused connections are closed: `growth` is what is more at the end. `rss_slope_mib_per_hour` is a line
through the looks; what is counted is that of the hour alone.
Conversations leave memory after a second instead of fifteen minutes, as time is compressed.
"""

import argparse
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from attrs import define, field

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.bench.chat_process import ChatProcess, chat_process, model_process
from scripts.bench.people import Person, person
from scripts.bench.processes import (
    HERE,
    Gateway,
    cpu_seconds,
    open_files,
    peak_rss_mib,
    progress,
    report,
    rss_mib,
    starting_gateway,
)

ROUNDS = 240
WARM_UP = 240
LOOK_EVERY, DROP_EVERY, CLICK_EVERY = 12, 10, 12
QUIET_SECONDS = 2.5  # before a look: longer than a conversation stays in memory here
# Before the two looks that are compared: an unused connection is kept for a minute, and then until the next request,
# that of a heartbeat as a rule.
SETTLED_SECONDS = 130.0
ANSWER_SECONDS = 60.0
BUTTONS = '[[{"text": "Yes", "callback_data": "yes"}]]'
CHANNEL = """
commands.native = true
dmPolicy = "open"
allowFrom = ["*"]
"""
TABLES = """
[gateway]
port = {port}

[session]
idleSeconds = 1
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@define(eq=False)
class Traffic:
    """What alice and the others do; `expected` is how many answers have to be whole by now."""

    alice: Person
    server: ChatProcess
    direct: str
    team: str
    running: Gateway
    expected: int = 0
    drops: int = 0
    clicks: int = 0
    commands: int = 0
    unanswered: list[int] = field(factory=list)

    def round(self, number: int) -> None:
        alice, mention = self.alice, f"@{self.server.bot_name}"
        channel = self.server.channels[number % len(self.server.channels)]
        alice.say(self.direct, f"direct question {number}")
        root = alice.say(channel, f"{mention} question {number}")
        edited, removed = alice.say(channel, f"question {number}?"), alice.say(channel, "never mind")
        self.server.order(do="post", posts=20, questions=0)
        alice.call("PUT", f"/posts/{edited}/patch", {"message": f"{mention} question {number}, please"})
        alice.call("DELETE", f"/posts/{removed}")
        command = {"channel_id": channel, "team_id": self.team, "command": "/oc_status"}
        if not alice.wait(lambda: alice.succeeds("POST", "/commands/execute", command), ANSWER_SECONDS):
            raise SystemExit("a slash command is refused")
        alice.say(channel, f"{mention} !help")
        self.commands += 2
        self.expected += 3
        if number % CLICK_EVERY == 0:
            post, button = make_button(self.running, alice, channel)
            alice.call("POST", f"/posts/{post}/actions/{button}", {})
            self.clicks += 1
            self.expected += 1
        self.wait(number)
        alice.say(channel, "and in the thread?", root=root)
        self.expected += 1
        if number % DROP_EVERY == DROP_EVERY - 1:
            self.server.order(do="drop")
            self.drops += 1
        self.wait(number)

    def counts(self) -> dict[str, float]:
        """What there has been since the start, and the CPU that it took."""
        return {
            "answers": len(self.alice.answers.whole_posts),
            "unanswered": len(self.unanswered),
            "commands": self.commands,
            "clicks": self.clicks,
            "reconnects": self.running.connects() - 1,
            "drops": self.drops,
            "cpu_s": cpu_seconds(self.running.pid),
        }

    def wait(self, number: int) -> None:
        if not self.alice.wait(lambda: len(self.alice.answers.whole_posts) >= self.expected, ANSWER_SECONDS):
            self.unanswered.append(number)
            self.expected = len(self.alice.answers.whole_posts)


def look(running: Gateway, tasks: Path, quiet_seconds: float) -> dict[str, float]:
    """The process as it is after a pause."""
    time.sleep(quiet_seconds)
    pid = running.pid
    return {
        "rss_mib": round(rss_mib(pid), 2),
        "tasks": int(tasks.read_text()),
        "threads": len(list(Path(f"/proc/{pid}/task").iterdir())),
        **open_files(pid),
    }


def make_button(running: Gateway, alice: Person, channel: str) -> tuple[str, str]:
    """A post of the bot with a button: its id, and the button's."""
    command = [sys.executable, "-m", "oc_trio", "message", "send", "--target", f"channel:{channel}"]
    command += ["--message", "Yes?", "--buttons", BUTTONS, "--config", str(running.config)]
    environ = dict(item.split("=", 1) for item in Path(f"/proc/{running.pid}/environ").read_text().split("\0") if item)
    sent = subprocess.run(command, capture_output=True, text=True, env=environ, check=False)
    if sent.returncode:
        raise SystemExit(f"no post with a button: {sent.stderr or sent.stdout}")
    page = alice.call("GET", f"/channels/{channel}/posts?per_page=10")
    for post in page["posts"].values():
        for attachment in post["props"].get("attachments") or ():
            for action in attachment.get("actions") or ():
                return post["id"], action["id"]
    raise SystemExit("the post with a button is not there")


def slope_per_hour(looks: list[dict[str, float]], rounds: int) -> float:
    """MiB per hour of traffic by a straight line through the looks."""
    values = [each["rss_mib"] for each in looks]
    if len(values) < 3:
        return 0.0
    line = statistics.linear_regression(range(len(values)), values)
    return round(line.slope * ROUNDS / min(rounds, LOOK_EVERY), 2)


def measure(
    rounds: int = ROUNDS,
    *,
    warm_up: int = WARM_UP,
    quiet_seconds: float = QUIET_SECONDS,
    settled_seconds: float = SETTLED_SECONDS,
) -> dict[str, Any]:
    with (
        tempfile.TemporaryDirectory() as folder,
        chat_process(channels=20, users=20) as server,
        model_process(tokens=10, delay_ms=2) as model,
        person(server) as alice,
    ):
        tasks, tables = Path(folder) / "tasks", TABLES.format(port=free_port())
        with starting_gateway(
            server.url,
            model,
            server.bot_token,
            extra=CHANNEL,
            tables=tables,
            program=(str(HERE / "counted_run.py"),),
            env={"COUNT_FILE": str(tasks)},
        ) as running:
            running.wait_connected()
            me = alice.call("GET", "/users/me")["id"]
            direct = alice.call("POST", "/channels/direct", [me, server.bot_id])["id"]
            team = alice.call("GET", "/teams/name/demo")["id"]
            traffic = Traffic(alice, server, direct, team, running)
            looks: list[dict[str, float]] = []
            settled: list[dict[str, float]] = []
            began, before = time.monotonic(), traffic.counts()
            for number in range(warm_up + rounds):
                traffic.round(number)
                if number % LOOK_EVERY == LOOK_EVERY - 1 or number == warm_up + rounds - 1:
                    looks.append(look(running, tasks, quiet_seconds))
                    progress(f"round {number + 1} of {warm_up + rounds}: {json.dumps(looks[-1])}")
                if number in (warm_up - 1, warm_up + rounds - 1):
                    looks = looks if settled else looks[-1:]
                    settled.append(look(running, tasks, settled_seconds))
                    progress(f"settled: {json.dumps(settled[-1])}")
                if number == warm_up - 1:
                    began, before = time.monotonic(), traffic.counts()
            return {
                "rounds": rounds,
                **{name: round(count - before[name], 1) for name, count in traffic.counts().items()},
                "seconds": round(time.monotonic() - began, 1),
                "peak_rss_mib": round(peak_rss_mib(running.pid), 1),
                "growth": {name: round(settled[-1][name] - settled[0][name], 2) for name in settled[0]},
                "rss_slope_mib_per_hour": slope_per_hour(looks, rounds),
                "looks": looks,
            }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--warm-up", type=int, default=WARM_UP, help="rounds before the hour")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    report("hour", measure(given.rounds, warm_up=given.warm_up), as_json=given.json)
