"""One run: a scenario, a gateway and a plan, then a time without faults, then the checks."""

import gc
import logging
import random
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
import trio
import trio.testing
from attrs import define, field, frozen
from structlog.typing import EventDict

from tests.simulation.actions import ActionRunner
from tests.simulation.callback_transport import CallbackTransport
from tests.simulation.callers import Callers
from tests.simulation.fault_rates import NO_FAULTS
from tests.simulation.files import FileServer
from tests.simulation.fleet import Fleet
from tests.simulation.frames import FrameFaults
from tests.simulation.gateway_process import GatewayProcess, Parts
from tests.simulation.hook_clients import HookClients
from tests.simulation.intents import Crash, Plan, RestartServer
from tests.simulation.invariants import examine
from tests.simulation.model import Model
from tests.simulation.network import Network
from tests.simulation.observations import Observations
from tests.simulation.plan import plan
from tests.simulation.scenario import Scenario
from tests.simulation.setup import set_up_scenario
from tests.simulation.transcript import RunTranscript

# A half-open socket is noticed within 40 s, a long answer takes 25, retries pause for 30: then all must be settled.
QUIET_SECONDS = 400.0
# The longest that a plan leaves the gateway down, and a start.
DOWN_SECONDS = 1100.0
# Twice the second pass of catch-up: what a lagging replica hid has come out by then.
SETTLE_SECONDS = 21.0
# Each of three posts that the server never takes is tried for a quarter of an hour, and anew after a restart.
POISON_SECONDS = 4000.0
# No plan takes longer, quiet included.
RUN_SECONDS = 5000.0
# The one error that a sound run may log: the server was down when the gateway started.
_EXPECTED_ERRORS = ("the server can't be reached",)
# What is logged while the journal's disk fails; a problem that is not the disk's is none of these.
_DISK_ERRORS = (
    *("the journal failed; starting the account again ", "the journal fails ", "could not prune the journal "),
    "callback failed ",
)
# And where the server does not take what is to be registered.
_CALL_ERRORS = ("mattermost: failed to register slash commands ", "mattermost: native slash commands enabled but no ")
# And where a process was paused, or did not reach the database.
_LEASE_ERRORS = ("an account stops here: its lease has ended ", "no progress: the watchdog is not fed ")
# And where it refuses what a scheduled job posts.
_JOB_ERRORS = ("a scheduled job failed ",)
# Another gateway's posts are an alarm.
_ALARM = "second gateway: another oc_trio gateway "
# What a model's fault makes go wrong is logged once as a defect of its turn.
_MODEL_FAULT_ERRORS = ("a defect failed one of many", "the agent's stream ended without a final")
_ABOUT_POST = re.compile(r" post=(\w+)")
_DISK_PROBLEM = re.compile(
    r"problem=(?:(?:; )?(?:sqlite: (?:database is locked|database or disk is full|connection refused)"
    r"|the journal did not answer within 10 s))+(?= seconds=|$| )"
)


@frozen
class Verdict:
    """`problems` is empty for a run in which every promise was kept; `cuts` counts turns that were cut short."""

    seed: int
    problems: tuple[str, ...]
    transcript: str
    seconds: float
    cuts: int


@define(eq=False)
class Run:
    """Everything of one run; make one inside Trio."""

    seed: int
    plan: Plan
    transcript: RunTranscript
    parts: Parts
    problems: list[str] = field(factory=list)
    cuts: int = 0
    # Messages whose model misbehaved on the wire only: the readers of the wire must turn that into ordinary errors.
    wired: set[str] = field(factory=set)
    # A post may ask two bots: what raised for one of them is no defect of the other's answer over the wire.
    mishandled: set[str] = field(factory=set)
    faults_ended_at: float = 0.0

    async def play(self) -> None:
        # A source of its own for each part. Their words are a part of the seeds: others would give other runs to them.
        tasks_before = trio.lowlevel.current_statistics().tasks_living
        rng = random.Random(f"world {self.seed}")
        frames = FrameFaults(random.Random(f"frames {self.seed}"), self.transcript)
        callbacks = CallbackTransport(
            random.Random(f"line {self.seed}"), self.transcript, is_relayed=len(self.plan.clocks) > 1
        )
        scenario = set_up_scenario(rng, self.transcript, frames, callbacks, has_second_bot=self.plan.has_second_bot)
        async with trio.open_nursery() as server:
            network = Network(
                scenario.world, random.Random(f"network {self.seed}"), self.transcript, server, poison=self.plan.poison
            )
            callbacks.network = network
            callers = Callers(scenario, network, random.Random(f"callers {self.seed}"))
            model, second = self._models(callers)
            make = GatewayProcess if self.plan.processes == 1 else Fleet.of_plan
            file_server = FileServer(random.Random(f"shelf {self.seed}"), self.transcript)
            process = make(
                *(network, model, self.plan, self.seed, self.transcript, self.parts, callbacks, file_server, second)
            )
            hook_clients = HookClients(scenario, network, callbacks, random.Random(f"machines {self.seed}"))
            runner = ActionRunner(
                scenario, network, frames, process, callers, hook_clients, random.Random(f"deeds {self.seed}")
            )
            async with trio.open_nursery() as operator:
                operator.start_soon(process.serve, operator)
                await process.was_live.wait()
                await runner.follow(self.plan)
                is_quiet = await self._settle(network, frames, process)
                self.transcript.note("run", "nothing is open any more" if is_quiet else "something stays open")
                process.close()
            if not is_quiet:
                self.problems.append("something is still at work long after the last trouble")
            self.problems += process.failures
            # A server learns of a half-open socket's end by its own pings only.
            with trio.move_on_after(200.0):
                while any(connection.live for connection in scenario.world.hub.connections()):  # noqa: ASYNC110
                    await trio.sleep(1.0)
            self.problems += examine(Observations(scenario, model, process, self.plan, self.faults_ended_at))
            self.cuts = model.runs - model.finished_runs
            self._note_wired(scenario, model)
            if scenario.twin is not None and second is not None:
                self._note_wired(scenario.twin, second)
                self.problems += examine(Observations(scenario.twin, second, process, self.plan, self.faults_ended_at))
                self.cuts += 0 if second is model else second.runs - second.finished_runs
            if network.sockets:
                self.problems.append(f"{len(network.sockets)} websockets are still open")
            server.cancel_scope.cancel()
        left = trio.lowlevel.current_statistics().tasks_living - tasks_before
        if left:
            self.problems.append(f"{left} tasks are left")

    def _note_wired(self, scenario: Scenario, model: Model) -> None:
        for question in scenario.questions:
            if question.number in model.mishandled:
                self.mishandled.add(question.post.id)
            elif question.number in model.faulted:
                self.wired.add(question.post.id)

    def _models(self, callers: Callers) -> tuple[Model, Model | None]:
        """One for each bot; another seed gives the same question another answer."""
        plan = self.plan
        model, second = (
            Model(seed, self.transcript, plan.trouble, plan.slow, plan.is_wordy, plan.has_files, plan.model_fault_rate)
            for seed in (self.seed, -1 - self.seed)
        )
        if plan.has_calls:
            callers.allow_commands()
            model.offer = callers.offer
        if not plan.has_second_bot:
            return model, None
        return model, model if plan.has_one_agent else second

    async def _settle(self, network: Network, frames: FrameFaults, process: GatewayProcess | Fleet) -> bool:
        """No more trouble; True when nothing was open any more for a while."""
        network.fault_rates = frames.fault_rates = NO_FAULTS
        self.faults_ended_at = trio.current_time()
        patience = POISON_SECONDS if self.plan.poison else 0.0
        self.transcript.note("run", "all faults end")
        # A power cut that was set up before may still come, and take its time.
        with trio.move_on_after(QUIET_SECONDS + 2 * DOWN_SECONDS + patience):
            idle_seconds = 0.0
            while idle_seconds < SETTLE_SECONDS:
                await trio.sleep(3.0)
                is_idle = (
                    process.is_live
                    and not (network.waiting or network.trips)
                    and not any(c.frozen for c in network.world.hub.connections() if c.live)
                )
                is_idle = is_idle and not process.rows("SELECT 1 FROM obligations WHERE state = 'open'")
                is_idle = is_idle and not process.rows("SELECT 1 FROM outbox WHERE state IN ('queued', 'sending')")
                idle_seconds = idle_seconds + 3.0 if is_idle else 0.0
            return True
        return False


def simulate(
    seed: int, *, parts: Parts | None = None, kinds: tuple[str, ...] | None = None, detailed: bool = False
) -> Verdict:
    """Play the run of `seed` to its end under a clock and a scheduler of its own; `kinds` of trouble, else by lot."""
    transcript = RunTranscript(is_detailed=detailed)
    run = Run(seed, plan(seed, kinds), transcript, parts or Parts())
    with _seeded_scheduler(seed), _logs_to(transcript), _no_collector():
        seconds = trio.run(_played, run, clock=trio.testing.MockClock(autojump_threshold=0))
    unexpected = [error for error in transcript.errors if not _is_expected(error, run)]
    problems = (*run.problems, *(f"logged as an error: {error}" for error in unexpected))
    return Verdict(seed, tuple(dict.fromkeys(problems)), str(transcript), seconds, run.cuts)


def _is_expected(error: str, run: Run) -> bool:
    plan = run.plan
    if plan.has_bad_disk and error.startswith(_DISK_ERRORS):
        return _DISK_PROBLEM.search(error) is not None
    if plan.processes > 1 and error.startswith(_LEASE_ERRORS):
        return True
    if plan.model_fault_rate and error.startswith(_MODEL_FAULT_ERRORS):
        about = _ABOUT_POST.search(error)
        return ("failed=turn " in error or "failed=" not in error) and (
            about is None or about[1] not in run.wired - run.mishandled
        )
    if plan.has_jobs and plan.has_network_faults and error.startswith(_JOB_ERRORS):
        return True
    if plan.has_foreign_posts and error.startswith(_ALARM):
        return True
    if plan.has_calls and error.startswith(_CALL_ERRORS):
        # What a dead gateway had on the wire may be lost, and then it says so, too.
        return plan.has_network_faults or any(isinstance(intent, (Crash, RestartServer)) for _, intent in plan.intents)
    return error.startswith(_EXPECTED_ERRORS)


async def _played(run: Run) -> float:
    with trio.move_on_after(RUN_SECONDS + (POISON_SECONDS if run.plan.poison else 0.0)) as whole:
        await run.play()
    if whole.cancelled_caught:
        run.problems.append("the run does not come to its end")
    return trio.current_time()


@contextmanager
def _seeded_scheduler(seed: int) -> Iterator[None]:
    """Trio's own provision for Hypothesis: tasks run in an order drawn from a seeded source."""
    core: Any = trio._core._run
    before, state = core._ALLOW_DETERMINISTIC_SCHEDULING, core._r
    core._ALLOW_DETERMINISTIC_SCHEDULING, core._r = True, random.Random(f"scheduler {seed}")
    try:
        yield
    finally:
        core._ALLOW_DETERMINISTIC_SCHEDULING, core._r = before, state


@contextmanager
def _no_collector() -> Iterator[None]:
    """A run is short; collecting garbage during it costs a fifth of its time. Its cycles are collected afterwards."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def _logs_to(transcript: RunTranscript) -> Iterator[None]:
    """Log lines become part of the transcript; errors are remembered."""

    def note(_logger: object, level: str, event: EventDict) -> EventDict:
        problem = event.pop("exc_info", None)
        if isinstance(problem, BaseException):
            event["raised"] = "".join(traceback.format_exception(problem))
        text = f"{event.pop('event')} " + " ".join(f"{key}={value}" for key, value in sorted(event.items()))
        if level in ("error", "critical", "exception"):
            transcript.error("log", text)
        else:
            transcript.detail("log", text)
        raise structlog.DropEvent

    before = structlog.get_config()
    level = logging.INFO if transcript.is_detailed else logging.WARNING
    structlog.configure(
        processors=[note],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=False,
    )
    try:
        yield
    finally:
        structlog.configure(**before)
