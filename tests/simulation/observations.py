"""What a run leaves behind, for the checks: posts, obligations, the model's record."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import field, frozen

from oc_trio.core.final_plan import without_mark
from oc_trio.ids import AccountId
from oc_trio.sandbox import records
from tests.simulation.files import NOTE
from tests.simulation.fleet import Fleet
from tests.simulation.gateway_process import ACCOUNTS, GatewayProcess
from tests.simulation.intents import Plan
from tests.simulation.model import Model
from tests.simulation.model_output import heads
from tests.simulation.scenario import EPOCH_MS, Question, Scenario

# What a row about tool calls begins with; such rows are in posts of their own.
_WORK = "\N{JIGSAW PUZZLE PIECE} "

# The buttons of an answer whose text is posted already are in a post of their own.
_CHOICE = "Please choose:"


@frozen
class ObligationRow:
    """An obligation's row."""

    trigger: str
    session: str
    source: str
    state: str
    turn: str
    posts: tuple[str, ...]
    reason: str
    admitted_at: int
    ended_at: int
    serial: int


@frozen(eq=False)
class Observations:
    """What a run leaves behind of one bot."""

    scenario: Scenario
    model: Model
    process: GatewayProcess | Fleet
    plan: Plan
    faults_ended_at: float = 0.0
    obligations: dict[str, ObligationRow] = field(init=False)
    posts: list[records.PostRecord] = field(init=False)
    by_id: dict[str, records.PostRecord] = field(init=False)

    def __attrs_post_init__(self) -> None:
        set_ = object.__setattr__
        set_(
            self,
            "obligations",
            {
                obligation.trigger: obligation
                for obligation in _ledger(self.process, ACCOUNTS[self.scenario.bot.username])
            },
        )
        set_(self, "posts", self.scenario.bot_posts())
        set_(self, "by_id", {post.id: post for post in self.posts})

    def has_model_fault(self, obligation: ObligationRow) -> bool:
        """Whether the model may have said anything to this question, or to one that was answered with it."""
        if not self.model.faulted:
            return False
        numbers = {question.post.id: question.number for question in self.scenario.questions}
        same_turn = [each for each in self.obligations.values() if obligation.turn and each.turn == obligation.turn]
        return any(numbers.get(each.trigger) in self.model.faulted for each in (obligation, *same_turn))


def _ledger(process: GatewayProcess | Fleet, account: AccountId) -> Iterator[ObligationRow]:
    rows: list[Any] = process.rows(
        "SELECT trigger, session, source, state, coalesce(turn, ''), outcome_posts, outcome_reason, admitted_at,"
        f" ended_at, serial FROM obligations WHERE account = '{account}' ORDER BY serial"
    )
    for trigger, session, source, state, turn, posts, reason, admitted, ended, serial in rows:
        ids = tuple(re.findall(r"[a-z0-9]{26}", posts))
        yield ObligationRow(trigger, session, source, state, turn, ids, reason, admitted, ended, serial)


def tokens_in(text: str) -> list[str]:
    return [token for head in heads(text) for token in head]


def words_of(post: records.PostRecord) -> str:
    """What a post says of the answer: without signs of work and what is said of files, and without the mark of a turn
    that was cut off.
    """
    return "" if _WORK in post.message or post.message == _CHOICE else without_mark(NOTE.sub("", post.message))


def squeezed(text: str) -> str:
    return "".join(text.split())


def key_of(post: records.PostRecord) -> str:
    ours = post.props.get("oc_trio")
    return str(ours.get("k", "")) if isinstance(ours, dict) else ""


def name_of(question: Question) -> str:
    at = (question.post.create_at - EPOCH_MS) / 1000
    return f"#{question.number} ({question.author} in {question.place} at {at:.1f} s)"


def overtaken(one: ObligationRow, other: ObligationRow, by_post: Mapping[str, Question], skew_ms: int = 0) -> bool:
    """Whether `other` was answered first although `one` was taken in before it. A call and a post come by ways of
    their own: between them the order of asking is as good. Clocks may be `skew_ms` apart.
    """
    questions = by_post[one.trigger], by_post[other.trigger]
    is_either_way = any(question.is_call for question in questions)
    if is_either_way and questions[0].post.create_at > questions[1].post.create_at:
        return False
    return one.ended_at > other.ended_at + skew_ms
