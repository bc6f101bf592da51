"""What several gateways on one journal add to a plan: clocks that differ, and troubles of each process. Pure."""

import random
from collections.abc import Iterator

from attrs import evolve

from tests.simulation.intents import (
    ALL,
    WORDS,
    Ask,
    BadDisk,
    Crash,
    Drain,
    Intent,
    LoseDatabase,
    LoseNotices,
    Pause,
    Plan,
    in_order,
)

# Of wall clocks, either way. Local clocks run at most that much too fast or too slow.
_OFFSET_MS = 2000
_DRIFT = 0.01
_DOWN_SECONDS = (0.3, 2.0, 15.0, 45.0)


def with_fleet(drawn: Plan, rng: random.Random) -> Plan:
    """Two or three gateways on one journal, each with troubles of its own; those of other kinds strike one of them."""
    processes = rng.choice((2, 2, 3))
    intents = [(at, _of_one(intent, rng, processes)) for at, intent in drawn.intents]
    for _ in range(rng.randint(1, 4)):
        at = rng.uniform(0.5, drawn.end)
        intents.append((at, _trouble(rng, rng.randrange(processes))))
        if rng.random() < 0.3:
            lost = LoseNotices(rng.randrange(processes), rng.uniform(5.0, 60.0))
            intents.append((max(0.1, at - rng.uniform(0.0, 3.0)), lost))
        intents += _around(rng, at, drawn)
    has_bad_disk = any(isinstance(intent, LoseDatabase | BadDisk) for _, intent in intents)
    clocks = tuple((_offset(rng), rng.uniform(-_DRIFT, _DRIFT)) for _ in range(processes))
    return evolve(
        drawn,
        intents=in_order(intents),
        processes=processes,
        clocks=clocks,
        has_bad_disk=has_bad_disk,
        has_pooler=rng.random() < 0.2,
    )


def _of_one(intent: Intent, rng: random.Random, processes: int) -> Intent:
    return evolve(intent, process=rng.randrange(processes)) if isinstance(intent, Crash | Drain | BadDisk) else intent


def _offset(rng: random.Random) -> int:
    return rng.choice((0, rng.randint(-_OFFSET_MS, _OFFSET_MS)))


def _trouble(rng: random.Random, process: int) -> Intent:
    """A pause and an absent database are shorter or longer than a lease."""
    operations = rng.choice((0, rng.randint(1, 60), rng.randint(1, 15)))
    seconds = rng.choice((rng.uniform(0.5, 5.0), rng.uniform(5.0, 12.0), rng.uniform(10.0, 70.0)))
    match rng.choice(("crash", "crash", "pause", "pause", "database", "unsteady", "outage", "drain")):
        case "crash":
            return Crash(operations, rng.choice(_DOWN_SECONDS), process)
        case "pause":
            return Pause(process, operations, seconds)
        case "database":
            return LoseDatabase(process, seconds, rng.random() < 0.5)
        case "unsteady":
            return BadDisk(seconds, rng.choice((0.0, 0.1, 0.5)), process, rng.choice((0.1, 0.5)))
        case "outage":
            return LoseDatabase(ALL, rng.choice((1.0, 5.0, 15.0)) + rng.random(), rng.random() < 0.5)
        case _:
            return Drain(rng.choice((0.3, 2.0, 20.0)), process)


def _around(rng: random.Random, at: float, drawn: Plan) -> Iterator[tuple[float, Intent]]:
    """Somebody asks while nobody knows yet, and somebody when another process may have taken over."""
    for when in (at + rng.uniform(-0.5, 0.5), at + rng.uniform(0.0, 12.0)):
        author, whom = rng.choice(("alice", "bob")), rng.choice(("helper", "second"))
        place = rng.choice((author, "square", "market"))
        how = "direct" if place == author else "mention"
        ask = Ask(author, place, how, rng.choice(WORDS))
        yield max(0.1, when), evolve(ask, whom=whom) if drawn.has_second_bot else ask
