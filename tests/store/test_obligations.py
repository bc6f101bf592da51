import pytest

from oc_trio.core.ledger import (
    Obligation,
    ObligationState,
    OutboxRow,
    Outcome,
    cancelled,
    delivered,
    failed,
    silent,
)
from oc_trio.ids import ObligationId
from oc_trio.store.notices import notice_id
from oc_trio.store.store import Store
from tests.store.rows import ACCOUNT, OTHER, admission, outgoing, post, turn

OUTCOMES = [
    pytest.param(delivered(post("a1"), post("a2")), id="delivered"),
    pytest.param(silent("nothing to say"), id="silent"),
    pytest.param(failed("the model is down", post("notice")), id="failed"),
    pytest.param(cancelled("anna"), id="cancelled"),
]


async def owe(store: Store, trigger: str) -> Obligation:
    admitted = await store.admission.admit(admission(trigger))
    assert admitted.obligation is not None
    return admitted.obligation


@pytest.mark.parametrize("outcome", OUTCOMES)
async def test_an_obligation_ends_once(store: Store, outcome: Outcome) -> None:
    """The first end is the one that stays."""
    owed = await owe(store, "p1")

    assert await store.obligations.close([owed.id], outcome, 50) == 1
    assert await store.obligations.close([owed.id], cancelled("somebody later"), 60) == 0

    ended = await store.obligations.get(owed.id)
    assert ended is not None
    assert (ended.state, ended.outcome_posts) == (outcome.state, outcome.posts)
    assert (ended.outcome_reason, ended.ended_at) == (outcome.reason, 50)
    assert await store.obligations.open_for(ACCOUNT) == ()


async def test_open_is_no_outcome(store: Store) -> None:
    """An obligation can't be closed into the open."""
    owed = await owe(store, "p1")

    with pytest.raises(ValueError):
        await store.obligations.close([owed.id], Outcome(ObligationState.OPEN), 50)


async def test_several_are_closed_together(store: Store) -> None:
    """Closing counts what moved and passes over what it doesn't know."""
    owed = [await owe(store, name) for name in ("p1", "p2", "p3")]

    moved = await store.obligations.close([owed[0].id, owed[2].id, ObligationId("none")], silent("merged"), 5)

    assert moved == 2
    assert await store.obligations.open_for(ACCOUNT) == (owed[1],)
    assert await store.obligations.close([], silent("nobody"), 5) == 0


async def test_reading_by_id_and_trigger(store: Store) -> None:
    """Both keys find the same obligation, of its own account only."""
    owed = await owe(store, "p1")

    assert await store.obligations.get(owed.id) == owed
    assert await store.obligations.by_trigger(ACCOUNT, "p1") == owed
    assert await store.obligations.by_trigger(OTHER, "p1") is None
    assert await store.obligations.get(ObligationId("none")) is None


async def test_an_obligation_shows_its_turn_and_draft(store: Store) -> None:
    """What a restart needs to go on in the same post is read with the obligation."""
    owed = await owe(store, "p1")
    await store.turns.begin(turn("t1"), [owed.id], 10)
    await store.turns.set_draft(turn("t1").id, post("draft"))

    bound = await store.obligations.get(owed.id)

    assert bound is not None
    assert (bound.turn, bound.draft, bound.attempts) == ("t1", "draft", 1)


async def test_an_edited_message_is_answered_as_edited(store: Store) -> None:
    """The new text counts as long as the answer is open."""
    owed = await owe(store, "p1")

    assert await store.obligations.revise(owed.id, "edited")
    await store.obligations.close([owed.id], silent("done"), 5)
    assert not await store.obligations.revise(owed.id, "too late")

    ended = await store.obligations.get(owed.id)
    assert ended is not None
    assert ended.payload == "edited"


async def test_an_excuse(store: Store) -> None:
    """What is open and was tried has been tried once less; other accounts' are left alone."""
    tried, fresh = await owe(store, "p1"), await owe(store, "p2")
    await store.turns.begin(turn("t1"), [tried.id], 10)
    assert await store.obligations.refund_attempt(OTHER) == 0
    assert await store.obligations.refund_attempt(ACCOUNT) == 1
    assert await store.obligations.refund_attempt(ACCOUNT) == 0
    rows = [await store.obligations.get(each.id) for each in (tried, fresh)]
    assert [row.attempts for row in rows if row is not None] == [0, 0]


def notice(first: Obligation) -> OutboxRow:
    return outgoing(notice_id(first.id))


async def test_an_end_and_its_words_are_one(store: Store) -> None:
    """The words are queued with the end, and their post is noted with all that they speak for."""
    owed = [await owe(store, name) for name in ("p1", "p2", "p3")]
    row, crowded = notice(owed[0]), failed("crowded out")

    assert await store.obligations.close_with_notice([owed[0].id, owed[1].id], crowded, 50, row) == 2
    assert [each.id for each in await store.outbox.unfinished(ACCOUNT)] == [row.id]
    await store.obligations.close([owed[2].id], crowded, 51)

    await store.outbox.mark_sending(row.id, 60)
    await store.outbox.confirm(row.id, post("n1"), 70)
    ended = [await store.obligations.get(each.id) for each in owed]
    assert [each.outcome_posts for each in ended if each] == [(post("n1"),), (post("n1"),), ()]


async def test_the_post_in_the_place_of_the_words(store: Store) -> None:
    """A post that replaces the notice is recorded with the obligation, as the notice would be."""
    owed = await owe(store, "p1")
    await store.obligations.close_with_notice([owed.id], failed("crowded out"), 50, notice(owed))
    row = outgoing(f"instead.{notice_id(owed.id)}")
    await store.outbox.put([row])
    await store.outbox.mark_sending(row.id, 60)
    await store.outbox.confirm(row.id, post("n1"), 70)
    ended = await store.obligations.get(owed.id)
    assert ended is not None
    assert ended.outcome_posts == (post("n1"),)


async def test_words_that_were_refused(store: Store) -> None:
    """An obligation whose notice was refused ends with a reason that says so."""
    owed = await owe(store, "p1")
    row = notice(owed)
    await store.obligations.close_with_notice([owed.id], failed("crowded out"), 50, row)
    await store.obligations.note_refusal(row.id, "crowded out; refused")
    ended = await store.obligations.get(owed.id)
    assert ended is not None
    assert ended.outcome_reason == "crowded out; refused"


async def test_nothing_is_said_of_what_has_ended(store: Store) -> None:
    """For an obligation that has ended already no notice is queued."""
    owed = await owe(store, "p1")
    await store.obligations.close([owed.id], cancelled("deleted"), 40)
    assert await store.obligations.close_with_notice([owed.id], failed("crowded out"), 50, notice(owed)) == 0
    assert await store.outbox.unfinished(ACCOUNT) == ()


async def test_words_are_not_named_after_what_has_ended(store: Store) -> None:
    """Their post could not be noted with the others: nothing is done, and who asks names them after an open one."""
    deleted, waiting = await owe(store, "p1"), await owe(store, "p2")
    await store.obligations.close([deleted.id], cancelled("deleted"), 40)
    ids, crowded = [deleted.id, waiting.id], failed("crowded out")
    assert await store.obligations.close_with_notice(ids, crowded, 50, notice(deleted)) == 0
    assert await store.obligations.still_open(ids) == {waiting.id}
    assert await store.outbox.unfinished(ACCOUNT) == ()
