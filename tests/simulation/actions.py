"""Carries out a plan: what people and operators do, and the faults of network, server, disk and gateway."""

import random

import trio
from attrs import define

from tests.simulation.callers import Callers
from tests.simulation.fault_rates import NO_FAULTS
from tests.simulation.fleet import Fleet
from tests.simulation.frames import FrameFaults
from tests.simulation.gateway_process import GatewayProcess
from tests.simulation.hook_clients import HookClients
from tests.simulation.intents import (
    ALL,
    Arrive,
    Ask,
    BadDisk,
    Call,
    ChangeFaultRates,
    Command,
    Crash,
    CutSockets,
    Delete,
    DeleteBotPost,
    Drain,
    Edit,
    FreezeSockets,
    Hook,
    Intent,
    Invite,
    Kick,
    LoseDatabase,
    LoseNotices,
    Name,
    Pause,
    Plan,
    PostForeign,
    Press,
    React,
    RestartServer,
    Stop,
)
from tests.simulation.network import Network
from tests.simulation.scenario import Addressed, Question, Scenario


@define(eq=False)
class ActionRunner:
    """`rng` decides what a plan leaves open, such as which thread a reply goes to."""

    scenario: Scenario
    network: Network
    frames: FrameFaults
    process: GatewayProcess | Fleet
    callers: Callers
    hook_clients: HookClients
    rng: random.Random

    async def follow(self, plan: Plan) -> None:
        """Do each intent at its time, counted from now."""
        began = trio.current_time()
        for at, intent in plan.intents:
            await trio.sleep_until(began + at)
            if isinstance(intent, RestartServer):
                await self._restart_server(intent.seconds)
            elif isinstance(intent, (Call, Press)):
                self.callers.do(intent)
            elif isinstance(intent, Hook):
                self.hook_clients.do(intent)
            else:
                self._do(intent)

    def _do(self, intent: Intent) -> None:
        scenario = self.scenario
        match intent:
            case ChangeFaultRates() | CutSockets() | FreezeSockets():
                self._change_network(intent)
            case Arrive() | PostForeign():
                self._appear(intent)
            case BadDisk() | Crash() | Drain() | Pause() | LoseDatabase() | LoseNotices():
                self._break_process(intent)
            case Ask():
                self._ask(intent)
            case Stop() | Command():
                self._of(intent).command(
                    intent.author, intent.place, "stop" if isinstance(intent, Stop) else intent.text
                )
            case DeleteBotPost() | Kick() | Invite() | Name():
                scenario = self._of(intent)
                act = {
                    DeleteBotPost: scenario.delete_bot_post,
                    Kick: scenario.kick,
                    Invite: scenario.invite,
                    Name: scenario.name,
                }[type(intent)]
                act(intent.place)
            case Edit() | Delete() | React():
                question = self._back(intent.back)
                if question is not None:
                    {Edit: scenario.edit, Delete: scenario.delete, React: scenario.react}[type(intent)](question)
            case RestartServer() | Call() | Press() | Hook():
                raise AssertionError("not done here")

    def _appear(self, intent: Arrive | PostForeign) -> None:
        """A new place, or a post of nobody's here."""
        if isinstance(intent, Arrive):
            self.scenario.open(intent.place)
        else:
            self.scenario.post_foreign(intent.place, intent.how)

    def _change_network(self, intent: ChangeFaultRates | CutSockets | FreezeSockets) -> None:
        network, transcript = self.network, self.scenario.transcript
        match intent:
            case ChangeFaultRates():
                bad = intent.fault_rates != NO_FAULTS
                transcript.note(
                    "network", f"gets faults: {intent.fault_rates.describe()}" if bad else "has no faults now"
                )
                network.fault_rates = self.frames.fault_rates = intent.fault_rates if bad else NO_FAULTS
            case CutSockets():
                transcript.note("network", "resets the websocket")
                network.drop_sockets()
            case FreezeSockets():
                transcript.note("network", "leaves the websocket half open")
                network.freeze_sockets()

    def _break_process(self, intent: BadDisk | Crash | Drain | Pause | LoseDatabase | LoseNotices) -> None:
        process, transcript = self.process.of(intent.process), self.scenario.transcript
        disk, now = process.disk, trio.current_time()
        whose = "" if process.fleet is None else f" for {process.name}"
        match intent:
            case Crash():
                process.crash(intent.operations, intent.down)
            case Drain():
                process.stop(intent.down)
            case Pause():
                process.pause(intent.operations, intent.seconds)
            case BadDisk():
                disk.until, disk.share, disk.unanswered = now + intent.seconds, intent.share, intent.unanswered
                transcript.note("disk", f"fails at {intent.share:g} of what is asked for {intent.seconds:g} s{whose}")
            case LoseDatabase():
                for each in self.process.each(intent.process):
                    each.disk.away_until, each.disk.hangs = now + intent.seconds, intent.hangs
                how = "never answers" if intent.hangs else "is away"
                whose = " for all" if intent.process == ALL else whose
                transcript.note("database", f"{how} for {intent.seconds:.1f} s{whose}")
            case LoseNotices():
                process.lose_notices(intent.seconds)
                transcript.note("database", f"gives no notices for {intent.seconds:.1f} s{whose}")

    async def _restart_server(self, seconds: float) -> None:
        """Nobody can do anything meanwhile: the plan waits."""
        self.scenario.transcript.note("server", f"restarts, {seconds:.1f} s")
        self.network.is_down = True
        self.network.server_died()
        self.scenario.world.restart()
        await trio.sleep(seconds)
        self.network.is_down = False

    def _of(self, intent: Ask | Stop | Command | DeleteBotPost | Kick | Invite | Name) -> Scenario:
        """The scenario as the bot that is spoken to sees it."""
        twin = self.scenario.twin
        return twin if twin is not None and intent.whom == twin.bot.username else self.scenario

    def _ask(self, intent: Ask) -> None:
        scenario, rng = self._of(intent), self.rng
        for _ in range(intent.burst):
            thread: Question | None = None
            addressed: Addressed = "no" if intent.how == "chatter" else "yes"
            if intent.how == "reply":
                questions = [q for q in scenario.questions if not (q.is_call or q.is_deleted)]
                roots = [q for q in questions if q.place == intent.place and q.thread is None]
                thread = rng.choice(roots) if roots else None
                if rng.random() < 0.3:
                    addressed = "perhaps"
            elif intent.how in ("inside", "onward"):
                newest = next(
                    (q for q in reversed(scenario.questions) if q.place == intent.place and not q.is_call), None
                )
                thread = None if newest is None else newest.thread or newest
                addressed = "perhaps" if intent.how == "onward" else "yes"
            scenario.ask(
                intent.author,
                intent.place,
                addressed,
                intent.words,
                thread,
                intent.files,
                is_for_both=intent.whom == "both",
            )

    def _back(self, back: int) -> Question | None:
        questions = [question for question in self.scenario.questions if not (question.is_command or question.is_call)]
        return questions[-1 - back] if len(questions) > back else None
