"""What is left after a run, for the checks to look at."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import field, frozen

from oc_trio.core.final_plan import unsealed
from oc_trio.ids import AccountId
from oc_trio.sandbox import records
from tests.simulation.files import NOTE
from tests.simulation.gateway_process import ACCOUNTS, GatewayProcess
from tests.simulation.intents import Plan
from tests.simulation.model import Model
from tests.simulation.model_output import heads
from tests.simulation.scenario import EPOCH_MS, Question, Scenario

# What a row of signs of work begins with; they stand in posts of their own.
_WORK = "\N{JIGSAW PUZZLE PIECE} "

# Buttons of an answer whose words are all out stand in a post of their own.
_CHOICE = "Please choose:"


@frozen
class Owed:
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
    """What is left after a run, of one bot's."""

    town: Scenario
    model: Model
    house: GatewayProcess
    plan: Plan
    calm_since: float = 0.0
    owed: dict[str, Owed] = field(init=False)
    posts: list[records.Post] = field(init=False)
    by_id: dict[str, records.Post] = field(init=False)

    def __attrs_post_init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "owed", {owed.trigger: owed for owed in _ledger(self.house, ACCOUNTS[self.town.bot.username])})
        set_(self, "posts", self.town.bot_posts())
        set_(self, "by_id", {post.id: post for post in self.posts})

    def is_betrayed(self, owed: Owed) -> bool:
        """Whether the model may have said anything to this question, or to one that was answered with it."""
        if not self.model.betrayed:
            return False
        numbers = {question.post.id: question.number for question in self.town.questions}
        mates = [each for each in self.owed.values() if owed.turn and each.turn == owed.turn]
        return any(numbers.get(each.trigger) in self.model.betrayed for each in (owed, *mates))


def _ledger(house: GatewayProcess, account: AccountId) -> Iterator[Owed]:
    rows: list[Any] = house.rows(
        "SELECT trigger, session, source, state, coalesce(turn, ''), outcome_posts, outcome_reason, admitted_at,"
        f" ended_at, serial FROM obligations WHERE account = '{account}' ORDER BY serial"
    )
    for trigger, session, source, state, turn, posts, reason, admitted, ended, serial in rows:
        ids = tuple(re.findall(r"[a-z0-9]{26}", posts))
        yield Owed(trigger, session, source, state, turn, ids, reason, admitted, ended, serial)


def tokens_in(text: str) -> list[str]:
    return [token for head in heads(text) for token in head]


def words_of(post: records.Post) -> str:
    """What a post says of the answer: without signs of work and what is said of files, and without the mark of a turn
    that was cut off.
    """
    return "" if _WORK in post.message or post.message == _CHOICE else unsealed(NOTE.sub("", post.message))


def squeezed(text: str) -> str:
    return "".join(text.split())


def key_of(post: records.Post) -> str:
    ours = post.props.get("oc_trio")
    return str(ours.get("k", "")) if isinstance(ours, dict) else ""


def name_of(question: Question) -> str:
    at = (question.post.create_at - EPOCH_MS) / 1000
    return f"#{question.number} ({question.author} in {question.place} at {at:.1f} s)"


def overtaken(one: Owed, other: Owed, asked: Mapping[str, Question]) -> bool:
    """Whether `other` was answered first although `one` was taken in before it. A call and a post come by ways of
    their own: between them the order of asking is as good.
    """
    questions = asked[one.trigger], asked[other.trigger]
    is_either_way = any(question.is_call for question in questions)
    if is_either_way and questions[0].post.create_at > questions[1].post.create_at:
        return False
    return one.ended_at > other.ended_at
