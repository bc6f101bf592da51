"""Checks the promises at the end of a run: what the server shows, against what was asked and what the journal says."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator

from oc_trio.agent.tool_loop import NO_TEXT
from oc_trio.core.final_plan import INTERRUPTED, STOPPED
from oc_trio.runtime.conversation.cancel_reason import QUEUE_OVERFLOW
from oc_trio.sandbox import records
from tests.simulation.check_buttons import buttons
from tests.simulation.check_fallbacks import has_fallback, is_kept_preview, poisoned
from tests.simulation.check_history import remembered
from tests.simulation.check_jobs import KEY, jobs
from tests.simulation.check_texts import blocks, is_block_of_the_withdrawn, texts
from tests.simulation.files import files
from tests.simulation.hook_clients import notices
from tests.simulation.intents import ChangeFaultRates, FreezeSockets, LoseDatabase, Pause, RestartServer
from tests.simulation.model_output import number_of
from tests.simulation.observations import ObligationRow, Observations, key_of, name_of, overtaken, tokens_in
from tests.simulation.scenario import Question

# A half-open socket is noticed within 40 s; then comes a new connection, and a recheck of unanswered messages, which
# may fail for 30. An event, or the recheck at a start, counts at once, but for an answer that is on its way.
_NOTICED_SECONDS = 90.0
_EVENT_SECONDS = 10.0

NO_KEY = "a post carries no key"


def examine(observed: Observations) -> list[str]:
    """Every promise that was not kept, as a sentence."""
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
        jobs,
        poisoned,
        _foreign,
        _leftovers,
    )
    return [problem for check in checks for problem in check(observed)]


def _answered(observed: Observations) -> Iterator[str]:
    """Every admitted, addressed post has a terminal state, and what that state promises can be seen."""
    for question in observed.scenario.questions:
        name = name_of(question)
        obligation = observed.obligations.get(question.post.id)
        if obligation is None:
            is_meant = question.addressed == "yes" or _follows_us(observed, question)
            if is_meant and not (question.is_deleted or _kicked(observed, question)):
                yield f"{name} was never admitted"
            continue
        if question.addressed == "no":
            yield f"{name} was admitted although nobody spoke to the bot"
        match obligation.state:
            case "open":
                yield f"{name} is still open"
            case "delivered":
                yield from _delivered(observed, question, obligation)
            case "failed":
                yield from _failed(observed, question, obligation)
            case "silent":
                # After a tool call a model may end without text, and garbage from its server may read as just that.
                is_garbage = obligation.reason == NO_TEXT and observed.has_model_fault(obligation)
                if not (is_garbage or any(token.startswith(f"q{question.number}v") for token in observed.model.silent)):
                    yield f"{name} ended silently: {obligation.reason}"
            case "cancelled":
                if not _may_be_cancelled(observed, question, obligation):
                    yield f"{name} was cancelled without a reason that counts: {obligation.reason}"


def _follows_us(observed: Observations, question: Question) -> bool:
    """Whether it was said in a thread where an answer, or the beginning of one, could be seen already."""
    if question.addressed != "perhaps" or question.is_call or question.thread is None:
        return False
    turns = {obligation.turn for obligation in observed.obligations.values()}
    return any(
        post.root_id == question.post.root_id and post.create_at < question.post.create_at and not post.delete_at
        for post in observed.posts
        if key_of(post).partition(".")[0] in turns
    )


def _delivered(observed: Observations, question: Question, obligation: ObligationRow) -> Iterator[str]:
    shown = [observed.by_id[post] for post in obligation.posts if post in observed.by_id]
    if question.is_deleted:
        if _long_after(observed, question.deleted_at, f"q{question.number}v{question.version}"):
            yield f"{name_of(question)} was answered long after it had been deleted"
        return
    if not obligation.posts or len(shown) < len(obligation.posts):
        yield f"{name_of(question)} was delivered as posts that don't exist"
        return
    if any(post.delete_at for post in shown):
        if not observed.scenario.deleted_bot_posts & {post.id for post in shown}:
            yield f"the answer to {name_of(question)} was deleted"
        return
    if question.is_command or observed.has_model_fault(obligation):
        return
    tokens = tokens_in("\n".join(post.message for post in shown))
    own = [token for token in tokens if token.startswith(f"q{question.number}v")]
    if not own:
        yield f"{name_of(question)} was answered with something else: {shown[0].message[:60]!r}"
    elif int(own[0].partition("v")[2]) > question.version:
        yield f"{name_of(question)} was answered before it was asked"
    elif int(own[0].partition("v")[2]) < question.version and _long_after(observed, question.edited_at, own[0]):
        if _kicked(observed, question):
            return  # catch-up then begins at the joining, and a resumed connection sends the first version first
        yield f"{name_of(question)} was answered as it had read long before"


def _long_after(observed: Observations, at: float, token: str) -> bool:
    """Whether that answer was decided so long after that moment that it must have been known."""
    is_deaf = observed.plan.has_network_faults or any(
        isinstance(intent, FreezeSockets) for _, intent in observed.plan.intents
    )
    seconds = _NOTICED_SECONDS if is_deaf else _EVENT_SECONDS
    return at >= 0.0 and observed.model.said_at.get(token, 0.0) > at + seconds


def _failed(observed: Observations, question: Question, obligation: ObligationRow) -> Iterator[str]:
    if question.is_deleted or _kicked(observed, question):
        return
    shown = [
        observed.by_id[post]
        for post in obligation.posts
        if post in observed.by_id and not observed.by_id[post].delete_at
    ]
    if not shown and not observed.scenario.deleted_bot_posts & set(obligation.posts):
        yield f"{name_of(question)} failed and nobody was told: {obligation.reason}"
    if not shown:
        return
    if observed.plan.cap and obligation.reason == QUEUE_OVERFLOW:
        return
    gave_up = "several tries" in " ".join(post.message for post in shown) or has_fallback(observed, obligation)
    if not gave_up and not any(token.startswith(f"q{question.number}v") for token in observed.model.failed):
        yield f"{name_of(question)} failed although its model did not: {obligation.reason}"


def _may_be_cancelled(observed: Observations, question: Question, obligation: ObligationRow) -> bool:
    if question.is_deleted or _kicked(observed, question):
        return True
    gone = [key_of(observed.by_id[post]) for post in observed.scenario.deleted_bot_posts if post in observed.by_id]
    if obligation.turn and any(key.startswith(f"{obligation.turn}.") for key in gone):
        return True  # deleted before its receipt reached us
    if observed.plan.queue == "interrupt" and any(
        other.session == obligation.session and other.serial > obligation.serial
        for other in observed.obligations.values()
    ):
        return True
    return any(place == question.place and at >= question.asked_at for at, place in observed.scenario.stops)


def _kicked(observed: Observations, question: Question) -> bool:
    """Whether the bot was removed from the place around that time; then only silence is promised."""
    return not question.was_member or observed.scenario.was_kicked(question.place)


def _once(observed: Observations) -> Iterator[str]:
    """No question is answered in two places, nor by two turns."""
    heads: defaultdict[int, list[records.PostRecord]] = defaultdict(list)
    answers = {post for obligation in observed.obligations.values() for post in obligation.posts}
    for post in observed.posts:
        # Where the bot was thrown out in between, it could not remove the preview of an answer that stands below it.
        is_stuck = _place_kicked(observed, post) and post.id not in answers
        if not (post.delete_at or is_stuck):
            for number in set(map(number_of, tokens_in(post.message))):
                heads[number].append(post)
    for number, posts in sorted(heads.items()):
        question = observed.scenario.questions[number]
        if number in observed.model.faulted and len({key_of(post).partition(".")[0] for post in posts}) == 1:
            continue  # what was said twice stands twice
        if len(posts) > 1 and not question.is_deleted:
            yield f"{name_of(question)} is answered {len(posts)} times"
        # A question that an agent kept silent on stays open in its conversation, which two bots may share.
        is_open = observed.plan.has_one_agent and not observed.model.silent.isdisjoint(question.tokens)
        if question.addressed == "no" and not is_open:
            yield f"{name_of(question)} was answered although nobody spoke to the bot"


def _keys(observed: Observations) -> Iterator[str]:
    """No post was made twice, unless somebody deleted the first one: who looks for it then finds none. Where a request
    may arrive after the server has forgotten its key, none stands twice; nor where a restart makes it forget the key
    while the lists don't have the post yet.
    """
    intents = [intent for _, intent in observed.plan.intents]
    rates = [intent.fault_rates for intent in intents if isinstance(intent, ChangeFaultRates)]
    forgets = any(isinstance(intent, RestartServer) for intent in intents)
    # A process that is paused right before it sends goes on with that.
    pauses = any(isinstance(intent, Pause) for intent in intents)
    held_up = pauses or any(each.late or (each.lag and forgets) for each in rates)
    missed = {key_of(post) for post in observed.posts if post.id in observed.scenario.deleted_bot_posts}
    posts = [post for post in observed.posts if not (post.delete_at and (held_up or key_of(post) in missed))]
    keys = Counter(key_of(post) for post in posts)
    for key, count in keys.items():
        if not key:
            yield NO_KEY
        elif count > 1:
            yield f"post {key} was made {count} times"


def _drafts(observed: Observations) -> Iterator[str]:
    """Nothing that was only a preview is left, except a sealed one of a turn that was cut off."""
    answer_ids = {post for obligation in observed.obligations.values() for post in obligation.posts}
    gone = {question.post.id for question in observed.scenario.questions if question.is_deleted}
    asked_for = {notice.id for notice in observed.scenario.notices}
    for post in observed.posts:
        if (
            post.delete_at
            or post.id in answer_ids
            or key_of(post) in asked_for
            or key_of(post).startswith(KEY)
            or post.root_id in gone
            or _place_kicked(observed, post)
        ):
            continue
        if post.message.endswith(INTERRUPTED):
            yield f"post {key_of(post)} still says that it was interrupted"
        elif is_block_of_the_withdrawn(observed, post) or is_kept_preview(observed, post):
            continue
        elif not (post.message.endswith(STOPPED) or _answers_the_withdrawn(observed, post)):
            yield f"a preview was left behind: {key_of(post)} {post.message[-60:]!r}"


def _order(observed: Observations) -> Iterator[str]:
    """In each conversation answers come in the order of the questions."""
    spoken = {question.post.id: question for question in observed.scenario.questions if not question.is_command}
    sessions: defaultdict[str, list[ObligationRow]] = defaultdict(list)
    for obligation in observed.obligations.values():
        if obligation.trigger in spoken and obligation.source != "edit" and obligation.state == "delivered":
            sessions[obligation.session].append(obligation)
    for obligations in sessions.values():
        for one, other in itertools.pairwise(obligations):
            if overtaken(one, other, spoken, observed.plan.skew_ms):
                names = f"{name_of(spoken[one.trigger])} after {name_of(spoken[other.trigger])}"
                yield f"answered out of order: {names}"
            asked_at = spoken[one.trigger].post.create_at, spoken[other.trigger].post.create_at
            is_kicked = _kicked(observed, spoken[one.trigger])  # catch-up then begins at the joining, a resume does not
            is_late = is_kicked or spoken[one.trigger].is_call or spoken[other.trigger].is_call  # it took its own way
            if asked_at[0] > asked_at[1] and not (observed.plan.has_network_faults or is_late):
                yield f"admitted out of order: {name_of(spoken[one.trigger])}"


def _foreign(observed: Observations) -> Iterator[str]:
    """What another gateway has posted with the same bot stays, whatever key it has."""
    for post in observed.scenario.foreign.values():
        if post.delete_at:
            yield f"another gateway's post was deleted: {key_of(post) or 'unmarked'}"


def _leftovers(observed: Observations) -> Iterator[str]:
    """Nothing is at work or half done when the gateway has stopped."""
    if observed.model.open_runs:
        yield f"{observed.model.open_runs} model requests are still open"
    if not any(isinstance(intent, LoseDatabase) and intent.hangs for _, intent in observed.plan.intents):
        yield from observed.model.forgotten  # else the journal could not be told of a call that had ended
    for table, where in (
        ("turns", "ended_at = 0"),
        ("outbox", "state IN ('queued', 'sending')"),
        ("relayed", "state <> 'ended'"),
    ):
        rows = observed.process.rows(f"SELECT id FROM {table} WHERE {where}")
        if rows:
            yield f"{len(rows)} rows of {table} are unfinished: {rows[0][0]}"


def _place_kicked(observed: Observations, post: records.PostRecord) -> bool:
    return any(observed.scenario.places[place].id == post.channel_id for _, place in observed.scenario.kicks)


def _answers_the_withdrawn(observed: Observations, post: records.PostRecord) -> bool:
    """A whole answer that was out before its question was withdrawn."""
    questions = [observed.scenario.questions[number_of(token)] for token in tokens_in(post.message)]
    ended = [observed.obligations.get(question.post.id) for question in questions]
    is_withdrawn = any(question.is_deleted for question in questions)
    is_withdrawn = is_withdrawn or any(
        obligation is not None and obligation.state == "cancelled" for obligation in ended
    )
    return (is_withdrawn and "(end " in post.message) or _tells_of_the_withdrawn(observed, post)


def _tells_of_the_withdrawn(observed: Observations, post: records.PostRecord) -> bool:
    """Words in the place of an answer, which were out before their question was withdrawn."""
    turn, _, part = key_of(post).rpartition(".")
    obligations = [each for each in observed.obligations.values() if turn and each.turn == turn]
    by_post = {question.post.id: question for question in observed.scenario.questions}
    withdrawn = [by_post[each.trigger] for each in obligations if each.state == "cancelled" and each.trigger in by_post]
    return (
        (part.isdigit() or part == "g")
        and 0 < len(obligations) == len(withdrawn)
        and any(not observed.model.failed.isdisjoint(question.tokens) for question in withdrawn)
    )
