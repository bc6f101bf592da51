import pytest

from oc_trio.core.ledger import ObligationState, Outcome, cancelled, delivered, silent
from oc_trio.errors import StoreError
from oc_trio.ids import ObligationId, ThreadRoot, TurnId
from oc_trio.store.store import Store
from oc_trio.store.turns import TurnEnd
from tests.store.rows import ACCOUNT, OTHER, admission, post, turn

T1, T2 = TurnId("t1"), TurnId("t2")


async def owe(store: Store, *triggers: str) -> list[ObligationId]:
    admitted = [await store.admission.admit(admission(name)) for name in triggers]
    return [item.obligation.id for item in admitted if item.obligation is not None]


async def test_merged_messages_share_a_turn_and_its_end(store: Store) -> None:
    """The end of a turn ends all its obligations in the same way and at the same time."""
    owed = await owe(store, "p1", "p2")

    assert await store.turns.begin(turn("t1"), owed, 10) == tuple(owed)
    [unfinished] = await store.turns.unfinished(ACCOUNT)
    assert (unfinished.obligations, unfinished.begun_at, unfinished.outcome) == (tuple(owed), 10, None)

    assert await store.turns.end(T1, delivered(post("a1")), 20) == 2

    assert await store.turns.unfinished(ACCOUNT) == ()
    ended = await store.turns.get(T1)
    assert ended is not None
    assert (ended.outcome, ended.ended_at) == (delivered(post("a1")), 20)
    for obligation in owed:
        row = await store.obligations.get(obligation)
        assert row is not None
        assert (row.state, row.outcome_posts, row.ended_at) == (ObligationState.DELIVERED, ("a1",), 20)


async def test_a_turn_ends_once(store: Store) -> None:
    """A second end changes neither the turn nor what it owed."""
    await store.turns.begin(turn("t1"), await owe(store, "p1"), 10)
    await store.turns.end(T1, silent("nothing to say"), 20)

    assert await store.turns.end(T1, cancelled("late"), 30) == 0

    ended = await store.turns.get(T1)
    assert ended is not None
    assert ended.outcome == silent("nothing to say")


async def test_an_answered_turn_ends_with_its_place_in_transcript_and_thread(store: Store) -> None:
    """All of it or nothing: where its entries can't be read, it has not ended."""
    begun = turn("t1")
    await store.turns.begin(begun, await owe(store, "p1"), 10)
    await store.transcripts.append(begun.session, T1, ["asked"], 11)

    def answer(rows: tuple[str, ...]) -> str:
        assert rows == ("asked",)
        return "answered"

    def damaged(_rows: tuple[str, ...]) -> str:
        raise StoreError("row 1 is damaged")

    with pytest.raises(StoreError):
        await store.turns.finish(TurnEnd(begun, delivered(post("a1")), 20, damaged, "root"))
    assert not await store.participation.active(ACCOUNT, begun.channel_id, ThreadRoot("root"), 0)
    assert len(await store.turns.unfinished(ACCOUNT)) == 1

    await store.turns.finish(TurnEnd(begun, delivered(post("a1")), 20, answer, "root"))

    assert await store.transcripts.of_turn(T1) == ("asked", "answered")
    assert await store.participation.active(ACCOUNT, begun.channel_id, ThreadRoot("root"), 20)
    ended = await store.turns.get(T1)
    assert ended is not None
    assert ended.outcome == delivered(post("a1"))


async def test_a_turn_can_not_end_open(store: Store) -> None:
    """The end of a turn is a terminal outcome."""
    with pytest.raises(ValueError):
        await store.turns.end(T1, Outcome(ObligationState.OPEN), 1)


async def test_what_has_ended_is_not_bound(store: Store) -> None:
    """A turn binds only what is still owed."""
    first, second = await owe(store, "p1", "p2")
    await store.obligations.close([first], cancelled("deleted"), 5)

    assert await store.turns.begin(turn("t1"), [first, second], 10) == (second,)


async def test_a_turn_goes_on_after_a_restart(store: Store) -> None:
    """Beginning a turn anew keeps its draft and final and counts the attempt."""
    owed = await owe(store, "p1")
    await store.turns.begin(turn("t1"), owed, 10)
    await store.turns.set_draft(T1, post("d1"))
    await store.turns.set_final(T1, '{"text": "decided"}')

    await store.turns.begin(turn("t1"), owed, 99)

    again = await store.turns.get(T1)
    assert again is not None
    assert (again.draft, again.final, again.begun_at) == ("d1", '{"text": "decided"}', 10)
    bound = await store.obligations.get(owed[0])
    assert bound is not None
    assert bound.attempts == 2


async def test_a_turn_that_was_interrupted_on_purpose(store: Store) -> None:
    """What it owes counts as not tried; what has ended keeps its count."""
    owed = await owe(store, "p1", "p2")
    await store.turns.begin(turn("t1"), owed, 10)
    await store.obligations.close([owed[1]], silent("nothing to say"), 20)

    await store.turns.reset_attempts(T1)

    rows = [await store.obligations.get(each) for each in owed]
    assert [row.attempts for row in rows if row is not None] == [0, 1]


async def test_a_turn_that_ended_does_not_begin_again(store: Store) -> None:
    """An obligation bound to it would be open for ever: a restart looks at unfinished turns only."""
    first, second = await owe(store, "p1", "p2")
    await store.turns.begin(turn("t1"), [first], 10)
    await store.turns.end(T1, silent("nothing to say"), 20)

    with pytest.raises(StoreError, match="t1 has ended"):
        await store.turns.begin(turn("t1"), [second], 30)

    row = await store.obligations.get(second)
    assert row is not None
    assert (row.turn, row.attempts) == (None, 0)


async def test_only_what_is_still_owed_is_taken_over(store: Store) -> None:
    """A turn whose message was closed meanwhile goes on: nothing was taken from it, and no other begins."""
    owed = await owe(store, "p1")
    await store.turns.begin(turn("t1"), owed, 10)
    await store.obligations.close(owed, cancelled("deleted"), 15)

    assert await store.turns.begin(turn("t2"), owed, 20) == ()

    assert [item.id for item in await store.turns.unfinished(ACCOUNT)] == ["t1"]


async def test_a_new_turn_takes_over(store: Store) -> None:
    """A turn that owes nothing any more because another took it over isn't resumed."""
    owed = await owe(store, "p1", "p2")
    await store.turns.begin(turn("t1"), owed, 10)

    await store.turns.begin(turn("t2", draft=post("d1")), owed[:1], 20)
    assert [item.id for item in await store.turns.unfinished(ACCOUNT)] == ["t1", "t2"]

    await store.turns.begin(turn("t2"), owed, 30)
    [left] = await store.turns.unfinished(ACCOUNT)
    assert (left.id, left.draft, left.drafts, left.obligations) == ("t2", "d1", ("d1",), tuple(owed))
    first = await store.turns.get(T1)
    assert first is not None
    assert first.outcome == cancelled("superseded by t2")


async def test_drafts_are_remembered_when_the_draft_is_gone(store: Store) -> None:
    """Block mode writes several previews; each stays known."""
    await store.turns.begin(turn("t1"), await owe(store, "p1"), 10)
    for draft in (post("d1"), post("d2"), None, post("d2")):
        await store.turns.set_draft(T1, draft)

    row = await store.turns.get(T1)

    assert row is not None
    assert (row.draft, row.drafts) == ("d2", ("d1", "d2"))


async def test_unfinished_turns_are_per_account(store: Store) -> None:
    """One account never resumes the work of another."""
    await store.turns.begin(turn("t1"), await owe(store, "p1"), 10)

    assert await store.turns.unfinished(OTHER) == ()
    assert await store.turns.get(TurnId("none")) is None
