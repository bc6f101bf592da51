"""Several gateways on one journal, each with faults of its own; one `GatewayProcess` to the rest of a run."""

import trio
from attrs import define

from oc_trio.ids import AccountId
from tests.simulation.callback_transport import CallbackTransport
from tests.simulation.files import FileServer
from tests.simulation.gateway_process import ACCOUNTS, FleetPart, GatewayProcess, Parts
from tests.simulation.intents import Plan
from tests.simulation.journals import Rows, SharedJournal
from tests.simulation.model import Model
from tests.simulation.network import Network
from tests.simulation.pauses import Pauses
from tests.simulation.stand_in import StandIn
from tests.simulation.transcript import RunTranscript


@define(eq=False)
class Fleet:
    """`processes` share `journal`; whatever is asked of the gateway is asked of them all."""

    network: Network
    processes: list[GatewayProcess]
    journal: SharedJournal
    was_live: trio.Event

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
        second: Model | None,
    ) -> "Fleet":
        journal, pauses, stand_in = SharedJournal(), Pauses(), StandIn()
        fleet = cls(network, [], journal, trio.Event())
        for letter, (offset_ms, drift) in zip("abc", plan.clocks):
            part = FleetPart(letter, pauses, lambda: fleet.is_live, stand_in, offset_ms, drift)
            process = GatewayProcess(
                network, model, plan, seed, transcript, parts, callbacks, second, journal, part, was_live=fleet.was_live
            )
            fleet.processes.append(process)
        return fleet

    def of(self, number: int) -> GatewayProcess:
        """The process that an intent is about."""
        return self.processes[number % len(self.processes)]

    async def serve(self, nursery: trio.Nursery) -> None:
        """Keep all of them running until `close`."""
        async with trio.open_nursery() as processes:
            for process in self.processes:
                processes.start_soon(process.serve, nursery)

    def close(self) -> None:
        for process in self.processes:
            process.close()

    @property
    def is_live(self) -> bool:
        """Whether each account is live in one of them."""
        return all(any(_serves(process, account) for process in self.processes) for account in self._accounts())

    @property
    def incarnations(self) -> int:
        return sum(process.incarnations for process in self.processes)

    @property
    def live_since(self) -> float:
        return max(process.live_since for process in self.processes)

    @property
    def failures(self) -> list[str]:
        return [failure for process in self.processes for failure in process.failures]

    @property
    def file_server(self) -> FileServer:
        return self.processes[0].file_server

    def rows(self, sql: str, *values: object) -> Rows:
        """A look into the journal from outside."""
        return self.journal.rows(sql, *values)

    def _accounts(self) -> list[AccountId]:
        names = ("helper", "second") if self.processes[0].second is not None else ("helper",)
        return [ACCOUNTS[name] for name in names]


def _serves(process: GatewayProcess, account: AccountId) -> bool:
    power, gateway = process.power, process.gateway
    if gateway is None or power is None or power.is_off or power.resumed is not None:
        return False
    return gateway.health.account(account).is_live
