"""One run of a fleet: gateways, load and faults for a while, then neither, then the checks."""

import math
import random
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from attrs import field, frozen
from hypercorn.config import Config
from hypercorn.trio import serve

from tests.e2e.fleet.chat import ChatServer, open_chat
from tests.e2e.fleet.checks import Observed, answered, given_up, problems, takeovers
from tests.e2e.fleet.database import DatabaseProxy, FleetDatabase, open_database
from tests.e2e.fleet.faults import WEIGHTS, FaultMaker
from tests.e2e.fleet.gateways import GatewayProcess, LoadBalancer
from tests.e2e.fleet.load import HOOK_TOKEN, Load
from tests.e2e.fleet.model import SlowModel

START_SECONDS = 40.0
SETTLE_SECONDS = 60.0
QUIET_SECONDS = 3.0  # a second answer would come about now

CONFIG = """
[channels.mattermost]
baseUrl = "{base}"
groupPolicy = "open"
dmPolicy = "open"
allowFrom = ["*"]
replyToMode = "all"
network.dangerouslyAllowPrivateNetwork = true
{accounts}
[models.providers.slow]
api = "openai-completions"
baseUrl = "{model}"
apiKey = "none"
models = ["slow"]

[agents.defaults]
model = "slow/slow"

[messages.groupChat]
historyLimit = 0

[messages.queue]
mode = "followup"
debounceMs = 0
cap = 200

[gateway]
port = {port}
drainSeconds = 2
admin.port = {admin_port}

[store]
url = "{store}"

[logging]
format = "json"
{more}"""
ACCOUNT = """
[channels.mattermost.accounts.{name}]
botToken = "{token}"
interactions.callbackBaseUrl = "{balancer}"
interactions.allowedSourceIps = ["127.0.0.1"]
capabilities = ["inlineButtons"]
commands.native = {native}
commands.prefix = "{name}_"
commands.callbackUrl = "{balancer}/api/channels/mattermost/command"
"""
HOOKS = f"""
[hooks]
enabled = true
token = "{HOOK_TOKEN}"
"""


@frozen
class Options:
    """`seconds` of load and faults; `fault_pause` is the time between two faults, from and to."""

    seconds: float = 20.0
    gateways: int = 3
    accounts: int = 3
    rate: float = 1.0
    words: int = 12
    delay: float = 0.15
    seed: int = 1
    fault_pause: tuple[float, float] = (3.0, 6.0)
    weights: dict[str, int] = field(factory=lambda: dict(WEIGHTS))
    has_callbacks: bool = True
    pooled: bool = False


@frozen
class Report:
    """`problems` is empty where everything holds."""

    problems: tuple[str, ...]
    numbers: dict[str, Any]


@frozen(eq=False)
class Fleet:
    """What runs: all of it ends with `open_fleet`."""

    chat: ChatServer
    database: FleetDatabase
    gateways: list[GatewayProcess]
    proxies: dict[str, DatabaseProxy]
    balancer: LoadBalancer
    model: SlowModel

    @property
    def hosts(self) -> dict[int, str]:
        return {pid: gateway.host for gateway in self.gateways for pid in gateway.pids}

    async def wait_live(self, accounts: int) -> None:
        """Until so many accounts have written to the chat server or are connected."""
        with trio.fail_after(START_SECONDS):
            while len(connected(self.gateways)) < accounts:  # noqa: ASYNC110 - they are other processes
                await trio.sleep(0.1)


def connected(gateways: list[GatewayProcess]) -> set[str]:
    return {
        str(event.get("account", ""))
        for gateway in gateways
        for event in gateway.events()
        if str(event.get("event", "")).startswith("connected as @")
    }


@asynccontextmanager
async def open_fleet(folder: Path, options: Options) -> AsyncIterator[Fleet]:
    """Start everything, and wait until every account is live."""
    model = SlowModel(options.words, options.delay)
    async with open_database(pooled=options.pooled) as database, trio.open_nursery() as nursery:
        chat = await open_chat(nursery, options.accounts)
        config = Config()
        config.bind, config.errorlog, config.graceful_timeout = ["127.0.0.1:0"], None, 0.2
        (model_url,) = await nursery.start(lambda task_status: _serve_model(model, config, task_status))
        balancer = LoadBalancer([])
        await nursery.start(balancer.run)
        gateways: list[GatewayProcess] = []
        proxies: dict[str, DatabaseProxy] = {}
        for number in range(1, options.gateways + 1):
            name = f"g{number}"
            gateway = GatewayProcess(name, f"127.0.0.{10 + number}", folder / f"{name}.toml", folder / name)
            proxies[name] = await database.proxy()
            gateway.config.write_text(_config_text(options, gateway, chat, proxies[name], model_url, balancer.port))
            gateway.config.chmod(0o600)
            gateways.append(gateway)
        balancer.gateways.extend(gateways)
        fleet = Fleet(chat, database, gateways, proxies, balancer, model)
        for gateway in gateways:
            nursery.start_soon(gateway.run)
            nursery.start_soon(balancer.watch, gateway)
        await fleet.wait_live(options.accounts)
        await database.note_leases()
        try:
            yield fleet
        finally:
            for gateway in gateways:
                gateway.stopping = True
                gateway.go_on()
                gateway.drain()
            with trio.move_on_after(20, shield=True):
                while any(gateway.pid for gateway in gateways):  # noqa: ASYNC110 - a process tells nobody
                    await trio.sleep(0.05)
            nursery.cancel_scope.cancel()


async def _serve_model(model: SlowModel, config: Config, task_status: trio.TaskStatus[list[str]]) -> None:
    await serve(model, config, task_status=task_status)  # type: ignore[arg-type]


def _config_text(
    options: Options, gateway: GatewayProcess, chat: ChatServer, proxy: DatabaseProxy, model_url: str, port: int
) -> str:
    accounts = "".join(
        ACCOUNT.format(
            name=bot.username,
            token=bot.token,
            balancer=f"http://127.0.0.1:{port}",
            native="true" if options.has_callbacks else "false",
        )
        for bot in chat.bots
    )
    return CONFIG.format(
        base=chat.url(gateway.host),
        accounts=accounts,
        model=f"{model_url}/v1",
        port=gateway.port,
        admin_port=gateway.admin_port,
        store=f"postgresql://oc@127.0.0.1:{proxy.port}/{proxy.database}",
        more=HOOKS if options.has_callbacks else "",
    )


async def try_fleet(folder: Path, options: Options, progress: Callable[[str], None] = lambda _line: None) -> Report:
    """The whole run. `progress` gets a line for each fault, and one now and then."""
    began = time.monotonic()
    async with open_fleet(folder, options) as fleet:
        progress(
            f"{options.gateways} gateways serve {options.accounts} accounts after {time.monotonic() - began:.1f} s"
        )
        load = Load(fleet.chat, random.Random(options.seed), options.rate, fleet.balancer.port, options.has_callbacks)
        maker = FaultMaker(
            fleet.gateways,
            fleet.proxies,
            fleet.database,
            random.Random(options.seed + 1_000_000),
            options.fault_pause,
            options.weights,
            progress,
        )
        async with trio.open_nursery() as calls:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(load.run, calls, options.seconds)
                nursery.start_soon(maker.run, options.seconds)
                nursery.start_soon(_report, load, fleet, progress, options.seconds)
            progress("no more faults; waiting for what is open")
            settled = await _settle(load, fleet, calls)
            if not settled:
                calls.cancel_scope.cancel()
        await trio.sleep(QUIET_SECONDS)
        observed = Observed(
            load.questions,
            posts_of(fleet.chat),
            maker.faults,
            fleet.chat.log.writes,
            await fleet.database.lease_changes(),
            fleet.hosts,
            await fleet.database.owed(),
            load.commands,
        )
        numbers = _numbers(observed, load, fleet)
    found = [*problems(observed), *_process_problems(fleet.gateways)]
    if not settled:
        found.append("some callbacks or answers were still open at the end")
    return Report(tuple(found), {**numbers, "seconds": round(time.monotonic() - began, 1)})


async def _settle(load: Load, fleet: Fleet, calls: trio.Nursery) -> bool:
    with trio.move_on_after(SETTLE_SECONDS):
        while calls.child_tasks or not _is_over(load, fleet):  # noqa: ASYNC110 - nobody tells when all is answered
            await trio.sleep(0.2)
        return True
    return False


def _is_over(load: Load, fleet: Fleet) -> bool:
    posts = posts_of(fleet.chat)
    return len(answered(posts)) + given_up(posts) >= len(load.questions)


async def _report(load: Load, fleet: Fleet, progress: Callable[[str], None], seconds: float) -> None:
    with trio.move_on_after(seconds):
        while True:
            await trio.sleep(30)
            done = len(answered(posts_of(fleet.chat)))
            progress(f"{len(load.questions)} questions, {done} answers, ready: {fleet.balancer.ready}")


def posts_of(chat: ChatServer) -> dict[str, list[Any]]:
    return {bot.username: list(chat.posts_of(bot)) for bot in chat.bots}


def _process_problems(gateways: list[GatewayProcess]) -> Iterator[str]:
    for gateway in gateways:
        yield from gateway.problems
        for event in gateway.events():
            if "exception" in event or "defect" in str(event.get("event", "")):
                yield f"{gateway.name} logged a defect: {str(event)[:400]}"
        if "Traceback (most recent call last)" in gateway.log.read_text("utf-8", "replace").replace("\\n", "\n"):
            yield f"{gateway.name} printed a traceback: {gateway.log}"


def _numbers(observed: Observed, load: Load, fleet: Fleet) -> dict[str, Any]:
    spans: dict[str, list[float]] = {}
    for kind, seconds in takeovers(observed):
        spans.setdefault(kind, []).append(seconds)
    warnings: Counter[str] = Counter(
        f"{event['level']}: {event['event']}"
        for gateway in fleet.gateways
        for event in gateway.events()
        if event.get("level") in {"warning", "error"}
    )
    return {
        "questions": len(observed.questions),
        "kinds": dict(Counter(question.kind for question in observed.questions)),
        "answers": len(answered(observed.posts)),
        "given_up": given_up(observed.posts),
        "faults": dict(Counter(fault.kind for fault in observed.faults)),
        "lease_changes": len(observed.lease_changes),
        "writes_checked": len(observed.writes),
        "takeover_seconds": {kind: spread(values) for kind, values in spans.items()},
        "commands": len(load.commands),
        "commands_failed": sum(not command.response for command in load.commands),
        "command_answers": dict(Counter(command.response[:60] for command in load.commands)),
        "command_seconds": spread([command.took / 1000 for command in load.commands if command.response]),
        "callback_retries": load.retries,
        "rss_mib": {gateway.name: round(gateway.rss_mib()) for gateway in fleet.gateways},
        "exits": {gateway.name: dict(gateway.exits) for gateway in fleet.gateways},
        "warnings": dict(warnings.most_common(30)),
    }


def spread(values: list[float]) -> dict[str, float]:
    """How many, the median, the 95th percentile and the longest."""
    ordered = sorted(values) or [0.0]
    return {
        "count": len(values),
        "p50": round(statistics.median(ordered), 2),
        "p95": round(ordered[math.ceil(0.95 * len(ordered)) - 1], 2),
        "max": round(ordered[-1], 2),
    }
