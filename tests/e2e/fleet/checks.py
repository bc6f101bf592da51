"""What has to hold after a run: one complete answer to each question, in order, by the holder of the lease alone."""

import itertools
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from attrs import frozen

from oc_trio.sandbox.records import PostRecord
from tests.e2e.fleet.chat import Write
from tests.e2e.fleet.database import LeaseChange, Owed
from tests.e2e.fleet.faults import CRASHES, Fault
from tests.e2e.fleet.load import Command, Question

_ANSWER = re.compile(r"answer q(\d+):")
_NOTED = re.compile(r"noted q(\d+)")
GAVE_UP = "after several tries"
STATUS = "**oc_trio** as @"
TAKEOVER_MS = 10_000
# The database and the chat server are on one machine and one clock; what is on its way takes a moment.
SLACK_MS = 50


@frozen
class Observed:
    """All that is known at the end; `hosts` has the gateway's address by process id."""

    questions: Sequence[Question]
    posts: Mapping[str, Sequence[PostRecord]]
    faults: Sequence[Fault]
    writes: Sequence[Write]
    lease_changes: Sequence[LeaseChange]
    hosts: Mapping[int, str]
    owed: Sequence[Owed]
    commands: Sequence[Command] = ()


def problems(observed: Observed) -> list[str]:
    return [
        *_evidence(observed),
        *_answers(observed),
        *_order(observed),
        *_journal(observed),
        *_writers(observed),
        *_takeovers(observed),
    ]


def _evidence(observed: Observed) -> Iterator[str]:
    """Without records the other checks would compare nothing, and find nothing."""
    for bot in sorted({question.bot for question in observed.questions}):
        changes = [change.at for change in observed.lease_changes if change.account == bot]
        if not changes:
            yield f"{bot}: no holder of its lease was noted"
        elif not any(write.bot == bot and write.at > changes[0] for write in observed.writes):
            yield f"{bot}: no write was noted, so nobody knows which process made its posts"
    if strangers := {write.host for write in observed.writes} - set(observed.hosts.values()):
        yield f"writes came from {sorted(strangers)}, where no gateway is"


def is_complete(number: int, text: str) -> bool:
    return f"answer q{number}:" in text and re.search(rf"\bend{number}\b", text) is not None


def answered(observed_posts: Mapping[str, Sequence[PostRecord]]) -> set[int]:
    """The questions whose answer is complete."""
    return {
        int(number)
        for posts in observed_posts.values()
        for post in posts
        for number in _ANSWER.findall(post.message)
        if is_complete(int(number), post.message)
    }


def given_up(observed_posts: Mapping[str, Sequence[PostRecord]]) -> int:
    """How many answers say that there is none, after several tries."""
    return sum(GAVE_UP in post.message for posts in observed_posts.values() for post in posts)


def _answers(observed: Observed) -> Iterator[str]:
    for bot, posts in observed.posts.items():
        heads: defaultdict[int, list[PostRecord]] = defaultdict(list)
        notes: defaultdict[int, list[PostRecord]] = defaultdict(list)
        for post in posts:
            numbers, noted = _ANSWER.findall(post.message), _NOTED.findall(post.message)
            for number in numbers:
                heads[int(number)].append(post)
            for number in noted:
                notes[int(number)].append(post)
            if not numbers and not noted and not _is_other(post, observed):
                yield f"{bot}: a post that answers nothing: {post.message[:80]!r}"
        commands = [command for command in observed.commands if command.bot == bot]
        taken = [command for command in commands if command.response]
        statuses = [post for post in posts if post.message.startswith(STATUS)]
        if not len(taken) <= len(statuses) <= len(commands):
            yield f"{bot}: {len(commands)} commands, {len(taken)} were taken, and {len(statuses)} answered"
        for question in observed.questions:
            if question.bot == bot:
                yield from _one(question, heads[question.number], notes[question.number], observed)


def _is_other(post: PostRecord, observed: Observed) -> bool:
    if post.message == "button" or post.message.startswith(STATUS) or "selected by" in str(post.props):
        return True
    return GAVE_UP in post.message and any(fault.kind in CRASHES for fault in observed.faults)


def _one(
    question: Question, heads: Sequence[PostRecord], notes: Sequence[PostRecord], observed: Observed
) -> Iterator[str]:
    name = f"q{question.number} ({question.kind} of {question.bot})"
    if not heads:
        if not any(_may_give_up(question, post, observed) for post in observed.posts[question.bot]):
            yield f"{name} has no answer"
    elif len(heads) > 1:
        yield f"{name} is answered {len(heads)} times: {[post.message[-40:] for post in heads]}"
    elif not (is_complete(question.number, heads[0].message) or _may_give_up(question, heads[0], observed)):
        yield f"{name} has half an answer: {heads[0].message[-60:]!r}"
    if question.has_note and len(notes) > 1:
        yield f"{name} was noted {len(notes)} times: a completed tool call was repeated"
    if question.has_note and heads and not notes:
        yield f"{name} was never noted"


def _may_give_up(question: Question, post: PostRecord, observed: Observed) -> bool:
    """Whether the post says so, and the process that served the bot had trouble of its own twice meanwhile. A restart
    of the database is not such a thing, nor is what happens to other processes.
    """
    if GAVE_UP not in post.message:
        return False
    ended_at = max(post.create_at, post.update_at)
    return sum(_is_holders(fault, question, ended_at, observed) for fault in observed.faults) >= 2


def _is_holders(fault: Fault, question: Question, ended_at: int, observed: Observed) -> bool:
    if fault.kind not in CRASHES or fault.at > ended_at or fault.at + fault.seconds * 1000 < question.asked_at:
        return False
    ours = [change for change in observed.lease_changes if change.account == question.bot]
    before = [change for change in ours if change.at <= fault.at]
    during = [change for change in ours if fault.at < change.at <= fault.at + fault.seconds * 1000]
    return fault.pid in {change.pid for change in (*before[-1:], *during)}


def _order(observed: Observed) -> Iterator[str]:
    """In one thread answers begin in the order of the questions."""
    first: dict[int, tuple[int, str]] = {}
    for posts in observed.posts.values():
        for post in posts:
            for number in map(int, _ANSWER.findall(post.message)):
                first.setdefault(number, (post.create_at, post.id))
    threads: defaultdict[str, list[Question]] = defaultdict(list)
    for question in observed.questions:
        if question.kind in {"mention", "reply"}:
            threads[question.thread].append(question)
    for questions in threads.values():
        known = [question for question in questions if question.number in first]
        for one, other in itertools.pairwise(known):
            if first[one.number][0] > first[other.number][0]:
                yield f"q{other.number} was answered before q{one.number}, which was asked before it"


def _journal(observed: Observed) -> Iterator[str]:
    for owed in observed.owed:
        if not (owed.state == "failed" and "attempt" in owed.reason):
            yield f"{owed.account}: {owed.trigger} ended as {owed.state} {owed.reason}"


def _writers(observed: Observed) -> Iterator[str]:
    """Nothing is written for a bot by a process that doesn't hold its lease."""
    changes: defaultdict[str, list[LeaseChange]] = defaultdict(list)
    for change in observed.lease_changes:
        changes[change.account].append(change)
    for write in observed.writes:
        held = [change for change in changes[write.bot] if change.at <= write.at + SLACK_MS]
        before = [change for change in changes[write.bot] if change.at <= write.at - SLACK_MS]
        possible = {observed.hosts.get(change.pid, "") for change in (*before[-1:], *held[len(before) :])}
        # Before the first change that was noted nobody knows; `_evidence` asks for some that are known.
        if held and write.host not in possible:
            yield f"{write.bot}: {write.request} came from {write.host}, the lease was held by {possible or 'nobody'}"


def takeovers(observed: Observed) -> list[tuple[str, float]]:
    """Seconds from each kill, pause or drain of a holder until another process held the account, by kind."""
    result = []
    for fault in observed.faults:
        if fault.kind not in {"kill", "pause", "drain"}:
            continue
        accounts = {change.account for change in observed.lease_changes}
        for account in sorted(accounts):
            changes = [change for change in observed.lease_changes if change.account == account]
            before = [change for change in changes if change.at <= fault.at]
            later = [change for change in changes if change.at > fault.at and change.pid]
            if before and before[-1].pid == fault.pid and later:
                result.append((fault.kind, (later[0].at - fault.at) / 1000))
    return result


def _takeovers(observed: Observed) -> Iterator[str]:
    """A dead holder is replaced within ten seconds, unless the database or everybody else is in trouble, too."""
    for fault in observed.faults:
        if fault.kind not in {"kill", "drain"}:
            continue
        others = [
            other
            for other in observed.faults
            if other is not fault
            and other.at < fault.at + TAKEOVER_MS
            and other.at + other.seconds * 1000 > fault.at - 15_000
        ]
        if others:
            continue
        alone = Observed(observed.questions, {}, (fault,), (), observed.lease_changes, observed.hosts, ())
        for kind, seconds in takeovers(alone):
            if seconds * 1000 > TAKEOVER_MS:
                yield f"after the {kind} of {fault.gateway} its account was without a holder for {seconds:.1f} s"
