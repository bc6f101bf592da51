"""What some kinds of trouble add to a plan, each drawn from a source of its own. Pure."""

import random

from attrs import evolve

from tests.simulation.fleet_plan import with_fleet
from tests.simulation.intents import (
    JOBS_DUE_SECONDS,
    WORDS,
    Arrive,
    Ask,
    Break,
    Call,
    Command,
    Crash,
    CutSockets,
    DeleteBotPost,
    Drain,
    Hook,
    Intent,
    Invite,
    Kick,
    Name,
    Plan,
    PostForeign,
    Press,
    Stop,
    in_order,
)
from tests.simulation.poison_posts import drawn_poison


def _with_files(drawn: Plan, rng: random.Random) -> Plan:
    """Answers with files, and questions with files of which the model has to read each."""
    intents = [
        (at, evolve(intent, files=rng.choice((0, 0, 0, 1, 2))) if isinstance(intent, Ask) else intent)
        for at, intent in drawn.intents
    ]
    return evolve(drawn, intents=tuple(intents), has_files=True)


def _with_calls(drawn: Plan, rng: random.Random) -> Plan:
    """Slash commands and clicks, now and then and right around whatever breaks."""
    end = drawn.end
    times = [rng.uniform(0.3, end) for _ in range(rng.randint(2, 5))]
    for at, intent in drawn.intents:
        if isinstance(intent, Break) and rng.random() < 0.8:
            times += [at + rng.uniform(-0.3, 0.1), at + rng.choice((rng.uniform(0.0, 1.5), rng.uniform(1.0, 6.0)))]
    intents = [*drawn.intents]
    for at in times:
        author = rng.choice(("alice", "bob"))
        place = rng.choice((author, "square", "market"))
        text = rng.choice(("/oc_tell tell",) * 6 + ("/oc_new tell", "/oc_stop", "/oc_new", "/oc_status", "/oc_model"))
        intents.append(
            (max(0.1, at), rng.choice((Call(author, place, text), Press(author, place, rng.choice((1, 1, 2))))))
        )
        intents += _perhaps_a_crash(drawn, max(0.1, at), rng)
    # What was answered last has buttons, too.
    for _ in range(rng.randint(1, 3)):
        author = rng.choice(("alice", "bob"))
        press = Press(author, rng.choice((author, "square", "market")), rng.choice((1, 1, 2)))
        intents.append((end + rng.uniform(1.0, 30.0), press))
    return evolve(drawn, intents=in_order(intents), has_calls=True)


def _perhaps_a_crash(drawn: Plan, at: float, rng: random.Random) -> list[tuple[float, Intent]]:
    """One while something that has just begun is at work, in a plan that has crashes."""
    if rng.random() < 0.3 and any(isinstance(intent, Crash) for _, intent in drawn.intents):
        return [(at, Crash(rng.randint(1, 25), rng.choice((0.3, 2.0, 15.0))))]
    return []


def _with_poison(drawn: Plan, rng: random.Random) -> Plan:
    poison, end = drawn_poison(rng), drawn.end
    intents = [*drawn.intents]
    # There has to be somebody who asks: a command, and one more question behind whatever is refused.
    author = rng.choice(("alice", "bob"))
    place = rng.choice((author, "square", "market"))
    if poison.has_status:
        intents.append((rng.uniform(0.1, end), Command(author, place, "/status")))
    how = "direct" if place == author else "mention"
    intents.append((end + rng.choice((1.0, 700.0)), Ask(author, place, how, rng.choice(WORDS))))
    return evolve(drawn, intents=in_order(intents), poison=poison)


def _with_threads(drawn: Plan, rng: random.Random) -> Plan:
    """People who write on in a thread, without the bot's name, while it answers there and after."""
    end, intents = drawn.end, [*drawn.intents]
    for _ in range(rng.randint(1, 3)):
        place, at = rng.choice(("square", "market")), rng.uniform(0.1, end)
        intents.append((at, Ask(rng.choice(("alice", "bob")), place, "mention", rng.choice(WORDS))))
        if drawn.reply_to == "off":  # then only who is in a thread is answered in one
            at += rng.uniform(0.1, 5.0)
            intents.append((at, Ask(rng.choice(("alice", "bob")), place, "inside", rng.choice(WORDS))))
        for _ in range(rng.randint(1, 4)):
            at += rng.choice((rng.uniform(0.05, 2.0), rng.uniform(1.0, 12.0), rng.uniform(10.0, 40.0)))
            intents.append((at, Ask(rng.choice(("alice", "bob")), place, "onward", rng.choice(WORDS))))
    return evolve(drawn, intents=in_order(intents))


def _with_names(drawn: Plan, rng: random.Random) -> Plan:
    """People who see that nobody answers, and add the bot's name to what they said."""
    end, intents = drawn.end, [*drawn.intents]
    for _ in range(rng.randint(1, 3)):
        place, at = rng.choice(("square", "market")), rng.uniform(0.1, end)
        intents.append((at, Ask(rng.choice(("alice", "bob")), place, "chatter", rng.choice(WORDS))))
        wait = rng.choice((rng.uniform(0.01, 1.0), rng.uniform(1.0, 20.0), rng.uniform(20.0, 120.0)))
        intents.append((at + wait, Name(place)))
    return evolve(drawn, intents=in_order(intents))


def _with_newcomers(drawn: Plan, rng: random.Random) -> Plan:
    """Somebody who was never there asks at once, as does whoever makes a new channel; mostly around what breaks."""
    end, intents = drawn.end, [*drawn.intents]
    breaks = [at for at, intent in intents if isinstance(intent, Break)]
    for place, author, how in (("carol", "carol", "direct"), ("lab", rng.choice(("alice", "bob")), "mention")):
        at = rng.choice(breaks) + rng.uniform(-0.2, 5.0) if breaks and rng.random() < 0.7 else rng.uniform(0.1, end)
        intents.append((max(0.1, at), Arrive(place)))
        for _ in range(rng.randint(1, 3)):
            at = max(0.1, at) + rng.choice((rng.uniform(0.001, 0.1), rng.uniform(0.1, 10.0)))
            intents.append((at, Ask(author, place, how, rng.choice(WORDS))))
    return evolve(drawn, intents=in_order(intents))


def _with_hooks(drawn: Plan, rng: random.Random) -> Plan:
    """Programs that want something said or posted, most of them right around whatever breaks."""
    end, intents = drawn.end, [*drawn.intents]
    times = [rng.uniform(0.1, end) for _ in range(rng.randint(1, 4))]
    for at, intent in drawn.intents:
        if isinstance(intent, Break) and rng.random() < 0.8:
            times += [at + rng.uniform(-0.3, 0.1), at + rng.uniform(0.0, 6.0)]
    for at in times:
        hook = Hook(rng.choice(("agent", "deliver")), rng.choice(("alice", "square", "market")))
        intents.append((max(0.1, at), hook))
        intents += _perhaps_a_crash(drawn, max(0.1, at), rng)
    return evolve(drawn, intents=in_order(intents), has_hooks=True)


def _with_model_faults(drawn: Plan, rng: random.Random) -> Plan:
    """A model with faults, and a few more who ask it."""
    intents = [*drawn.intents]
    for _ in range(rng.randint(2, 6)):
        author = rng.choice(("alice", "bob"))
        place = rng.choice((author, "square", "market"))
        how = "direct" if place == author else "mention"
        intents.append((rng.uniform(0.1, drawn.end + 5.0), Ask(author, place, how, rng.choice(WORDS))))
    return evolve(drawn, intents=in_order(intents), model_fault_rate=rng.choice((0.2, 0.5, 1.0)))


def _with_crowds(drawn: Plan, rng: random.Random) -> Plan:
    """People who ask more at once than may wait, some of them right before something breaks."""
    end, intents = drawn.end, [*drawn.intents]
    times = [rng.uniform(0.1, end) for _ in range(rng.randint(1, 3))]
    for at, intent in drawn.intents:
        if isinstance(intent, Break) and rng.random() < 0.5:
            times.append(at - rng.uniform(0.0, 0.5))
    for at in times:
        author = rng.choice(("alice", "bob"))
        place = rng.choice((author, "square", "market"))
        how, at = "direct" if place == author else "mention", max(0.1, at)
        intents.append((at, Ask(author, place, how, rng.choice(WORDS), rng.randint(3, 6))))
        # People whose message finds no room are told so when the running turn has ended.
        for _ in range(3):
            intents += _perhaps_a_crash(drawn, at + rng.uniform(0.3, 6.0), rng)
    queue = rng.choice(("followup", "collect"))
    return evolve(
        drawn, intents=in_order(intents), queue=queue, cap=rng.choice((1, 2)), drop=rng.choice(("new", "new", "old"))
    )


def _with_second_bot(drawn: Plan, rng: random.Random) -> Plan:
    """Another account of the same gateway, in the same channels: each intent concerns one of the bots, or both.

    Where one agent answers for both, it talks with both about the same things: then each question is for one of them.
    """
    is_one, kicked = rng.random() < 0.3, rng.choice(("helper", "second"))
    intents: list[tuple[float, Intent]] = []
    for at, intent in drawn.intents:
        if isinstance(intent, Ask):
            intent = evolve(intent, whom=rng.choice(("helper", "second", "second", "both")))
            if is_one:
                how = "mention" if intent.how in ("reply", "inside", "onward") else intent.how
                intent = evolve(intent, how=how, whom=rng.choice(("helper", "second")))
        elif isinstance(intent, Stop | Command | DeleteBotPost | Name):
            intent = evolve(intent, whom=rng.choice(("helper", "second")))
        elif isinstance(intent, Kick | Invite):
            intent = evolve(intent, whom=kicked)
        intents.append((at, intent))
    return evolve(drawn, intents=tuple(intents), has_second_bot=True, has_one_agent=is_one)


def _with_foreign_posts(drawn: Plan, rng: random.Random) -> Plan:
    """Another gateway posts as our bot, now and then, also right around what breaks."""
    times = [rng.uniform(0.3, drawn.end + 5.0) for _ in range(rng.randint(1, 4))]
    times += [at + rng.uniform(-0.1, 2.0) for at, intent in drawn.intents if isinstance(intent, Break)]
    posts = [
        (max(0.1, at), PostForeign(rng.choice(("square", "market")), rng.choice(("marked", "unmarked", "same key"))))
        for at in times
    ]
    return evolve(drawn, intents=in_order([*drawn.intents, *posts]), has_foreign_posts=True)


def _with_jobs(drawn: Plan, rng: random.Random) -> Plan:
    """Scheduled jobs that are due at one moment, around which something breaks, mostly the gateway."""
    intents, at = [*drawn.intents], JOBS_DUE_SECONDS
    for _ in range(rng.choice((1, 1, 2, 3))):
        at += rng.choice((rng.uniform(-0.5, 0.0), rng.uniform(0.0, 0.5), rng.uniform(0.0, 20.0)))
        down = rng.choice((0.3, 2.0, 15.0, 400.0))
        broken: Intent = rng.choice((Crash(rng.randint(0, 25), down), Crash(rng.randint(0, 25), down), Drain(down)))
        intents.append((at, rng.choice((broken, broken, CutSockets()))))
    # Somebody asks after that: a run ends when all is quiet, and the jobs must have been due.
    intents.append((JOBS_DUE_SECONDS + rng.uniform(1.0, 5.0), Ask("alice", "alice", "direct", rng.choice(WORDS))))
    return evolve(drawn, intents=in_order(intents), has_jobs=True)


def _with_several_gateways(drawn: Plan, rng: random.Random) -> Plan:
    """Mostly with two bots, so that accounts move one by one."""
    if not drawn.has_second_bot and rng.random() < 0.6:
        drawn = _with_second_bot(drawn, rng)
    return with_fleet(drawn, rng)


def _with_streams(drawn: Plan, rng: random.Random) -> Plan:
    """The model's server streams what it says; beside more than a few other answers, reads have pauses between them."""
    return evolve(drawn, other_streams=rng.choice((0, 30, 100, 300, 1000)))


# A second bot is given its share of what the others add, and a fleet of all that breaks a process.
ADDITIONS = {
    "files": _with_files,
    "http": _with_calls,
    "poison": _with_poison,
    "threads": _with_threads,
    "names": _with_names,
    "newcomers": _with_newcomers,
    "hooks": _with_hooks,
    "model_faults": _with_model_faults,
    "crowded": _with_crowds,
    "foreign": _with_foreign_posts,
    "jobs": _with_jobs,
    "accounts": _with_second_bot,
    "fleet": _with_several_gateways,
    "stream": _with_streams,
}
