"""The gateways of a fleet as processes, started again as a service manager would; and the load balancer before them."""

import json
import os
import random
import signal
import socket
from collections import Counter
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import trio
from attrs import define, field

from tests.e2e.deployment import ROOT
from tests.e2e.fork_server import ForkedProcess, start_program

HEALTH_SECONDS = 1.0
# Exit codes of `oc-trio run` that a service manager answers with another start.
_TEMPORARY = {69, 75}


def free_port() -> int:
    """A port that stays free while its gateway is down: none of those that outgoing connections get."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@define(eq=False)
class GatewayProcess:
    """`oc-trio run`, again and again, with a state directory, ports and a way to the chat server of its own."""

    name: str
    host: str
    config: Path
    state: Path
    port: int = field(factory=free_port)
    admin_port: int = field(factory=free_port)
    pids: list[int] = field(factory=list)
    problems: list[str] = field(factory=list)
    exits: Counter[int] = field(factory=Counter)
    stopping: bool = False
    restart_seconds: float = 1.0
    _process: ForkedProcess | None = None
    _expected: set[int] = field(factory=set)
    _wanted: trio.Event = field(factory=trio.Event)

    @property
    def pid(self) -> int:
        return self._process.pid if self._process is not None and self._process.returncode is None else 0

    @property
    def log(self) -> Path:
        return self.state / "log"

    async def run(self) -> None:
        """Keep it running until `stopping`; after each end it is started again."""
        environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": "/nonexistent", "LANG": "C.UTF-8"}
        self.state.mkdir(parents=True, exist_ok=True)
        command = ("oc_trio", "run", "--config", str(self.config))
        with self.log.open("ab") as log:
            while True:
                environ["XDG_STATE_HOME"] = str(self.state)
                self._process = start_program(*command, env=environ, output=log.fileno())
                self.pids.append(self._process.pid)
                code = await self._wait(self._process)
                self.exits[code] += 1
                if code not in self._expected and code not in _TEMPORARY:
                    self.problems.append(f"{self.name} ended by itself with exit code {code}: {self.last_line()}")
                self._expected.clear()
                if self.stopping:
                    return
                await trio.sleep(self.restart_seconds)

    async def _wait(self, process: ForkedProcess) -> int:
        try:
            return await process.wait()
        finally:
            if process.returncode is None:
                process.kill()

    def kill(self) -> None:
        self._signal(signal.SIGKILL, -signal.SIGKILL)

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def drain(self) -> None:
        self._signal(signal.SIGTERM, 0, -signal.SIGTERM)

    def _signal(self, number: signal.Signals, *codes: int) -> None:
        self._expected.update(codes)
        if self.pid:
            os.kill(self.pid, number)

    def last_line(self) -> str:
        lines = self.log.read_text("utf-8", "replace").splitlines()
        return lines[-1][:300] if lines else ""

    def events(self) -> list[dict[str, Any]]:
        """The lines of its log."""
        lines = self.log.read_text("utf-8", "replace").splitlines() if self.log.exists() else []
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def rss_mib(self) -> float:
        try:
            pages = Path(f"/proc/{self.pid}/statm").read_text().split()[1]
        except OSError:
            return 0.0
        return int(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20

    def cpu_wait_seconds(self) -> float:
        """How long its threads were ready to run, and had no processor."""
        try:
            stats = [path.read_text().split() for path in Path(f"/proc/{self.pid}/task").glob("*/schedstat")]
        except OSError:
            return 0.0
        return sum(int(stat[1]) for stat in stats) / 1e9

    def cpu_seconds(self) -> float:
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@define(eq=False)
class LoadBalancer:
    """Hands each connection to the next gateway whose /readyz answers 200, as HAProxy would: it looks every second."""

    gateways: list[GatewayProcess]
    port: int = 0
    ready: dict[str, bool] = field(factory=dict)
    handed: Counter[str] = field(factory=Counter)
    _turn: "count[int]" = field(factory=count)

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        (listener,) = await trio.open_tcp_listeners(self.port, host="127.0.0.1")
        self.port = listener.socket.getsockname()[1]
        task_status.started()
        await trio.serve_listeners(self._serve, [listener])

    async def watch(self, gateway: GatewayProcess) -> None:
        """Look whether the gateway is ready, every second."""
        async with httpx.AsyncClient(timeout=HEALTH_SECONDS, trust_env=False) as http:
            while True:
                try:
                    response = await http.get(f"http://127.0.0.1:{gateway.admin_port}/readyz")
                    self.ready[gateway.name] = response.status_code == 200
                except httpx.HTTPError:
                    self.ready[gateway.name] = False
                await trio.sleep(HEALTH_SECONDS)

    async def _serve(self, client: trio.SocketStream) -> None:
        first = next(self._turn)
        ring = [self.gateways[(first + step) % len(self.gateways)] for step in range(len(self.gateways))]
        for gateway in ring:
            if not self.ready.get(gateway.name):
                continue
            try:
                server = await trio.open_tcp_stream("127.0.0.1", gateway.port)
            except OSError:
                continue
            self.handed[gateway.name] += 1
            with trio.CancelScope() as scope:
                try:
                    async with client, server, trio.open_nursery() as nursery:
                        nursery.start_soon(_forward, client, server, scope)
                        nursery.start_soon(_forward, server, client, scope)
                except* (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
                    pass
            return


async def _forward(source: trio.SocketStream, target: trio.SocketStream, scope: trio.CancelScope) -> None:
    async for chunk in source:
        await target.send_all(chunk)
    scope.cancel()
