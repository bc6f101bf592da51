from oc_trio.core.ledger import OutboxKind, delivered
from oc_trio.core.turn_events import Usage
from oc_trio.ids import OutboxId, TurnId
from oc_trio.store.admission import IGNORE
from oc_trio.store.store import Store
from tests.store.rows import ACCOUNT, OTHER, admission, outgoing, post, turn

T1 = TurnId("t1")


async def tell(store: Store) -> None:
    """Two merged messages, a draft that became one of two final posts; a second bot ignored the first message."""
    admitted = [await store.admission.admit(admission(name)) for name in ("p1", "p2")]
    await store.admission.admit(admission("p1", account=OTHER, decision=IGNORE, session=None, reason="no mention"))
    owed = [item.obligation.id for item in admitted if item.obligation is not None]
    await store.turns.begin(turn("t1"), owed, 10)
    await store.turns.set_draft(T1, post("draft"))
    rows = [outgoing("o1", turn=T1, seq=0, kind=OutboxKind.DRAFT), outgoing("o2", turn=T1, seq=1)]
    await store.outbox.put(rows)
    await store.outbox.mark_sending(OutboxId("o2"), 20)
    await store.outbox.confirm(OutboxId("o2"), post("final"), 21)
    await store.turns.decide(turn("t1"), "", Usage(10, 5, "big"), 22)
    await store.turns.end(T1, delivered(post("draft"), post("final")), 23)


async def test_the_life_of_a_message(store: Store) -> None:
    """A message leads to every account's decision, its turn, its posts and their cost."""
    await tell(store)

    life = await store.explain("p1")

    assert life is not None
    assert not life.ours
    assert [(item.account, item.decision, item.reason) for item in life.seen] == [
        (ACCOUNT, "admit", "mentioned"),
        (OTHER, "ignore", "no mention"),
    ]
    assert [item.trigger for item in life.obligations] == ["p1", "p2"]
    assert life.turn is not None
    assert (life.turn.drafts, life.turn.outcome) == (("draft",), delivered(post("draft"), post("final")))
    assert [row.id for row in life.outbox] == ["o1", "o2"]
    assert life.usage == (Usage(10, 5, "big"),)


async def test_the_life_of_a_post_of_ours(store: Store) -> None:
    """Draft, final, outbox id, key and turn id all lead back to the messages that were answered."""
    await tell(store)

    for name in ("draft", "final", "o2", "pending-o2", "t1"):
        life = await store.explain(name)
        assert life is not None, name
        assert life.ours
        assert life.turn is not None
        assert [item.trigger for item in life.seen] == ["p1", "p1", "p2"]


async def test_an_account_that_never_saw_it(store: Store) -> None:
    """Asked for one account, another's decision is no answer."""
    await store.admission.admit(admission("p1", decision=IGNORE, session=None, reason="no mention"))

    assert await store.explain("p1", OTHER) is None
    assert await store.explain("p1", ACCOUNT) is not None


async def test_a_message_that_was_passed_over(store: Store) -> None:
    """There is a decision with its reason, and nothing else."""
    await store.admission.admit(admission("p1", decision=IGNORE, session=None, reason="no mention"))

    life = await store.explain("p1")

    assert life is not None
    assert [item.reason for item in life.seen] == ["no mention"]
    assert (life.obligations, life.turn, life.outbox) == ((), None, ())


async def test_a_message_that_waits(store: Store) -> None:
    """An obligation without a turn is shown as it is."""
    await store.admission.admit(admission("p1"))

    life = await store.explain("p1")

    assert life is not None
    assert [item.attempts for item in life.obligations] == [0]
    assert life.turn is None


async def test_a_post_without_a_turn(store: Store) -> None:
    """A cron delivery has no turn, only its outbox row."""
    await store.outbox.put([outgoing("o1", kind=OutboxKind.MESSAGE)])
    await store.outbox.mark_sending(OutboxId("o1"), 1)
    await store.outbox.confirm(OutboxId("o1"), post("a1"), 2)

    life = await store.explain("a1")

    assert life is not None
    assert (life.ours, life.turn, [row.id for row in life.outbox]) == (True, None, ["o1"])


async def test_a_pairing_reply_leads_to_the_stranger(store: Store) -> None:
    """The reply is explained by the message that it answers, and the message by the reply."""
    await store.admission.admit(admission("p1", decision=IGNORE, session=None, reason="dm_policy_pairing_required"))
    await store.outbox.put([outgoing("pair.p1", kind=OutboxKind.NOTICE), outgoing("pair.p2")])
    await store.outbox.mark_sending(OutboxId("pair.p1"), 1)
    await store.outbox.confirm(OutboxId("pair.p1"), post("a1"), 2)

    for name, ours in (("p1", False), ("a1", True)):
        life = await store.explain(name)
        assert life is not None
        assert (life.ours, [item.reason for item in life.seen]) == (ours, ["dm_policy_pairing_required"])
        assert [row.id for row in life.outbox] == ["pair.p1"]


async def test_the_answer_to_a_command_leads_to_the_command(store: Store) -> None:
    """Chat commands have a claim on an answer, but no turn; what stands in for it leads there as well."""
    owed = (await store.admission.admit(admission("p1"))).obligation
    assert owed is not None
    await store.outbox.put([outgoing(f"{owed.id}.c", kind=OutboxKind.NOTICE)])
    await store.outbox.mark_sending(OutboxId(f"{owed.id}.c"), 1)
    await store.outbox.confirm(OutboxId(f"{owed.id}.c"), post("a1"), 2)
    await store.outbox.put([outgoing(f"instead.{owed.id}.c", kind=OutboxKind.NOTICE)])
    await store.outbox.mark_sending(OutboxId(f"instead.{owed.id}.c"), 3)
    await store.outbox.confirm(OutboxId(f"instead.{owed.id}.c"), post("a2"), 4)
    await store.obligations.close([owed.id], delivered(post("a1")), 5)

    for name, ours in (("p1", False), ("a1", True), ("a2", True)):
        life = await store.explain(name)
        assert life is not None
        assert (life.ours, [item.trigger for item in life.obligations]) == (ours, ["p1"])
        assert [row.post_id for row in life.outbox] == ["a1", "a2"]


async def test_an_unknown_post_has_no_life(store: Store) -> None:
    """What never reached us isn't explained by a guess."""
    await tell(store)

    assert await store.explain("unknown") is None
    assert await store.explain("%") is None
    assert await store.explain("_raft") is None
