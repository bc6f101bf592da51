"""Carries out a plan: what people, operators and fate do to a town, its network and its gateway."""

import random

import trio
from attrs import define

from tests.simulation.callers import Callers
from tests.simulation.fault_rates import FAIR
from tests.simulation.frames import FrameFaults
from tests.simulation.gateway_process import GatewayProcess
from tests.simulation.hook_clients import HookClients
from tests.simulation.intents import (
    Arrive,
    Ask,
    BadDisk,
    Call,
    Command,
    Crash,
    CutSockets,
    Deed,
    Delete,
    Drain,
    Edit,
    FreezeSockets,
    Hook,
    Invite,
    Kick,
    Name,
    Plan,
    Press,
    React,
    RestartServer,
    Stop,
    Vandalise,
    Weather,
)
from tests.simulation.network import Network
from tests.simulation.scenario import Addressed, Question, Scenario


@define(eq=False)
class ActionRunner:
    """`rng` decides what a plan leaves open, such as which thread a reply goes to."""

    town: Scenario
    network: Network
    frames: FrameFaults
    house: GatewayProcess
    callers: Callers
    machines: HookClients
    rng: random.Random

    async def follow(self, plan: Plan) -> None:
        """Do each deed at its time, counted from now."""
        began = trio.current_time()
        for at, deed in plan.deeds:
            await trio.sleep_until(began + at)
            if isinstance(deed, RestartServer):
                await self._restart_server(deed.seconds)
            elif isinstance(deed, (Call, Press)):
                self.callers.do(deed)
            elif isinstance(deed, Hook):
                self.machines.do(deed)
            else:
                self._do(deed)

    def _do(self, deed: Deed) -> None:
        town = self.town
        match deed:
            case Weather() | CutSockets() | FreezeSockets():
                self._break_network(deed)
            case Arrive():
                town.open(deed.place)
            case BadDisk():
                self._spoil_disk(deed)
            case Crash():
                self.house.crash(deed.operations, deed.down)
            case Drain():
                self.house.stop(deed.down)
            case Ask():
                self._ask(deed)
            case Stop() | Command():
                self._of(deed).command(deed.author, deed.place, "stop" if isinstance(deed, Stop) else deed.text)
            case Vandalise() | Kick() | Invite() | Name():
                town = self._of(deed)
                act = {Vandalise: town.vandalise, Kick: town.kick, Invite: town.invite, Name: town.name}[type(deed)]
                act(deed.place)
            case Edit() | Delete() | React():
                question = self._back(deed.back)
                if question is not None:
                    {Edit: town.edit, Delete: town.delete, React: town.react}[type(deed)](question)
            case RestartServer() | Call() | Press() | Hook():
                raise AssertionError("not done here")

    def _break_network(self, deed: Weather | CutSockets | FreezeSockets) -> None:
        network, chronicle = self.network, self.town.chronicle
        match deed:
            case Weather():
                bad = deed.climate != FAIR
                chronicle.tell("weather", f"turns bad: {deed.climate.told()}" if bad else "turns fair")
                network.climate = self.frames.climate = deed.climate if bad else FAIR
            case CutSockets():
                chronicle.tell("network", "resets the websocket")
                network.drop_sockets()
            case FreezeSockets():
                chronicle.tell("network", "leaves the websocket half open")
                network.freeze_sockets()

    def _spoil_disk(self, deed: BadDisk) -> None:
        disk = self.house.disk
        disk.until, disk.share = trio.current_time() + deed.seconds, deed.share
        self.town.chronicle.tell("disk", f"fails at {deed.share:g} of what is asked for {deed.seconds:g} s")

    async def _restart_server(self, seconds: float) -> None:
        """Nobody can do anything meanwhile: the plan waits."""
        self.town.chronicle.tell("server", f"restarts, {seconds:.1f} s")
        self.network.is_down = True
        self.network.server_died()
        self.town.world.restart()
        await trio.sleep(seconds)
        self.network.is_down = False

    def _of(self, deed: Ask | Stop | Command | Vandalise | Kick | Invite | Name) -> Scenario:
        """The town as the bot sees it that is spoken to."""
        twin = self.town.twin
        return twin if twin is not None and deed.whom == twin.bot.username else self.town

    def _ask(self, deed: Ask) -> None:
        town, rng = self._of(deed), self.rng
        for _ in range(deed.burst):
            thread: Question | None = None
            addressed: Addressed = "no" if deed.how == "chatter" else "yes"
            if deed.how == "reply":
                asked = [q for q in town.questions if not (q.is_call or q.is_deleted)]
                roots = [q for q in asked if q.place == deed.place and q.thread is None]
                thread = rng.choice(roots) if roots else None
                if rng.random() < 0.3:
                    addressed = "perhaps"
            elif deed.how in ("inside", "onward"):
                newest = next((q for q in reversed(town.questions) if q.place == deed.place and not q.is_call), None)
                thread = None if newest is None else newest.thread or newest
                addressed = "perhaps" if deed.how == "onward" else "yes"
            town.ask(
                deed.author, deed.place, addressed, deed.words, thread, deed.files, is_for_both=deed.whom == "both"
            )

    def _back(self, back: int) -> Question | None:
        asked = [question for question in self.town.questions if not (question.is_command or question.is_call)]
        return asked[-1 - back] if len(asked) > back else None
