"""A seeded plan: who does what when, and what goes wrong. Pure: equal seeds give equal plans."""

import random
from collections.abc import Iterator

from attrs import evolve, frozen

from tests.simulation.climate import FAIR
from tests.simulation.intents import (
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
    Invite,
    Kick,
    Press,
    React,
    RestartServer,
    Stop,
    Vandalise,
    Weather,
)
from tests.simulation.poison import Poison, drawn_poison

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
_WORDS = ("what about", "please explain", "is it true that", "how do I", "tell me more:")


@frozen
class Plan:
    """Deeds in the order of their times (seconds). `settings` choose a configuration."""

    deeds: tuple[tuple[float, Deed], ...]
    queue: str
    reply_to: str
    mode: str
    throttle_ms: int
    drain_seconds: int
    trouble: float
    slow: float
    is_stormy: bool
    has_blocks: bool = False
    is_wordy: bool = False
    has_bad_disk: bool = False
    has_files: bool = False
    has_calls: bool = False
    poison: Poison | None = None
    has_second_bot: bool = False
    has_one_agent: bool = False


# Kinds that came later are drawn from a source of their own: a seed that draws none of them runs as it did before.
_LATER = ("blocks", "disk")
# Each of these even has its own, so that the next one changes nothing for the others.
_LATEST = ("files", "http", "poison", "threads", "accounts")
_OLD = ("crash", "drain", "socket", "rest", "frames", "server", "people", "kick", "lag", "blackout", "cancel")
KINDS = (*_OLD, *_LATER, *_LATEST)
# The two that take long are rare.
_LIKELY = {"blackout": 0.08, "cancel": 0.15, "blocks": 0.25, "disk": 0.15}
_LIKELY |= {"files": 0.12, "http": 0.12, "poison": 0.1, "threads": 0.12, "accounts": 0.1}


def plan(seed: int, kinds: tuple[str, ...] | None = None) -> Plan:
    """What happens in the run of that seed. A few kinds of trouble at a time, so that each gets its seeds."""
    rng, more = random.Random(f"plan {seed}"), random.Random(f"plan more {seed}")
    if kinds is None:
        kinds = tuple(kind for kind in _OLD if rng.random() < _LIKELY.get(kind, 0.33))
        kinds += tuple(kind for kind in _LATER if more.random() < _LIKELY[kind])
        kinds += tuple(kind for kind in _LATEST if random.Random(f"is {kind} {seed}").random() < _LIKELY[kind])
    end = rng.uniform(5.0, 40.0)
    deeds = [*_questions(rng, end)]
    if "people" in kinds:
        deeds += _people(rng, end, rng.randint(1, 4))
    if "cancel" in kinds:
        deeds += _cancels(rng, end)
    if "kick" in kinds:
        place, at = rng.choice(("square", "market")), rng.uniform(1.0, end)
        deeds += [(at, Kick(place)), (at + rng.uniform(0.5, 10.0), Invite(place))]
    deeds += _weather(rng, end, kinds)
    operations = [*_operations(rng, end, kinds)]
    deeds += operations
    for at, deed in operations:
        if at < end:
            deeds += _around(rng, at, deed)
    drawn = Plan(
        deeds=tuple(sorted(deeds, key=lambda deed: deed[0])),
        queue=rng.choice(("followup", "collect", "steer", "interrupt")),
        reply_to=rng.choice(("off", "off", "all")),
        mode=rng.choice(("partial", "partial", "partial", "progress", "off")),
        throttle_ms=rng.choice((400, 1200)),
        drain_seconds=rng.choice((0, 3, 10)),
        trouble=rng.choice((0.0, 0.3)),
        slow=1.0 if "cancel" in kinds else rng.choice((0.2, 0.8)),
        is_stormy=bool({"rest", "frames", "lag"} & set(kinds)),
    )
    drawn = _with_more(drawn, more, kinds)
    for kind, add in _ADDITIONS.items():
        if kind in kinds:
            drawn = add(drawn, random.Random(f"plan {kind} {seed}"))
    return drawn


def _with_files(drawn: Plan, rng: random.Random) -> Plan:
    """Answers with files, and questions with files of which the model has to read each."""
    deeds = [
        (at, evolve(deed, files=rng.choice((0, 0, 0, 1, 2))) if isinstance(deed, Ask) else deed)
        for at, deed in drawn.deeds
    ]
    return evolve(drawn, deeds=tuple(deeds), has_files=True)


def _with_more(drawn: Plan, rng: random.Random, kinds: tuple[str, ...]) -> Plan:
    """What the later kinds add to a plan."""
    if "blocks" in kinds:
        mode = rng.choice(("block", "block", "block", "off", "off", "partial", "progress"))
        drawn = evolve(drawn, mode=mode, has_blocks=mode == "off" and rng.random() < 0.8, is_wordy=True)
    if "disk" in kinds:
        end = max((at for at, _ in drawn.deeds), default=0.0)
        deeds = [*drawn.deeds]
        for _ in range(rng.randint(1, 3)):
            bad = BadDisk(rng.choice((0.5, 3.0, 20.0, 90.0)), rng.choice((0.02, 0.1, 0.5, 1.0)))
            deeds.append((rng.uniform(0.2, end), bad))
        drawn = evolve(drawn, deeds=tuple(sorted(deeds, key=lambda deed: deed[0])), has_bad_disk=True)
    return drawn


def _with_calls(drawn: Plan, rng: random.Random) -> Plan:
    """Slash commands and clicks, now and then and right around whatever breaks."""
    end = max((at for at, _ in drawn.deeds), default=0.0)
    times = [rng.uniform(0.3, end) for _ in range(rng.randint(2, 5))]
    for at, deed in drawn.deeds:
        if isinstance(deed, (BadDisk, Crash, CutSockets, Drain, RestartServer)) and rng.random() < 0.8:
            times += [at + rng.uniform(-0.3, 0.1), at + rng.choice((rng.uniform(0.0, 1.5), rng.uniform(1.0, 6.0)))]
    deeds = [*drawn.deeds]
    for at in times:
        author = rng.choice(("alice", "bob"))
        place = rng.choice((author, "square", "market"))
        text = rng.choice(("/oc_tell tell",) * 6 + ("/oc_new tell", "/oc_stop", "/oc_new", "/oc_status", "/oc_model"))
        deeds.append(
            (max(0.1, at), rng.choice((Call(author, place, text), Press(author, place, rng.choice((1, 1, 2))))))
        )
        if rng.random() < 0.3 and any(isinstance(deed, Crash) for _, deed in drawn.deeds):
            deeds.append((max(0.1, at), Crash(rng.randint(1, 25), rng.choice((0.3, 2.0, 15.0)))))
    # What was answered last has buttons, too.
    for _ in range(rng.randint(1, 3)):
        author = rng.choice(("alice", "bob"))
        press = Press(author, rng.choice((author, "square", "market")), rng.choice((1, 1, 2)))
        deeds.append((end + rng.uniform(1.0, 30.0), press))
    return evolve(drawn, deeds=tuple(sorted(deeds, key=lambda deed: deed[0])), has_calls=True)


def _with_poison(drawn: Plan, rng: random.Random) -> Plan:
    poison, end = drawn_poison(rng), max((at for at, _ in drawn.deeds), default=0.0)
    deeds = [*drawn.deeds]
    # There has to be somebody who asks: a command, and one more question behind whatever is refused.
    author = rng.choice(("alice", "bob"))
    place = rng.choice((author, "square", "market"))
    if poison.has_status:
        deeds.append((rng.uniform(0.1, end), Command(author, place, "/status")))
    how = "direct" if place == author else "mention"
    deeds.append((end + rng.choice((1.0, 700.0)), Ask(author, place, how, rng.choice(_WORDS))))
    return evolve(drawn, deeds=tuple(sorted(deeds, key=lambda deed: deed[0])), poison=poison)


def _with_threads(drawn: Plan, rng: random.Random) -> Plan:
    """People who write on in a thread, without the bot's name, while it answers there and after."""
    end, deeds = max((at for at, _ in drawn.deeds), default=0.0), [*drawn.deeds]
    for _ in range(rng.randint(1, 3)):
        place, at = rng.choice(("square", "market")), rng.uniform(0.1, end)
        deeds.append((at, Ask(rng.choice(("alice", "bob")), place, "mention", rng.choice(_WORDS))))
        if drawn.reply_to == "off":  # then only who is in a thread is answered in one
            at += rng.uniform(0.1, 5.0)
            deeds.append((at, Ask(rng.choice(("alice", "bob")), place, "inside", rng.choice(_WORDS))))
        for _ in range(rng.randint(1, 4)):
            at += rng.choice((rng.uniform(0.05, 2.0), rng.uniform(1.0, 12.0), rng.uniform(10.0, 40.0)))
            deeds.append((at, Ask(rng.choice(("alice", "bob")), place, "onward", rng.choice(_WORDS))))
    return evolve(drawn, deeds=tuple(sorted(deeds, key=lambda deed: deed[0])))


def _with_second_bot(drawn: Plan, rng: random.Random) -> Plan:
    """Another account of the same gateway, in the same channels: each deed concerns one of the bots, or both.

    Where one agent answers for both, it talks with both about the same things: then each question is for one of them.
    """
    is_one, kicked = rng.random() < 0.3, rng.choice(("helper", "second"))
    deeds: list[tuple[float, Deed]] = []
    for at, deed in drawn.deeds:
        if isinstance(deed, Ask):
            deed = evolve(deed, whom=rng.choice(("helper", "second", "second", "both")))
            if is_one:
                how = "mention" if deed.how in ("reply", "inside", "onward") else deed.how
                deed = evolve(deed, how=how, whom=rng.choice(("helper", "second")))
        elif isinstance(deed, Stop | Command | Vandalise):
            deed = evolve(deed, whom=rng.choice(("helper", "second")))
        elif isinstance(deed, Kick | Invite):
            deed = evolve(deed, whom=kicked)
        deeds.append((at, deed))
    return evolve(drawn, deeds=tuple(deeds), has_second_bot=True, has_one_agent=is_one)


# A second bot comes last: it is given its share of what the others add.
_ADDITIONS = {
    "files": _with_files,
    "http": _with_calls,
    "poison": _with_poison,
    "threads": _with_threads,
    "accounts": _with_second_bot,
}


def _questions(rng: random.Random, end: float) -> Iterator[tuple[float, Deed]]:
    for _ in range(rng.randint(2, 5)):
        author = rng.choice(("alice", "bob"))
        how = rng.choice(("mention", "mention", "direct", "direct", "chatter", "reply"))
        place = author if how == "direct" else rng.choice(("square", "market"))
        burst = rng.choice((1, 1, 1, 1, 1, 2, 5))
        yield rng.uniform(0.1, end), Ask(author, place, how, rng.choice(_WORDS), burst)


def _cancels(rng: random.Random, end: float) -> Iterator[tuple[float, Deed]]:
    """Questions, and second thoughts about each while it is being answered."""
    for _ in range(rng.randint(4, 8)):
        author, at = rng.choice(("alice", "bob")), rng.uniform(0.5, end)
        place = rng.choice((author, "square", "market"))
        yield at, Ask(author, place, "direct" if place == author else "mention", rng.choice(_WORDS))
        for _ in range(rng.randint(1, 3)):
            at += rng.choice((rng.uniform(0.005, 0.3), rng.uniform(0.1, 3.5)))
            stop, new = Stop(author, place), Command(author, place, "/new")
            yield at, rng.choice((stop, stop, stop, new, Edit(0), Edit(0), Delete(0), Vandalise(place)))


def _people(rng: random.Random, end: float, times: int) -> Iterator[tuple[float, Deed]]:
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
                    Vandalise(place),
                    Command(author, place, rng.choice(("/new", "/status"))),
                )
            ),
        )


def _weather(rng: random.Random, end: float, kinds: tuple[str, ...]) -> Iterator[tuple[float, Deed]]:
    bad: dict[str, float] = {}
    if "rest" in kinds:
        bad |= {name: rng.choice((0.05, 0.15, 0.33)) for name in _REST if rng.random() < 0.35}
    if "frames" in kinds:
        bad |= {name: rng.choice((0.03, 0.1)) for name in _FRAMES if rng.random() < 0.5}
    if "lag" in kinds:
        bad["lag"] = rng.choice((1.0, 6.0))
    climate = evolve(FAIR, **bad)
    if climate != FAIR:
        start = rng.uniform(0.0, end / 2)
        yield start, Weather(climate)
        if rng.random() < 0.3:
            yield rng.uniform(start, end), Weather(FAIR)


def _operations(rng: random.Random, end: float, kinds: tuple[str, ...]) -> Iterator[tuple[float, Deed]]:
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
        yield end + 5.001, Ask(author, place, how, rng.choice(_WORDS))
    if "drain" in kinds:
        yield rng.uniform(0.5, end), Drain(rng.choice((0.3, 2.0, 20.0)))


def _around(rng: random.Random, at: float, deed: Deed) -> Iterator[tuple[float, Deed]]:
    """Questions right before and after something breaks, in one place: there the seams are."""
    if rng.random() < 0.5:
        return
    author = rng.choice(("alice", "bob"))
    place = rng.choice((author, "square", "market"))
    how = "direct" if place == author else "mention"
    after = at + (deed.seconds if isinstance(deed, RestartServer) else 0.0)
    for when in (at + rng.uniform(0.0, 0.1), after + rng.uniform(0.0, 3.0), after + rng.uniform(2.0, 9.0)):
        yield when, Ask(author, place, how, rng.choice(_WORDS), rng.choice((1, 1, 1, 1, 3)))
