import pytest

from oc_trio.core.ledger import delivered, silent
from oc_trio.core.turn_events import Usage
from oc_trio.ids import AgentId, OutboxId, TurnId
from oc_trio.store.admission import IGNORE
from oc_trio.store.retention import CHUNK, Retention
from oc_trio.store.sessions import SessionUse
from oc_trio.store.store import Store
from tests.store.rows import ACCOUNT, ANNA, BERT, ROOT, SESSION, TOWN, admission, outgoing, post, turn

LONG = 10**14  # years after everything that the tests write


async def fill(store: Store) -> None:
    """One ended and one open thing of every kind."""
    await store.sessions.touch(SessionUse(SESSION, ACCOUNT, TOWN, "root", AgentId("main"), 1))
    for number, name in enumerate(("done", "open")):
        admitted = await store.admission.admit(admission(name))
        assert admitted.obligation is not None
        await store.turns.begin(turn(f"t-{name}"), [admitted.obligation.id], 10)
        await store.outbox.put([outgoing(f"o-{name}", turn=TurnId(f"t-{name}"), seq=number)])
        await store.transcripts.append(SESSION, TurnId(f"t-{name}"), [name], 10)
        await store.turns.decide(turn(f"t-{name}"), "", Usage(1, 1, "m"), 10)
    await store.admission.admit(admission("ignored", decision=IGNORE, session=None))
    await store.outbox.mark_sending(OutboxId("o-done"), 11)
    await store.outbox.confirm(OutboxId("o-done"), post("a1"), 12)
    await store.turns.end(TurnId("t-done"), delivered(post("a1")), 13)
    await store.context.add(SESSION, post("c1"), "c1", 10, 50)
    await store.participation.record(ACCOUNT, TOWN, ROOT, 10)
    await store.claims.claim("button", "n", 10, 20)
    await store.pairing.request(ACCOUNT, ANNA, "@anna", "AAAA2222", 10, 1000, 3)
    await store.pairing.approve(ACCOUNT, "AAAA2222", 11)
    await store.pairing.request(ACCOUNT, BERT, "@bert", "BBBB3333", 10, 1000, 3)


async def test_what_is_owed_is_never_pruned(store: Store) -> None:
    """However old, an open obligation, its turn, its transcript and its queued post stay."""
    await fill(store)

    await store.prune(LONG)

    assert [item.trigger for item in await store.obligations.open_for(ACCOUNT)] == ["open"]
    assert [item.id for item in await store.turns.unfinished(ACCOUNT)] == ["t-open"]
    assert [row.id for row in await store.outbox.unfinished(ACCOUNT)] == ["o-open"]
    assert await store.transcripts.load(SESSION, 10) == ("open",)
    assert await store.admission.seen(ACCOUNT, ["done", "open", "ignored"]) == {"open"}
    assert await store.sessions.get(SESSION) is not None
    assert await store.pairing.approved(ACCOUNT) == {ANNA}
    assert len(await store.watermarks.all(ACCOUNT)) == 1


async def test_what_is_past_goes(store: Store) -> None:
    """Everything that has ended leaves no row behind, and pruning again finds nothing."""
    await fill(store)

    assert await store.prune(LONG) > 0

    assert await store.obligations.by_trigger(ACCOUNT, "done") is None
    assert await store.turns.get(TurnId("t-done")) is None
    assert await store.outbox.get(OutboxId("o-done")) is None
    assert await store.context.take(SESSION, LONG) == ()
    assert not await store.participation.active(ACCOUNT, TOWN, ROOT, 0)
    assert await store.usage.of_turn(TurnId("t-done")) == ()
    assert (await store.stats()).pairing_pending == 0
    assert await store.prune(LONG) == 0


async def test_what_is_young_stays(store: Store) -> None:
    """No row is deleted before its retention is over."""
    await fill(store)

    assert await store.prune(15) == 0

    assert await store.admission.seen(ACCOUNT, ["done", "open", "ignored"]) == {"done", "open", "ignored"}


async def test_a_trigger_is_remembered_as_long_as_its_obligation(store: Store) -> None:
    """A short memory for what was seen doesn't open a door for a second answer."""
    await fill(store)

    await store.prune(10_000, Retention(seen_ms=1, ended_ms=LONG))

    again = await store.admission.admit(admission("done"))
    assert (again.fresh, again.obligation) == (False, None)


@pytest.mark.slow
async def test_rows_are_bounded_too(store: Store) -> None:
    """Beyond the bound the oldest go, more of them than one transaction deletes."""
    surplus = CHUNK + 10
    posts = [admission(f"p{at}", decision=IGNORE, session=None, at=at) for at in range(surplus + 5)]
    for each in posts:
        await store.admission.admit(each)
    await store.transcripts.append(SESSION, TurnId("t"), ["old"], 1)
    await store.transcripts.append(SESSION, TurnId("t"), ["new"], 2)

    assert await store.prune(surplus, Retention(seen_rows=5, transcript_rows=1)) == surplus + 1

    assert (await store.stats()).seen == 5
    assert await store.admission.seen(ACCOUNT, [f"p{surplus}", f"p{surplus - 1}"]) == {f"p{surplus}"}
    assert await store.transcripts.load(SESSION, 10) == ("new",)


async def test_stats_count(store: Store) -> None:
    """Status shows what is owed and what is stuck."""
    await fill(store)
    await store.outbox.put([outgoing("o-dead"), outgoing("o-sending")])
    await store.outbox.mark_dead(OutboxId("o-dead"), "403", 5)
    await store.outbox.mark_sending(OutboxId("o-sending"), 5)
    await store.obligations.close([], silent(""), 1)

    stats = await store.stats()

    assert stats.database in ("sqlite", "postgres")
    assert (stats.seen, stats.open_obligations, stats.unfinished_turns) == (3, 1, 1)
    assert (stats.outbox_queued, stats.outbox_sending, stats.outbox_dead) == (1, 1, 1)
    assert (stats.sessions, stats.transcript_entries, stats.pairing_pending) == (1, 2, 1)
