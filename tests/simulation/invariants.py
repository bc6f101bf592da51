"""The promises, checked after quiet: what the server shows, against what was asked and what the journal says."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator

from oc_trio.agent.tool_loop import NO_TEXT
from oc_trio.core.final_plan import INTERRUPTED, STOPPED
from oc_trio.runtime.conversation.cancel_reason import QUEUE_OVERFLOW
from oc_trio.sandbox import records
from tests.simulation.check_buttons import buttons
from tests.simulation.check_fallbacks import is_kept_preview, poisoned, stood_in
from tests.simulation.check_history import remembered
from tests.simulation.check_texts import blocks, is_block_of_the_withdrawn, texts
from tests.simulation.files import files
from tests.simulation.hook_clients import notices
from tests.simulation.intents import FreezeSockets, Weather
from tests.simulation.model_output import number_of
from tests.simulation.observations import Observations, Owed, key_of, name_of, overtaken, tokens_in
from tests.simulation.scenario import Question

# A half-open socket is noticed within 40 s; then there is a new connection, and a look at what is owed, which may be in
# vain for 30. What is told, or seen at a start, counts at once, but for an answer that is on its way.
_NOTICED_SECONDS = 90.0
_TOLD_SECONDS = 10.0

NO_KEY = "a post carries no key"


def examine(found: Observations) -> list[str]:
    """Every promise that was not kept, in words."""
    checks = (
        _answered,
        _once,
        _keys,
        _drafts,
        texts,
        blocks,
        files,
        buttons,
        _order,
        remembered,
        notices,
        poisoned,
        _leftovers,
    )
    return [problem for check in checks for problem in check(found)]


def _answered(found: Observations) -> Iterator[str]:
    """Every admitted, addressed post has a terminal state, and what that state promises can be seen."""
    for question in found.town.questions:
        name = name_of(question)
        owed = found.owed.get(question.post.id)
        if owed is None:
            is_meant = question.addressed == "yes" or _follows_us(found, question)
            if is_meant and not (question.is_deleted or _kicked(found, question)):
                yield f"{name} was never admitted"
            continue
        if question.addressed == "no":
            yield f"{name} was admitted although nobody spoke to the bot"
        match owed.state:
            case "open":
                yield f"{name} is still open"
            case "delivered":
                yield from _delivered(found, question, owed)
            case "failed":
                yield from _failed(found, question, owed)
            case "silent":
                # After a tool call a model may end without text, and garbage from its server may read as just that.
                is_garbage = owed.reason == NO_TEXT and found.is_betrayed(owed)
                if not (is_garbage or any(token.startswith(f"q{question.number}v") for token in found.model.silent)):
                    yield f"{name} ended silently: {owed.reason}"
            case "cancelled":
                if not _may_be_cancelled(found, question, owed):
                    yield f"{name} was cancelled without a reason that counts: {owed.reason}"


def _follows_us(found: Observations, question: Question) -> bool:
    """Whether it was said in a thread where an answer, or the beginning of one, could be seen already."""
    if question.addressed != "perhaps" or question.is_call or question.thread is None:
        return False
    turns = {owed.turn for owed in found.owed.values()}
    return any(
        post.root_id == question.post.root_id and post.create_at < question.post.create_at and not post.delete_at
        for post in found.posts
        if key_of(post).partition(".")[0] in turns
    )


def _delivered(found: Observations, question: Question, owed: Owed) -> Iterator[str]:
    shown = [found.by_id[post] for post in owed.posts if post in found.by_id]
    if question.is_deleted:
        if _long_after(found, question.deleted_at, f"q{question.number}v{question.version}"):
            yield f"{name_of(question)} was answered long after it had been deleted"
        return
    if not owed.posts or len(shown) < len(owed.posts):
        yield f"{name_of(question)} was delivered as posts that don't exist"
        return
    if any(post.delete_at for post in shown):
        if not found.town.vandalised & {post.id for post in shown}:
            yield f"the answer to {name_of(question)} was deleted"
        return
    if question.is_command or found.is_betrayed(owed):
        return
    tokens = tokens_in("\n".join(post.message for post in shown))
    own = [token for token in tokens if token.startswith(f"q{question.number}v")]
    if not own:
        yield f"{name_of(question)} was answered with something else: {shown[0].message[:60]!r}"
    elif int(own[0].partition("v")[2]) > question.version:
        yield f"{name_of(question)} was answered before it was asked"
    elif int(own[0].partition("v")[2]) < question.version and _long_after(found, question.edited_at, own[0]):
        if _kicked(found, question):
            return  # catch-up then begins at the joining, and a resumed connection tells of the first words first
        yield f"{name_of(question)} was answered as it had read long before"


def _long_after(found: Observations, at: float, token: str) -> bool:
    """Whether that answer was decided so long after that moment that it must have been known."""
    is_deaf = found.plan.is_stormy or any(isinstance(deed, FreezeSockets) for _, deed in found.plan.deeds)
    seconds = _NOTICED_SECONDS if is_deaf else _TOLD_SECONDS
    return at >= 0.0 and found.model.said_at.get(token, 0.0) > at + seconds


def _failed(found: Observations, question: Question, owed: Owed) -> Iterator[str]:
    if question.is_deleted or _kicked(found, question):
        return
    shown = [found.by_id[post] for post in owed.posts if post in found.by_id and not found.by_id[post].delete_at]
    if not shown and not found.town.vandalised & set(owed.posts):
        yield f"{name_of(question)} failed and nobody was told: {owed.reason}"
    if not shown:
        return
    if found.plan.cap and owed.reason == QUEUE_OVERFLOW:
        return
    gave_up = "several tries" in " ".join(post.message for post in shown) or stood_in(found, owed)
    if not gave_up and not any(token.startswith(f"q{question.number}v") for token in found.model.failed):
        yield f"{name_of(question)} failed although its model did not: {owed.reason}"


def _may_be_cancelled(found: Observations, question: Question, owed: Owed) -> bool:
    if question.is_deleted or _kicked(found, question):
        return True
    gone = [key_of(found.by_id[post]) for post in found.town.vandalised if post in found.by_id]
    if owed.turn and any(key.startswith(f"{owed.turn}.") for key in gone):
        return True  # deleted before its receipt reached us
    if found.plan.queue == "interrupt" and any(
        other.session == owed.session and other.serial > owed.serial for other in found.owed.values()
    ):
        return True
    return any(place == question.place and at >= question.asked_at for at, place in found.town.stops)


def _kicked(found: Observations, question: Question) -> bool:
    """Whether the bot was removed from the place around that time; then only silence is promised."""
    return not question.was_member or found.town.was_kicked(question.place)


def _once(found: Observations) -> Iterator[str]:
    """No question is answered in two places, nor by two turns."""
    heads: defaultdict[int, list[records.Post]] = defaultdict(list)
    answers = {post for owed in found.owed.values() for post in owed.posts}
    for post in found.posts:
        # Where the bot was thrown out in between, it could not remove the preview of an answer that stands below it.
        is_stuck = _place_kicked(found, post) and post.id not in answers
        if not (post.delete_at or is_stuck):
            for number in set(map(number_of, tokens_in(post.message))):
                heads[number].append(post)
    for number, posts in sorted(heads.items()):
        question = found.town.questions[number]
        if number in found.model.betrayed and len({key_of(post).partition(".")[0] for post in posts}) == 1:
            continue  # what was said twice stands twice
        if len(posts) > 1 and not question.is_deleted:
            yield f"{name_of(question)} is answered {len(posts)} times"
        # A question that an agent kept silent on stays open in its conversation, which two bots may share.
        is_open = found.plan.has_one_agent and not found.model.silent.isdisjoint(question.tokens)
        if question.addressed == "no" and not is_open:
            yield f"{name_of(question)} was answered although nobody spoke to the bot"


def _keys(found: Observations) -> Iterator[str]:
    """No post was made twice, unless somebody deleted the first one: who looks for it then finds none. Where a request
    may arrive after the server has forgotten its key, none stands twice.
    """
    held_up = any(isinstance(deed, Weather) and deed.climate.late for _, deed in found.plan.deeds)
    missed = {key_of(post) for post in found.posts if post.id in found.town.vandalised}
    posts = [post for post in found.posts if not (post.delete_at and (held_up or key_of(post) in missed))]
    keys = Counter(key_of(post) for post in posts)
    for key, count in keys.items():
        if not key:
            yield NO_KEY
        elif count > 1:
            yield f"post {key} was made {count} times"


def _drafts(found: Observations) -> Iterator[str]:
    """Nothing that was only a preview is left, except a sealed one of a turn that was cut off."""
    kept = {post for owed in found.owed.values() for post in owed.posts}
    gone = {question.post.id for question in found.town.questions if question.is_deleted}
    asked_for = {notice.id for notice in found.town.notices}
    for post in found.posts:
        if (
            post.delete_at
            or post.id in kept
            or key_of(post) in asked_for
            or post.root_id in gone
            or _place_kicked(found, post)
        ):
            continue
        if post.message.endswith(INTERRUPTED):
            yield f"post {key_of(post)} still says that it was interrupted"
        elif is_block_of_the_withdrawn(found, post) or is_kept_preview(found, post):
            continue
        elif not (post.message.endswith(STOPPED) or _answers_the_withdrawn(found, post)):
            yield f"a preview was left behind: {key_of(post)} {post.message[-60:]!r}"


def _order(found: Observations) -> Iterator[str]:
    """In each conversation answers come in the order of the questions."""
    spoken = {question.post.id: question for question in found.town.questions if not question.is_command}
    sessions: defaultdict[str, list[Owed]] = defaultdict(list)
    for owed in found.owed.values():
        if owed.trigger in spoken and owed.source != "edit" and owed.state == "delivered":
            sessions[owed.session].append(owed)
    for owed_ones in sessions.values():
        for one, other in itertools.pairwise(owed_ones):
            if overtaken(one, other, spoken):
                names = f"{name_of(spoken[one.trigger])} after {name_of(spoken[other.trigger])}"
                yield f"answered out of order: {names}"
            asked = spoken[one.trigger].post.create_at, spoken[other.trigger].post.create_at
            is_kicked = _kicked(found, spoken[one.trigger])  # catch-up then begins at the joining, a resume does not
            is_late = is_kicked or spoken[one.trigger].is_call or spoken[other.trigger].is_call  # it took its own way
            if asked[0] > asked[1] and not (found.plan.is_stormy or is_late):
                yield f"admitted out of order: {name_of(spoken[one.trigger])}"


def _leftovers(found: Observations) -> Iterator[str]:
    """Nothing is at work or half done when the gateway has stopped."""
    if found.model.open_runs:
        yield f"{found.model.open_runs} model requests are still open"
    yield from found.model.forgotten
    for table, where in (("turns", "ended_at = 0"), ("outbox", "state IN ('queued', 'sending')")):
        rows = found.house.rows(f"SELECT id FROM {table} WHERE {where}")
        if rows:
            yield f"{len(rows)} rows of {table} are unfinished: {rows[0][0]}"


def _place_kicked(found: Observations, post: records.Post) -> bool:
    return any(found.town.places[place].id == post.channel_id for _, place in found.town.kicks)


def _answers_the_withdrawn(found: Observations, post: records.Post) -> bool:
    """A whole answer that was out before its question was withdrawn."""
    asked = [found.town.questions[number_of(token)] for token in tokens_in(post.message)]
    ended = [found.owed.get(question.post.id) for question in asked]
    is_withdrawn = any(question.is_deleted for question in asked)
    is_withdrawn = is_withdrawn or any(owed is not None and owed.state == "cancelled" for owed in ended)
    return (is_withdrawn and "(end " in post.message) or _tells_of_the_withdrawn(found, post)


def _tells_of_the_withdrawn(found: Observations, post: records.Post) -> bool:
    """Words in the place of an answer, which were out before their question was withdrawn."""
    turn, _, part = key_of(post).rpartition(".")
    owed = [each for each in found.owed.values() if turn and each.turn == turn]
    asked = {question.post.id: question for question in found.town.questions}
    withdrawn = [asked[each.trigger] for each in owed if each.state == "cancelled" and each.trigger in asked]
    return (
        (part.isdigit() or part == "g")
        and 0 < len(owed) == len(withdrawn)
        and any(not found.model.failed.isdisjoint(question.tokens) for question in withdrawn)
    )
