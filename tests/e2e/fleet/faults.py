"""What goes wrong in a fleet, at random moments that a seed decides."""

import random
from collections.abc import Callable

import trio
from attrs import define, field, frozen

from oc_trio.sandbox.clock import wall_clock
from tests.e2e.fleet.database import DatabaseProxy, FleetDatabase
from tests.e2e.fleet.gateways import GatewayProcess

# Longer than a lease, so that a process wakes up after another one has taken over.
PAUSE_SECONDS = (9.0, 14.0)
AWAY_SECONDS = (2.0, 14.0)
RESTART_SECONDS = (0.5, 6.0)
WEIGHTS = {"kill": 4, "pause": 3, "drain": 3, "cut": 2, "silence": 3, "database": 1}
# Faults after which a turn of that gateway begins anew, and counts as a try.
CRASHES = {"kill", "pause", "cut", "silence"}


@frozen
class Fault:
    """`seconds` is how long it lasts; a kill and a drain are followed by a start."""

    kind: str
    gateway: str
    at: int
    seconds: float
    pid: int = 0


@define(eq=False)
class FaultMaker:
    """Makes one fault after the other; two may overlap only if the first one lasts."""

    gateways: list[GatewayProcess]
    proxies: dict[str, DatabaseProxy]
    database: FleetDatabase
    rng: random.Random
    pause: tuple[float, float]
    weights: dict[str, int]
    progress: Callable[[str], None]
    faults: list[Fault] = field(factory=list)
    _busy: set[str] = field(factory=set)

    async def run(self, seconds: float) -> None:
        """Make faults for so long, and wait until all of them are over."""
        async with trio.open_nursery() as nursery:
            until = trio.current_time() + seconds
            while True:
                with trio.move_on_at(until):
                    await trio.sleep(self.rng.uniform(*self.pause))
                if trio.current_time() >= until:
                    break
                (kind,) = self.rng.choices(list(self.weights), list(self.weights.values()))
                idle = [gateway for gateway in self.gateways if gateway.name not in self._busy and gateway.pid]
                if kind == "database" and "database" not in self._busy:
                    self._begin(nursery, kind, "database", 0, self.rng.uniform(*RESTART_SECONDS))
                # With more than one gateway one of them gets no fault, so that somebody can take over.
                elif idle and (len(idle) > 1 or len(self.gateways) == 1):
                    gateway = self.rng.choice(idle)
                    spread = PAUSE_SECONDS if kind == "pause" else AWAY_SECONDS
                    self._begin(nursery, kind, gateway.name, gateway.pid, self.rng.uniform(*spread))

    def _begin(self, nursery: trio.Nursery, kind: str, name: str, pid: int, seconds: float) -> None:
        self._busy.add(name)
        fault = Fault(kind, name, wall_clock(), seconds, pid)
        self.faults.append(fault)
        self.progress(f"{kind} {name}" + (f" for {seconds:.1f} s" if kind not in {"kill", "drain"} else ""))
        nursery.start_soon(self._make, fault)

    async def _make(self, fault: Fault) -> None:
        try:
            await self._carry_out(fault)
        finally:
            self._busy.discard(fault.gateway)

    async def _carry_out(self, fault: Fault) -> None:
        if fault.kind == "database":
            await self.database.restart(fault.seconds)
            return
        gateway = next(each for each in self.gateways if each.name == fault.gateway)
        proxy = self.proxies[fault.gateway]
        begin, end = {
            "kill": (gateway.kill, None),
            "drain": (gateway.drain, None),
            "pause": (gateway.pause, gateway.go_on),
            "cut": (proxy.cut, proxy.mend),
            "silence": (proxy.silence, proxy.mend),
        }[fault.kind]
        begin()
        if end is None:
            # Until it is there again; the next fault may come from then on.
            with trio.move_on_after(20):
                while gateway.pid in {0, fault.pid}:  # noqa: ASYNC110 - a process tells nobody
                    await trio.sleep(0.1)
            await trio.sleep(2.0)
            return
        await trio.sleep(fault.seconds)
        end()
        await trio.sleep(1.0)
