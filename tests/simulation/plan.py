"""A seeded plan: who does what when, and what goes wrong. Pure: equal seeds give equal plans."""

import random
from collections.abc import Iterator

from attrs import evolve

from tests.simulation.additions import ADDITIONS
from tests.simulation.fault_rates import NO_FAULTS
from tests.simulation.intents import (
    WORDS,
    Ask,
    BadDisk,
    ChangeFaultRates,
    Command,
    Crash,
    CutSockets,
    Delete,
    DeleteBotPost,
    Drain,
    Edit,
    FreezeSockets,
    Intent,
    Invite,
    Kick,
    Plan,
    React,
    RestartServer,
    Stop,
    in_order,
)

_REST = (
    "slow",
    "unreachable",
    "lost_request",
    "lost_answer",
    "silent_answer",
    "limited",
    "broken",
    "gateway_timeout",
    "thread_race",
    "late",
)
_FRAMES = ("frame_delay", "frame_twice", "frame_swap", "frame_cut", "frame_freeze")


# By the random source that each kind of trouble is drawn from. A new kind belongs to the last table, where each has a
# source of its own: a seed that does not draw it keeps its plan.
_FROM_FIRST_SOURCE = (
    "crash",
    "drain",
    "socket",
    "rest",
    "frames",
    "server",
    "people",
    "kick",
    "lag",
    "blackout",
    "cancel",
)
_FROM_SECOND_SOURCE = ("blocks", "disk")
_FROM_OWN_SOURCE = (
    "files",
    "http",
    "poison",
    "threads",
    "names",
    "newcomers",
    "hooks",
    "accounts",
    "model_faults",
    "crowded",
    "foreign",
    "jobs",
    "fleet",
    "stream",
)
KINDS = (*_FROM_FIRST_SOURCE, *_FROM_SECOND_SOURCE, *_FROM_OWN_SOURCE)
# The word in a kind's seeds, where that is not its name: another word would give other plans to the same seeds.
_SEED_WORDS = {"model_faults": "treacherous"}
# How often a kind is drawn; 0.33 for others of the first source. Runs with a blackout or many cancellations take long.
_LIKELY = {"blackout": 0.08, "cancel": 0.15, "blocks": 0.25, "disk": 0.15}
_LIKELY |= dict.fromkeys(_FROM_OWN_SOURCE, 0.12) | {"poison": 0.1, "accounts": 0.1, "stream": 0.25}


def plan(seed: int, kinds: tuple[str, ...] | None = None) -> Plan:
    """What happens in the run of that seed. A few kinds of trouble at a time, so that each gets its seeds."""
    rng, more = random.Random(f"plan {seed}"), random.Random(f"plan more {seed}")
    if kinds is None:
        kinds = tuple(kind for kind in _FROM_FIRST_SOURCE if rng.random() < _LIKELY.get(kind, 0.33))
        kinds += tuple(kind for kind in _FROM_SECOND_SOURCE if more.random() < _LIKELY[kind])
        kinds += tuple(kind for kind in _FROM_OWN_SOURCE if _source("is", kind, seed).random() < _LIKELY[kind])
    end = rng.uniform(5.0, 40.0)
    intents = [*_questions(rng, end)]
    if "people" in kinds:
        intents += _people(rng, end, rng.randint(1, 4))
    if "cancel" in kinds:
        intents += _cancels(rng, end)
    if "kick" in kinds:
        place, at = rng.choice(("square", "market")), rng.uniform(1.0, end)
        intents += [(at, Kick(place)), (at + rng.uniform(0.5, 10.0), Invite(place))]
    intents += _fault_periods(rng, end, kinds)
    operations = [*_operations(rng, end, kinds)]
    intents += operations
    for at, intent in operations:
        if at < end:
            intents += _around(rng, at, intent)
    drawn = Plan(
        intents=in_order(intents),
        queue=rng.choice(("followup", "collect", "steer", "interrupt")),
        reply_to=rng.choice(("off", "off", "all")),
        mode=rng.choice(("partial", "partial", "partial", "progress", "off")),
        throttle_ms=rng.choice((400, 1200)),
        drain_seconds=rng.choice((0, 3, 10)),
        trouble=rng.choice((0.0, 0.3)),
        slow=1.0 if "cancel" in kinds else rng.choice((0.2, 0.8)),
        has_network_faults=bool({"rest", "frames", "lag"} & set(kinds)),
    )
    drawn = _with_second_source(drawn, more, kinds)
    for kind, add in ADDITIONS.items():
        if kind in kinds:
            drawn = add(drawn, _source("plan", kind, seed))
    return drawn


def _source(purpose: str, kind: str, seed: int) -> random.Random:
    """A kind's own source of chance."""
    return random.Random(f"{purpose} {_SEED_WORDS.get(kind, kind)} {seed}")


def _with_second_source(drawn: Plan, rng: random.Random, kinds: tuple[str, ...]) -> Plan:
    """What the kinds of the second source add to a plan."""
    if "blocks" in kinds:
        mode = rng.choice(("block", "block", "block", "off", "off", "partial", "progress"))
        drawn = evolve(drawn, mode=mode, has_blocks=mode == "off" and rng.random() < 0.8, is_wordy=True)
    if "disk" in kinds:
        end = drawn.end
        intents = [*drawn.intents]
        for _ in range(rng.randint(1, 3)):
            bad = BadDisk(rng.choice((0.5, 3.0, 20.0, 90.0)), rng.choice((0.02, 0.1, 0.5, 1.0)))
            intents.append((rng.uniform(0.2, end), bad))
        drawn = evolve(drawn, intents=in_order(intents), has_bad_disk=True)
    return drawn


def _questions(rng: random.Random, end: float) -> Iterator[tuple[float, Intent]]:
    for _ in range(rng.randint(2, 5)):
        author = rng.choice(("alice", "bob"))
        how = rng.choice(("mention", "mention", "direct", "direct", "chatter", "reply"))
        place = author if how == "direct" else rng.choice(("square", "market"))
        burst = rng.choice((1, 1, 1, 1, 1, 2, 5))
        yield rng.uniform(0.1, end), Ask(author, place, how, rng.choice(WORDS), burst)


def _cancels(rng: random.Random, end: float) -> Iterator[tuple[float, Intent]]:
    """Questions, and second thoughts about each while it is being answered."""
    for _ in range(rng.randint(4, 8)):
        author, at = rng.choice(("alice", "bob")), rng.uniform(0.5, end)
        place = rng.choice((author, "square", "market"))
        yield at, Ask(author, place, "direct" if place == author else "mention", rng.choice(WORDS))
        for _ in range(rng.randint(1, 3)):
            at += rng.choice((rng.uniform(0.005, 0.3), rng.uniform(0.1, 3.5)))
            stop, new = Stop(author, place), Command(author, place, "/new")
            yield at, rng.choice((stop, stop, stop, new, Edit(0), Edit(0), Delete(0), DeleteBotPost(place)))


def _people(rng: random.Random, end: float, times: int) -> Iterator[tuple[float, Intent]]:
    for _ in range(times):
        author = rng.choice(("alice", "bob"))
        place = rng.choice((author, "square", "market"))
        back = rng.randint(0, 2)
        yield (
            rng.uniform(0.5, end + 2.0),
            rng.choice(
                (
                    Edit(back),
                    Edit(back),
                    Delete(back),
                    React(back),
                    Stop(author, place),
                    Stop(author, place),
                    DeleteBotPost(place),
                    Command(author, place, rng.choice(("/new", "/status"))),
                )
            ),
        )


def _fault_periods(rng: random.Random, end: float, kinds: tuple[str, ...]) -> Iterator[tuple[float, Intent]]:
    bad: dict[str, float] = {}
    if "rest" in kinds:
        bad |= {name: rng.choice((0.05, 0.15, 0.33)) for name in _REST if rng.random() < 0.35}
    if "frames" in kinds:
        bad |= {name: rng.choice((0.03, 0.1)) for name in _FRAMES if rng.random() < 0.5}
    if "lag" in kinds:
        bad["lag"] = rng.choice((1.0, 6.0))
    fault_rates = evolve(NO_FAULTS, **bad)
    if fault_rates != NO_FAULTS:
        start = rng.uniform(0.0, end / 2)
        yield start, ChangeFaultRates(fault_rates)
        if rng.random() < 0.3:
            yield rng.uniform(start, end), ChangeFaultRates(NO_FAULTS)


def _operations(rng: random.Random, end: float, kinds: tuple[str, ...]) -> Iterator[tuple[float, Intent]]:
    if "socket" in kinds:
        for _ in range(rng.randint(1, 3)):
            yield rng.uniform(0.5, end), rng.choice((CutSockets(), CutSockets(), FreezeSockets()))
    if "server" in kinds:
        yield rng.uniform(0.5, end), RestartServer(rng.uniform(0.5, 12.0))
    if "crash" in kinds:
        for _ in range(rng.randint(1, 3)):
            operations = rng.choice((0, rng.randint(1, 120), rng.randint(1, 15)))
            yield rng.uniform(0.0, end), Crash(operations, rng.choice((0.3, 2.0, 15.0, 45.0)))
    if "blackout" in kinds:
        # The last word in a place, a crash while it is taken in, and a long time before anybody is back.
        author = rng.choice(("alice", "bob"))
        place, how = rng.choice(((author, "direct"), ("square", "mention"), ("market", "mention")))
        yield end + 5.0, Crash(rng.randint(1, 12), 1000.0)
        yield end + 5.001, Ask(author, place, how, rng.choice(WORDS))
    if "drain" in kinds:
        yield rng.uniform(0.5, end), Drain(rng.choice((0.3, 2.0, 20.0)))


def _around(rng: random.Random, at: float, intent: Intent) -> Iterator[tuple[float, Intent]]:
    """Questions right before and after something breaks, in one place: there the seams are."""
    if rng.random() < 0.5:
        return
    author = rng.choice(("alice", "bob"))
    place = rng.choice((author, "square", "market"))
    how = "direct" if place == author else "mention"
    after = at + (intent.seconds if isinstance(intent, RestartServer) else 0.0)
    for when in (at + rng.uniform(0.0, 0.1), after + rng.uniform(0.0, 3.0), after + rng.uniform(2.0, 9.0)):
        yield when, Ask(author, place, how, rng.choice(WORDS), rng.choice((1, 1, 1, 1, 3)))
