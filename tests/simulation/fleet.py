"""Several gateways on one journal, each with faults of its own; one `GatewayProcess` to the rest of a run."""

import math
from collections.abc import Iterator

import trio
from attrs import define, field

from oc_trio.ids import AccountId
from tests.simulation.callback_transport import CallbackTransport
from tests.simulation.files import FileServer
from tests.simulation.fleet_watch import FleetWatch, Member
from tests.simulation.gateway_process import ACCOUNTS, FleetPart, GatewayProcess, Parts
from tests.simulation.intents import ALL, Plan
from tests.simulation.journals import Rows, SharedJournal
from tests.simulation.model import Model
from tests.simulation.network import Network
from tests.simulation.pauses import Pauses
from tests.simulation.transcript import RunTranscript

_NOTICE_SECONDS = 0.003


@define(eq=False)
class Fleet:
    """`processes` share `journal`; whatever is asked of the gateway is asked of them all. `watch` sees what they do."""

    network: Network
    processes: list[GatewayProcess]
    journal: SharedJournal
    file_server: FileServer
    was_live: trio.Event
    watch: FleetWatch = field(init=False)
    _ready_since: dict[str, float] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self.watch = FleetWatch(self.journal, {}, self._members)

    @classmethod
    def of_plan(
        cls,
        network: Network,
        model: Model,
        plan: Plan,
        seed: int,
        transcript: RunTranscript,
        parts: Parts,
        callbacks: CallbackTransport,
        file_server: FileServer,
        second: Model | None = None,
    ) -> "Fleet":
        journal, pauses = SharedJournal(), Pauses()
        fleet = cls(network, [], journal, file_server, trio.Event())
        for letter, (offset_ms, drift) in zip("abc", plan.clocks):
            part = FleetPart(letter, pauses, fleet.watch, lambda: fleet.is_live, fleet.notify, offset_ms, drift)
            process = GatewayProcess(
                *(network, model, plan, seed, transcript, parts, callbacks, file_server, second, journal, part),
                was_live=fleet.was_live,
            )
            fleet.processes.append(process)
        fleet.watch.accounts = {
            name: ACCOUNTS[name] for name in (("helper",) if second is None else ("helper", "second"))
        }
        return fleet

    def of(self, number: int) -> GatewayProcess:
        """The process that an intent is about."""
        return self.processes[number % len(self.processes)]

    def each(self, number: int) -> list[GatewayProcess]:
        """The processes that an intent is about."""
        return self.processes if number == ALL else [self.of(number)]

    async def serve(self, nursery: trio.Nursery) -> None:
        """Keep all of them running until `close`."""
        await self.journal.make()
        async with trio.open_nursery() as watching:
            watching.start_soon(self.watch.run)
            async with trio.open_nursery() as processes:
                for process in self.processes:
                    processes.start_soon(process.serve, nursery)
            watching.cancel_scope.cancel()

    def close(self) -> None:
        self.watch.look_at_spread()
        for process in self.processes:
            process.close()

    def notify(self, topic: str) -> None:
        """The database tells all who listen, a moment later."""
        self.network.nursery.start_soon(self._notify, topic)

    async def _notify(self, topic: str) -> None:
        await trio.sleep(_NOTICE_SECONDS)
        for process in self.processes:
            process.hear(topic)

    @property
    def is_live(self) -> bool:
        """Whether each account is live in one of them, and none is paused."""
        if any(process.power is not None and process.power.resumed is not None for process in self.processes):
            return False
        return all(
            any(_serves(process, account) for process in self.processes) for account in self.watch.accounts.values()
        )

    @property
    def incarnations(self) -> int:
        """Of an account: whoever takes it over begins as after a crash."""
        return sum(process.incarnations for process in self.processes) + self.watch.takeovers

    @property
    def live_since(self) -> float:
        return max(self.watch.moved_at, *(process.live_since for process in self.processes))

    @property
    def failures(self) -> list[str]:
        return [*self.watch.problems, *(failure for process in self.processes for failure in process.failures)]

    def rows(self, sql: str, *values: object) -> Rows:
        """A look into the journal from outside."""
        return self.journal.rows(sql, *values)

    def _members(self) -> Iterator[Member]:
        """Those that live, as the watch wants to know them."""
        for process in self.processes:
            name, now = process.holder_id, trio.current_time()
            # A start asks Mattermost first whose the tokens are, for a few seconds.
            is_serving = process.gateway is not None and process.gateway.health.phase == "serving"
            if not process.is_well or not is_serving or now < process.disk.until:
                self._ready_since[name] = math.inf
            elif self._ready_since.get(name, math.inf) == math.inf:
                self._ready_since[name] = now
            yield Member(name, process.is_well, self._ready_since[name])


def _serves(process: GatewayProcess, account: AccountId) -> bool:
    power, gateway = process.power, process.gateway
    if gateway is None or power is None or power.is_off or power.resumed is not None:
        return False
    return gateway.health.account(account).is_live
