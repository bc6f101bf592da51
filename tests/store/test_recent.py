from pathlib import Path

from attrs import evolve

import oc_trio
from oc_trio.core.events import ChannelType
from oc_trio.core.inbound import InboundMessage
from oc_trio.core.ledger import Source, cancelled, delivered, failed
from oc_trio.ids import AgentId, ObligationId, OutboxId, PostId, TurnId
from oc_trio.store.admission import DENY, obligation_id
from oc_trio.store.recent import MAX_ROWS, MINUTE_MS, NOT_FOR_THE_BOT
from oc_trio.store.store import Store
from tests.store.rows import ACCOUNT, ANNA, OTHER, SESSION, TOWN, admission, outgoing, turn

MESSAGE = InboundMessage(
    ACCOUNT, "p1", Source.LIVE, TOWN, ChannelType.OPEN, ANNA, "anna", "hello", SESSION, AgentId("main")
)


async def admitted(store: Store, trigger: str, at: int) -> ObligationId:
    payload = evolve(MESSAGE, trigger=trigger).to_json()
    await store.admission.admit(admission(trigger, payload=payload, at=at))
    return obligation_id(ACCOUNT, trigger)


async def test_what_ended_lately(store: Store) -> None:
    """The newest first, with who asked, how it ended and why; a payload that can't be read costs the name only."""
    first, second = await admitted(store, "p1", 1000), await admitted(store, "p2", 2000)
    await store.admission.admit(admission("p3", at=3000))
    await store.obligations.close([first], delivered(PostId("x")), 5000)
    await store.obligations.close([second], failed("no model"), 7000)
    await store.obligations.close([obligation_id(ACCOUNT, "p3")], cancelled("stopped"), 6000)
    rows = (await store.recent.read(0)).ended
    assert [
        (row.message.user_name if row.message else "", row.state, row.reason, row.admitted_at, row.ended_at)
        for row in rows
    ] == [
        ("anna", "failed", "no model", 2000, 7000),
        ("", "cancelled", "stopped", 3000, 6000),
        ("anna", "delivered", "", 1000, 5000),
    ]


async def test_only_so_many_rows(store: Store) -> None:
    """The list is bounded, and has the newest rows."""
    for number in range(MAX_ROWS + 5):
        item = await admitted(store, f"p{number}", number)
        await store.obligations.close([item], delivered(), 100 + number)
    rows = (await store.recent.read(0)).ended
    assert [row.ended_at for row in rows] == list(range(100 + MAX_ROWS + 4, 104, -1))


async def test_who_was_refused(store: Store) -> None:
    """With the reason, since a time; what was only not meant for the bot is left out."""
    await store.admission.admit(admission("old", decision=DENY, reason="not_allowed", session=None, at=5))
    await store.admission.admit(admission("new", decision=DENY, reason="group_closed", session=None, at=50))
    for reason in NOT_FOR_THE_BOT:
        await store.admission.admit(admission(reason, decision="ignore", reason=reason, session=None, at=60))
    rows = (await store.recent.read(10)).refused
    assert [(row.trigger, row.user_id, row.reason, row.at) for row in rows] == [("new", ANNA, "group_closed", 50)]


async def test_posts_that_are_tried_again(store: Store) -> None:
    """Those that had no answer yet are not among them, nor those that were posted."""
    await store.outbox.put([outgoing(name, account=OTHER, pending_post_id=name) for name in ("new", "bad", "done")])
    for name in ("bad", "done"):
        await store.outbox.mark_sending(OutboxId(name), 5)
        await store.outbox.requeue(OutboxId(name), "502")
    await store.outbox.mark_sending(OutboxId("done"), 6)
    await store.outbox.confirm(OutboxId("done"), PostId("x"), 7)
    rows = (await store.recent.read(0)).waiting
    assert [(row.outbox, row.account, row.attempts, row.error) for row in rows] == [("bad", OTHER, 1, "502")]


async def test_turns_by_the_minute(store: Store) -> None:
    """How many ended, how many of them failed, and how long they took; nothing before the time asked for."""
    for number, (seconds, outcome) in enumerate(((1, delivered()), (3, failed("no")), (8, delivered()))):
        item = await admitted(store, f"p{number}", 0)
        name = TurnId(f"t{number}")
        begin = MINUTE_MS * (1 if number == 2 else 3)
        await store.turns.begin(turn(name), [item], begin)
        await store.turns.end(name, outcome, begin + seconds * 1000)
    first, second = (await store.recent.read(0)).minutes
    assert (first.at, first.turns, first.failed, first.longest_seconds) == (MINUTE_MS, 1, 0, 8.0)
    assert (second.at, second.turns, second.failed) == (MINUTE_MS * 3, 2, 1)
    assert (second.mean_seconds, second.longest_seconds) == (2.0, 3.0)
    assert (await store.recent.read(MINUTE_MS * 2)).minutes == (second,)


def test_reasons_exist() -> None:
    """Those that are left out are reasons that the decisions give."""
    core = Path(oc_trio.__file__).parent / "core"
    sources = "".join((core / f"{module}.py").read_text("utf-8") for module in ("access", "gating"))
    assert [reason for reason in NOT_FOR_THE_BOT if f'"{reason}"' not in sources] == []
