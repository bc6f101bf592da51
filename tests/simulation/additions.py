"""What the latest kinds of trouble add to a plan, each drawn from a source of its own. Pure."""

import random

from attrs import evolve

from tests.simulation.intents import (
    WORDS,
    Arrive,
    Ask,
    Break,
    Call,
    Command,
    Crash,
    Deed,
    Hook,
    Invite,
    Kick,
    Name,
    Plan,
    Press,
    Stop,
    Vandalise,
    in_order,
)
from tests.simulation.poison_posts import drawn_poison


def _with_files(drawn: Plan, rng: random.Random) -> Plan:
    """Answers with files, and questions with files of which the model has to read each."""
    deeds = [
        (at, evolve(deed, files=rng.choice((0, 0, 0, 1, 2))) if isinstance(deed, Ask) else deed)
        for at, deed in drawn.deeds
    ]
    return evolve(drawn, deeds=tuple(deeds), has_files=True)


def _with_calls(drawn: Plan, rng: random.Random) -> Plan:
    """Slash commands and clicks, now and then and right around whatever breaks."""
    end = drawn.end
    times = [rng.uniform(0.3, end) for _ in range(rng.randint(2, 5))]
    for at, deed in drawn.deeds:
        if isinstance(deed, Break) and rng.random() < 0.8:
            times += [at + rng.uniform(-0.3, 0.1), at + rng.choice((rng.uniform(0.0, 1.5), rng.uniform(1.0, 6.0)))]
    deeds = [*drawn.deeds]
    for at in times:
        author = rng.choice(("alice", "bob"))
        place = rng.choice((author, "square", "market"))
        text = rng.choice(("/oc_tell tell",) * 6 + ("/oc_new tell", "/oc_stop", "/oc_new", "/oc_status", "/oc_model"))
        deeds.append(
            (max(0.1, at), rng.choice((Call(author, place, text), Press(author, place, rng.choice((1, 1, 2))))))
        )
        deeds += _perhaps_a_crash(drawn, max(0.1, at), rng)
    # What was answered last has buttons, too.
    for _ in range(rng.randint(1, 3)):
        author = rng.choice(("alice", "bob"))
        press = Press(author, rng.choice((author, "square", "market")), rng.choice((1, 1, 2)))
        deeds.append((end + rng.uniform(1.0, 30.0), press))
    return evolve(drawn, deeds=in_order(deeds), has_calls=True)


def _perhaps_a_crash(drawn: Plan, at: float, rng: random.Random) -> list[tuple[float, Deed]]:
    """One while something that has just begun is at work, in a plan that has crashes."""
    if rng.random() < 0.3 and any(isinstance(deed, Crash) for _, deed in drawn.deeds):
        return [(at, Crash(rng.randint(1, 25), rng.choice((0.3, 2.0, 15.0))))]
    return []


def _with_poison(drawn: Plan, rng: random.Random) -> Plan:
    poison, end = drawn_poison(rng), drawn.end
    deeds = [*drawn.deeds]
    # There has to be somebody who asks: a command, and one more question behind whatever is refused.
    author = rng.choice(("alice", "bob"))
    place = rng.choice((author, "square", "market"))
    if poison.has_status:
        deeds.append((rng.uniform(0.1, end), Command(author, place, "/status")))
    how = "direct" if place == author else "mention"
    deeds.append((end + rng.choice((1.0, 700.0)), Ask(author, place, how, rng.choice(WORDS))))
    return evolve(drawn, deeds=in_order(deeds), poison=poison)


def _with_threads(drawn: Plan, rng: random.Random) -> Plan:
    """People who write on in a thread, without the bot's name, while it answers there and after."""
    end, deeds = drawn.end, [*drawn.deeds]
    for _ in range(rng.randint(1, 3)):
        place, at = rng.choice(("square", "market")), rng.uniform(0.1, end)
        deeds.append((at, Ask(rng.choice(("alice", "bob")), place, "mention", rng.choice(WORDS))))
        if drawn.reply_to == "off":  # then only who is in a thread is answered in one
            at += rng.uniform(0.1, 5.0)
            deeds.append((at, Ask(rng.choice(("alice", "bob")), place, "inside", rng.choice(WORDS))))
        for _ in range(rng.randint(1, 4)):
            at += rng.choice((rng.uniform(0.05, 2.0), rng.uniform(1.0, 12.0), rng.uniform(10.0, 40.0)))
            deeds.append((at, Ask(rng.choice(("alice", "bob")), place, "onward", rng.choice(WORDS))))
    return evolve(drawn, deeds=in_order(deeds))


def _with_names(drawn: Plan, rng: random.Random) -> Plan:
    """People who see that nobody answers, and add the bot's name to what they said."""
    end, deeds = drawn.end, [*drawn.deeds]
    for _ in range(rng.randint(1, 3)):
        place, at = rng.choice(("square", "market")), rng.uniform(0.1, end)
        deeds.append((at, Ask(rng.choice(("alice", "bob")), place, "chatter", rng.choice(WORDS))))
        wait = rng.choice((rng.uniform(0.01, 1.0), rng.uniform(1.0, 20.0), rng.uniform(20.0, 120.0)))
        deeds.append((at + wait, Name(place)))
    return evolve(drawn, deeds=in_order(deeds))


def _with_newcomers(drawn: Plan, rng: random.Random) -> Plan:
    """Somebody who was never there asks at once, as does whoever makes a new channel; mostly around what breaks."""
    end, deeds = drawn.end, [*drawn.deeds]
    breaks = [at for at, deed in deeds if isinstance(deed, Break)]
    for place, author, how in (("carol", "carol", "direct"), ("lab", rng.choice(("alice", "bob")), "mention")):
        at = rng.choice(breaks) + rng.uniform(-0.2, 5.0) if breaks and rng.random() < 0.7 else rng.uniform(0.1, end)
        deeds.append((max(0.1, at), Arrive(place)))
        for _ in range(rng.randint(1, 3)):
            at = max(0.1, at) + rng.choice((rng.uniform(0.001, 0.1), rng.uniform(0.1, 10.0)))
            deeds.append((at, Ask(author, place, how, rng.choice(WORDS))))
    return evolve(drawn, deeds=in_order(deeds))


def _with_hooks(drawn: Plan, rng: random.Random) -> Plan:
    """Programs that want something said or posted, most of them right around whatever breaks."""
    end, deeds = drawn.end, [*drawn.deeds]
    times = [rng.uniform(0.1, end) for _ in range(rng.randint(1, 4))]
    for at, deed in drawn.deeds:
        if isinstance(deed, Break) and rng.random() < 0.8:
            times += [at + rng.uniform(-0.3, 0.1), at + rng.uniform(0.0, 6.0)]
    for at in times:
        hook = Hook(rng.choice(("agent", "deliver")), rng.choice(("alice", "square", "market")))
        deeds.append((max(0.1, at), hook))
        deeds += _perhaps_a_crash(drawn, max(0.1, at), rng)
    return evolve(drawn, deeds=in_order(deeds), has_hooks=True)


def _with_treachery(drawn: Plan, rng: random.Random) -> Plan:
    """A model that is not to be trusted, and a few more who ask it."""
    deeds = [*drawn.deeds]
    for _ in range(rng.randint(2, 6)):
        author = rng.choice(("alice", "bob"))
        place = rng.choice((author, "square", "market"))
        how = "direct" if place == author else "mention"
        deeds.append((rng.uniform(0.1, drawn.end + 5.0), Ask(author, place, how, rng.choice(WORDS))))
    return evolve(drawn, deeds=in_order(deeds), treachery=rng.choice((0.2, 0.5, 1.0)))


def _with_crowds(drawn: Plan, rng: random.Random) -> Plan:
    """People who ask more at once than may wait, some of them right before something breaks."""
    end, deeds = drawn.end, [*drawn.deeds]
    times = [rng.uniform(0.1, end) for _ in range(rng.randint(1, 3))]
    for at, deed in drawn.deeds:
        if isinstance(deed, Break) and rng.random() < 0.5:
            times.append(at - rng.uniform(0.0, 0.5))
    for at in times:
        author = rng.choice(("alice", "bob"))
        place = rng.choice((author, "square", "market"))
        how, at = "direct" if place == author else "mention", max(0.1, at)
        deeds.append((at, Ask(author, place, how, rng.choice(WORDS), rng.randint(3, 6))))
        # Who is crowded out is told so when the turn that runs has ended.
        for _ in range(3):
            deeds += _perhaps_a_crash(drawn, at + rng.uniform(0.3, 6.0), rng)
    queue = rng.choice(("followup", "collect"))
    return evolve(
        drawn, deeds=in_order(deeds), queue=queue, cap=rng.choice((1, 2)), drop=rng.choice(("new", "new", "old"))
    )


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
        elif isinstance(deed, Stop | Command | Vandalise | Name):
            deed = evolve(deed, whom=rng.choice(("helper", "second")))
        elif isinstance(deed, Kick | Invite):
            deed = evolve(deed, whom=kicked)
        deeds.append((at, deed))
    return evolve(drawn, deeds=tuple(deeds), has_second_bot=True, has_one_agent=is_one)


# A second bot comes last: it is given its share of what the others add.
ADDITIONS = {
    "files": _with_files,
    "http": _with_calls,
    "poison": _with_poison,
    "threads": _with_threads,
    "names": _with_names,
    "newcomers": _with_newcomers,
    "hooks": _with_hooks,
    "treacherous": _with_treachery,
    "crowded": _with_crowds,
    "accounts": _with_second_bot,
}
