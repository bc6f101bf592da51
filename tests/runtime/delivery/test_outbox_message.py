import json

from attrs import evolve

from oc_trio.core.ledger import OutboxKind, OutboxState
from oc_trio.ids import AccountId, ChannelId, FileId, OutboxId, TurnId, UserId
from oc_trio.mattermost.post_creator import WAS_DELETED
from oc_trio.runtime.delivery.outbox_message import OutboxMessage, outbox_message_of, post_of, refusal_of, row_of

LETTER = OutboxMessage(
    OutboxId("turn.0"),
    ChannelId("town"),
    "hello",
    OutboxKind.FINAL,
    "root",
    TurnId("turn"),
    3,
    {"attachments": []},
    (FileId("f1"),),
)


def test_a_message_as_a_row() -> None:
    """Key and marker are the message's id, which is what a later look goes by."""
    row = row_of(LETTER, AccountId("a"), UserId("bot"), 7)
    assert (row.id, row.pending_post_id, row.state, row.created_at) == ("turn.0", "bot:turn.0", OutboxState.QUEUED, 7)
    assert json.loads(row.body)["props"] == {"attachments": [], "oc_trio": {"k": "turn.0"}}


def test_a_row_as_a_post() -> None:
    """A restart sends what the message's sender would have sent."""
    row = row_of(LETTER, AccountId("a"), UserId("bot"), 7)
    assert post_of(outbox_message_of(row), row) == post_of(LETTER, row)
    assert evolve(outbox_message_of(row), props=LETTER.props) == LETTER


def test_a_draft_that_grew() -> None:
    """The text is the message's, the key the row's."""
    row = row_of(LETTER, AccountId("a"), UserId("bot"), 7)
    post = post_of(evolve(LETTER, message="hello there"), row)
    assert (post.message, post.pending_post_id) == ("hello there", "bot:turn.0")


def test_a_message_to_a_person() -> None:
    """Its channel is the row's, once that is known."""
    message = evolve(LETTER, channel_id=ChannelId(""), to_user="alice")
    row = evolve(row_of(message, AccountId("a"), UserId("bot"), 7), channel_id="direct")
    assert (post_of(message, row).channel_id, post_of(outbox_message_of(row), row).channel_id) == ("direct", "direct")


def test_a_dead_letter_tells_why() -> None:
    """In the server's words; whether they were about us is not known any more, a deletion still is."""
    row = evolve(row_of(LETTER, AccountId("a"), UserId("bot"), 7), state=OutboxState.DEAD, error="POST: 400 no")
    assert (str(refusal_of(row)), refusal_of(row).status, refusal_of(row).code) == ("POST: 400 no", 0, "")
    assert refusal_of(evolve(row, error=f"it is gone ({WAS_DELETED})")).code == WAS_DELETED
