"""What the benchmarks share: processes with their meters, a gateway's configuration, figures, progress on stderr.

All meters are read from /proc, so the benchmarks run on Linux.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import frozen

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TICKS = os.sysconf("SC_CLK_TCK")
PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / 1024 / 1024
START_SECONDS = 60.0
_DEVELOPMENT = ("colorama", "pygments", "rich")

CONFIG = """
[channels.mattermost]
baseUrl = "{base}"
groupPolicy = "open"
replyToMode = "all"
network.dangerouslyAllowPrivateNetwork = true
{extra}

[models.providers.bench]
api = "openai-completions"
baseUrl = "{model}"
apiKey = "none"
models = ["words"]

[agents.defaults.model]
primary = "bench/words"

"""


def _without_development() -> Path:
    """A folder that hides what only development installs, as httpx and structlog load it where it is there: an
    operator's start is measured, not a developer's.
    """
    folder = Path(tempfile.gettempdir()) / "oc_trio_bench_hidden"
    folder.mkdir(exist_ok=True)
    for name in _DEVELOPMENT:
        (folder / f"{name}.py").write_text(f'raise ModuleNotFoundError("not of an installation", name="{name}")\n')
    return folder


@contextmanager
def process(
    *command: str, env: dict[str, str] | None = None, stderr: Any = None, stdin: Any = None
) -> Iterator[subprocess.Popen[str]]:
    """A Python process of this clone; SIGTERM ends it, after 15 s a kill."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    inherited["PYTHONPATH"] = os.pathsep.join(
        filter(None, (str(_without_development()), str(ROOT), os.environ.get("PYTHONPATH")))
    )
    # An installed gateway has its bytecode; without it a start takes twice as long.
    inherited["PYTHONPYCACHEPREFIX"] = str(Path(tempfile.gettempdir()) / "oc_trio_bench_bytecode")
    with subprocess.Popen(
        [sys.executable, *command],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        env={**inherited, **(env or {})},
    ) as child:
        try:
            yield child
        finally:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(15)
            except subprocess.TimeoutExpired:
                child.kill()


@frozen
class Gateway:
    """A gateway's process; `began` is when it was started, on the monotonic clock."""

    process: "subprocess.Popen[str]"
    config: Path
    log: Path
    state: Path
    began: float

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def journal(self) -> Path:
        """The database file, to be opened for reading only."""
        return next(self.state.rglob("journal.sqlite3"))

    def connects(self) -> int:
        """How often it has connected so far: 1 unless a connection was lost."""
        return self.log.read_text().count("connected as @")

    def wait_connected(self) -> float:
        """Wait until it says that it is connected; the seconds since its start. SystemExit where it never does."""
        while not self.connects():
            if self.process.poll() is not None or time.monotonic() - self.began > START_SECONDS:
                raise SystemExit(f"the gateway did not start:\n{self.log.read_text()[-5000:]}")
            time.sleep(0.005)
        return time.monotonic() - self.began


@contextmanager
def starting_gateway(
    base: str,
    model: str,
    bot_token: str,
    *,
    extra: str = "",
    tables: str = "",
    state: Path | None = None,
    program: tuple[str, ...] = ("-m", "oc_trio"),
    env: dict[str, str] | None = None,
) -> Iterator[Gateway]:
    """`oc-trio run`, as soon as its process is there. `state` keeps its journal for a second start.

    `extra` are lines of the channel's table, `tables` whole tables.
    """
    with tempfile.TemporaryDirectory() as made:
        directory = state or Path(made)
        config, log = Path(made) / "oc-trio.toml", Path(made) / "log"
        config.write_text(CONFIG.format(base=base, model=model, extra=extra) + tables)
        more = {"MATTERMOST_BOT_TOKEN": bot_token, "XDG_STATE_HOME": str(directory), **(env or {})}
        began = time.monotonic()
        command = (*program, "run", "--config", str(config))
        with log.open("w+") as out, process(*command, env=more, stderr=out) as child:
            yield Gateway(child, config, log, directory, began)


@contextmanager
def gateway(base: str, model: str, bot_token: str, **more: Any) -> Iterator[tuple[Gateway, float]]:
    """As `starting_gateway`, once it says that it is connected, with the seconds that this took."""
    with starting_gateway(base, model, bot_token, **more) as running:
        yield running, running.wait_connected()


def cpu_seconds(pid: int) -> float:
    """CPU time of a process with its threads so far."""
    return _cpu_of(Path(f"/proc/{pid}/stat").read_text())


def journal_seconds(pid: int) -> float:
    """The CPU of the gateway's journal thread, which goes by its name."""
    stats = [(task / "stat").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    return sum(_cpu_of(stat) for stat in stats if "(oc-trio-journal)" in stat)


def _cpu_of(stat: str) -> float:
    fields = stat.rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def peak_rss_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def rss_mib(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_MIB


def open_files(pid: int) -> dict[str, int]:
    """How many descriptors a process has open: `files` are all but its sockets."""
    links = [os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir() if each.is_symlink()]
    sockets = sum(link.startswith("socket:") for link in links)
    return {"files": len(links) - sockets, "sockets": sockets}


def wait_for(stream: Any, matches: Callable[[str], bool], what: str, log: list[str]) -> None:
    """Read lines into `log` until one matches; SystemExit where the stream ends before."""
    for line in stream:
        log.append(line)
        if matches(line):
            return
    raise SystemExit(f"{what} ended before it was ready:\n{''.join(log[-20:])}")


def spread(values: list[float]) -> dict[str, float]:
    """Median and 95th percentile; zeros for none."""
    if not values:
        return {"p50": 0.0, "p95": 0.0}
    ordered = sorted(values)
    return {"p50": round(statistics.median(ordered), 3), "p95": round(ordered[int(0.95 * (len(ordered) - 1))], 3)}


def progress(text: str) -> None:
    """Say on stderr what is going on; stdout is for results."""
    print(f"  {text}", file=sys.stderr, flush=True)


def report(name: str, result: dict[str, Any], *, as_json: bool) -> None:
    """Print a result: one line of JSON, or a line per figure for people."""
    if as_json:
        print(json.dumps({"bench": name, **result}), flush=True)
        return
    print(name)
    for key, value in _flat(result):
        print(f"  {key:<40} {value}")


def _flat(result: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in result.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
