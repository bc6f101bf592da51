import pytest
import trio

from oc_trio.core.ledger import ObligationState, Source, delivered
from oc_trio.store.admission import (
    BEFORE_FIRST_START,
    CONTEXT,
    DENY,
    IGNORE,
    NOT_HANDLED,
    Admission,
    obligation_id,
)
from oc_trio.store.context import ContextPost
from oc_trio.store.store import Store
from oc_trio.store.watermarks import WatermarkRow
from tests.store.rows import ACCOUNT, LAB, OTHER, SESSION, TOWN, admission, post


async def test_an_admitted_message_becomes_an_obligation(store: Store) -> None:
    """One call writes the decision, the obligation and the watermark."""
    admitted = await store.admission.admit(admission("p1", create_at=7, at=9))

    assert admitted.fresh
    assert admitted.obligation is not None
    assert await store.obligations.open_for(ACCOUNT) == (admitted.obligation,)
    assert (admitted.obligation.trigger, admitted.obligation.admitted_at) == ("p1", 9)
    assert admitted.obligation.state is ObligationState.OPEN
    assert await store.watermarks.all(ACCOUNT) == (WatermarkRow(TOWN, post("p1"), 7),)
    row = await store.admission.decision(ACCOUNT, "p1")
    assert row is not None
    assert (row.decision, row.reason, row.source, row.session) == ("admit", "mentioned", Source.LIVE, SESSION)


@pytest.mark.parametrize("decision", [CONTEXT, IGNORE, DENY])
async def test_what_is_not_admitted_owes_nothing(store: Store, decision: str) -> None:
    """The decision is remembered and the watermark moves, but there is no obligation."""
    admitted = await store.admission.admit(admission("p1", decision=decision, session=None))

    assert (admitted.fresh, admitted.obligation) == (True, None)
    assert await store.obligations.open_for(ACCOUNT) == ()
    assert await store.admission.seen(ACCOUNT, ["p1", "p2"]) == {"p1"}
    assert len(await store.watermarks.all(ACCOUNT)) == 1


@pytest.mark.parametrize("source", list(Source), ids=lambda source: source.value)
async def test_a_trigger_is_admitted_once(store: Store, source: Source) -> None:
    """Whatever way a message comes in again, it owes nothing new."""
    await store.admission.admit(admission("p1"))

    again = await store.admission.admit(admission("p1", source=source))

    assert (again.fresh, again.obligation) == (False, None)
    assert len(await store.obligations.open_for(ACCOUNT)) == 1


async def test_an_answered_trigger_stays_answered(store: Store) -> None:
    """A duplicate after the answer doesn't open the obligation again."""
    first = await store.admission.admit(admission("p1"))
    assert first.obligation is not None
    await store.obligations.close([first.obligation.id], delivered(post("a1")), 20)

    for source in (Source.CATCHUP, Source.EDIT):
        again = await store.admission.admit(admission("p1", source=source))
        assert again.obligation is None
    assert await store.obligations.open_for(ACCOUNT) == ()


EDITS = [
    pytest.param(CONTEXT, Source.EDIT, "admit", True, id="edit wakes what was context"),
    pytest.param(IGNORE, Source.EDIT, "admit", True, id="edit wakes what was ignored"),
    pytest.param(DENY, Source.EDIT, "admit", False, id="edit doesn't wake what was denied"),
    pytest.param(CONTEXT, Source.CATCHUP, "admit", False, id="catch-up doesn't wake what was decided"),
    pytest.param(CONTEXT, Source.EDIT, IGNORE, False, id="an edit that isn't admitted changes nothing"),
]


@pytest.mark.parametrize(("before", "source", "decision", "woken"), EDITS)
async def test_waking_by_edit(store: Store, before: str, source: Source, decision: str, woken: bool) -> None:
    """Only an edit wakes a message that was passed over, and only once."""
    await store.admission.admit(admission("p1", decision=before, session=None))
    edit = admission("p1", source=source, decision=decision, reason="edited", watermark=False)

    first, second = await store.admission.admit(edit), await store.admission.admit(edit)

    assert not first.fresh
    assert (first.obligation is not None) is woken
    assert second.obligation is None
    row = await store.admission.decision(ACCOUNT, "p1")
    assert row is not None
    assert row.decision == ("admit" if woken else before)


@pytest.mark.parametrize("reason", [BEFORE_FIRST_START, NOT_HANDLED])
async def test_what_is_ignored_for_good(store: Store, reason: str) -> None:
    """An edit doesn't wake a post that is older than the bot, or that the program failed at."""
    await store.admission.admit(admission("p1", decision=IGNORE, reason=reason, session=None))
    edit = await store.admission.admit(admission("p1", source=Source.EDIT, reason="edited", watermark=False))
    assert edit.obligation is None


async def test_accounts_are_separate(store: Store) -> None:
    """Two bots in one channel each decide about the same post."""
    mine = await store.admission.admit(admission("p1"))
    theirs = await store.admission.admit(admission("p1", account=OTHER))

    assert mine.obligation is not None
    assert theirs.obligation is not None
    assert mine.obligation.id != theirs.obligation.id


async def test_the_same_message_gets_the_same_id(store: Store) -> None:
    """An obligation's id is made from account and trigger alone."""
    admitted = await store.admission.admit(admission("p1"))

    assert admitted.obligation is not None
    assert admitted.obligation.id == obligation_id(ACCOUNT, "p1")


async def test_a_click_leaves_the_watermark_alone(store: Store) -> None:
    """Only posts of the channel move its watermark."""
    await store.admission.admit(admission("click-1", source=Source.BUTTON, watermark=False))

    assert await store.watermarks.all(ACCOUNT) == ()


BROKEN = [
    pytest.param(admission("p2", session=None), id="admitted without a session"),
    pytest.param(admission("p2", decision="perhaps"), id="unknown decision"),
]


@pytest.mark.parametrize("broken", BROKEN)
async def test_a_mistake_keeps_nothing(store: Store, broken: Admission) -> None:
    """Neither the post nor its watermark."""
    with pytest.raises(ValueError):
        await store.admission.admit(broken)

    assert await store.admission.seen(ACCOUNT, ["p2"]) == frozenset()
    assert await store.watermarks.all(ACCOUNT) == ()


async def test_no_triggers_are_seen_of_none(store: Store) -> None:
    """Asking about nothing is not an error."""
    assert await store.admission.seen(ACCOUNT, []) == frozenset()


async def test_racing_admissions_make_one_obligation(store: Store) -> None:
    """The live frame and the catch-up may bring the same post at the same time."""
    made = []

    async def one(source: Source) -> None:
        made.append((await store.admission.admit(admission("p1", source=source))).obligation)

    async with trio.open_nursery() as nursery:
        for source in (Source.LIVE, Source.CATCHUP) * 10:
            nursery.start_soon(one, source)

    assert len([item for item in made if item is not None]) == 1


async def test_unaddressed_posts_are_recorded_together(store: Store) -> None:
    """Each new one has its row and its context, known ones change nothing; each channel's watermark is its newest."""
    await store.admission.admit(admission("p2", create_at=20))
    rows = [("p1", 10, TOWN), ("p2", 20, TOWN), ("p3", 30, TOWN), ("p4", 25, TOWN), ("p5", 5, LAB)]
    items = [
        admission(name, create_at=at, channel_id=channel, decision=CONTEXT, reason="no_mention")
        for name, at, channel in rows
    ]
    contexts = {name: ContextPost(SESSION, post(name), name, at) for name, at, _ in rows if name != "p5"}

    fresh = await store.admission.record_unaddressed(items, contexts, 2)

    assert fresh == (True, False, True, True, True)
    assert await store.context.take(SESSION, 99) == ("p4", "p3")
    assert await store.watermarks.all(ACCOUNT) == (WatermarkRow(LAB, post("p5"), 5), WatermarkRow(TOWN, post("p3"), 30))
    row = await store.admission.decision(ACCOUNT, "p2")
    assert row is not None
    assert row.decision == "admit"
