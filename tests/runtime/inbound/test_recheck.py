"""What became of messages that are owed an answer."""

from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from attrs import define, evolve, field

from oc_trio.core.events import Post
from oc_trio.core.inbound import InboundMessage
from oc_trio.core.ledger import Obligation
from oc_trio.errors import MattermostError, MattermostRejected, MattermostUnavailable, StoreUnusable
from oc_trio.ids import AccountId, ChannelId, PostId, UserId
from oc_trio.runtime.clock import Clock
from oc_trio.runtime.conversation.cancel_reason import CancelReason
from oc_trio.runtime.error_boundary import ErrorBoundary
from oc_trio.runtime.inbound.recheck import RECHECK_SECONDS, find_changes, message_of
from oc_trio.telemetry.metrics import Metrics
from tests.runtime.conftest import run_in_no_time
from tests.runtime.conversation.test_mailbox import a_job

GONE, CLOSED = MattermostRejected("gone", status=404), MattermostRejected("no", status=403)
BROKEN, AWAY = MattermostRejected("what?", status=400), MattermostUnavailable("no connection")


@define(eq=False)
class Posts:
    """What the server has under each id: a text, an error, or seconds that it takes."""

    has: dict[str, str | MattermostError | float]
    fetched: list[str] = field(factory=list)
    lost_answers: int = 0

    async def get(self, post_id: PostId) -> Post:
        self.fetched.append(post_id)
        await trio.lowlevel.checkpoint()
        if self.lost_answers:
            self.lost_answers -= 1
            raise AWAY
        found = self.has[post_id]
        if isinstance(found, MattermostError):
            raise found
        if isinstance(found, float):
            await trio.sleep(found)
        return Post(post_id, ChannelId("c"), UserId("u"), str(found))


def an_admission(**has: str | MattermostError | float) -> Any:
    async def revised(post: Post, obligation: Obligation) -> InboundMessage:
        message = message_of(obligation)
        assert message is not None
        return message.with_text(post.message)

    services = SimpleNamespace(
        api=SimpleNamespace(posts=Posts(dict(has))),
        boundary=ErrorBoundary(AccountId("default"), Metrics()),
        clock=Clock(lambda: 0, Random(1)),
    )
    return SimpleNamespace(services=services, revised=revised)


def owed(name: str, **more: Any) -> Obligation:
    """A message `text of NAME` in a post of that name."""
    job = a_job(name)
    return evolve(job.obligation, payload=evolve(job.inbound, **{"post_id": name, **more}).to_json())


@pytest.mark.parametrize(
    ("found", "change"),
    [
        pytest.param("text of a", None, id="as it was"),
        pytest.param("other words", "other words", id="edited"),
        pytest.param(GONE, CancelReason.DELETED, id="deleted"),
        pytest.param(CLOSED, CancelReason.REMOVED, id="out of reach"),
        pytest.param(BROKEN, None, id="another refusal"),
        pytest.param(AWAY, None, id="unknown"),
    ],
)
@pytest.mark.trio(run=run_in_no_time)
async def test_what_became_of_it(found: str | MattermostError, change: CancelReason | str | None) -> None:
    """Only what is certain changes anything."""
    changed = await find_changes(an_admission(a=found), [owed("a")])
    changes = [change.text if isinstance(change, InboundMessage) else change for change in changed.values()]
    assert changes == ([] if change is None else [change])


@pytest.mark.trio(run=run_in_no_time)
async def test_a_lost_answer_is_asked_for_again() -> None:
    """A few of them don't make an edited message an unchanged one."""
    admission = an_admission(a="other words", b=GONE)
    admission.services.api.posts.lost_answers = 4
    found = await find_changes(admission, [owed("a"), owed("b")])
    assert len(found) == 2


@pytest.mark.trio(run=run_in_no_time)
async def test_a_server_that_is_away_holds_the_start_up_for_seconds() -> None:
    """Not for as long as a slow one."""
    began = trio.current_time()
    assert await find_changes(an_admission(a=AWAY), [owed("a")]) == {}
    assert 5 < trio.current_time() - began <= 10


async def test_a_command_keeps_its_words() -> None:
    """It is carried out as it was given, unless it is gone."""
    admission = an_admission(a="other words", b=GONE)
    found = await find_changes(admission, [owed("a", command="StopTurn"), owed("b", command="StopTurn")])
    assert list(found.values()) == [CancelReason.DELETED]


async def test_what_is_no_post_is_not_looked_for() -> None:
    """A click, a hook's prompt."""
    admission = an_admission()
    assert await find_changes(admission, [owed("a", post_id="")]) == {}
    assert admission.services.api.posts.fetched == []


async def test_a_record_that_can_not_be_read_is_damage() -> None:
    """A record that can't be read ends the gateway: it is neither skipped nor taken for unchanged."""
    damage = pytest.RaisesExc(StoreUnusable, match="the journal is damaged: a row of obligations, id ")
    with pytest.RaisesGroup(damage, flatten_subgroups=True):
        await find_changes(an_admission(), [evolve(owed("b"), payload="{")])


@pytest.mark.trio(run=run_in_no_time)
async def test_a_slow_server_holds_nobody_up() -> None:
    """What was found out by then counts."""
    began = trio.current_time()
    found = await find_changes(an_admission(a=GONE, b=1000.0), [owed("b"), owed("a")])
    assert (len(found), trio.current_time() - began) == (1, RECHECK_SECONDS)
