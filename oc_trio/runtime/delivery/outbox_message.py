"""The outgoing message: a post to be delivered, and its conversion to and from a row of the outbox."""

import json
from collections.abc import Mapping
from typing import Any

from attrs import field

from oc_trio.classes import frozen
from oc_trio.core.entities import NewPost
from oc_trio.core.ledger import OutboxKind, OutboxRow
from oc_trio.core.post_marker import ANSWERS, KEY, MARKER
from oc_trio.errors import MattermostRejected
from oc_trio.ids import AccountId, ChannelId, FileId, OutboxId, PostId, TurnId, UserId
from oc_trio.mattermost.post_creator import WAS_DELETED
from oc_trio.store.damage import reading

# Messages that one post is said to answer: a turn may have collected more, of which nobody asks after a restore.
MAX_ANSWERS = 20
# The status of a refusal that is raised again from its row, which does not keep the original one.
REPEATED = 0


@frozen
class OutboxMessage:
    """A post to be delivered. `id` is its identity across restarts; `root_id` is empty for the channel itself.

    `answers` are the messages that it answers. `to_user` is given instead of `channel_id` where the direct channel is
    still to be opened.
    """

    id: OutboxId
    channel_id: ChannelId
    message: str
    kind: OutboxKind
    root_id: str = ""
    turn: TurnId | None = None
    seq: int = 0
    props: Mapping[str, Any] = field(factory=dict, hash=False)
    file_ids: tuple[FileId, ...] = ()
    to_user: str = ""
    answers: tuple[PostId, ...] = ()


def row_of(message: OutboxMessage, account: AccountId, bot_id: UserId, now: int) -> OutboxRow:
    """The message as a queued row; its pending id and its marker are made of its id."""
    # The server forgets a pending id after 30 s, while the marker stays in the post.
    marker: dict[str, str] = {KEY: message.id}
    if message.answers:
        marker[ANSWERS] = " ".join(message.answers[:MAX_ANSWERS])
    marked = {**message.props, MARKER: marker}
    body = {"message": message.message, "props": marked, "file_ids": list(message.file_ids)}
    return OutboxRow(
        id=message.id,
        account=account,
        channel_id=message.channel_id,
        root_id=message.root_id,
        kind=message.kind,
        body=json.dumps(body, ensure_ascii=False, separators=(",", ":")),
        # Made of the row's id and not random: after a restart the same message has the same key at the server. The
        # bot's id comes first as in Mattermost's own clients, where it is the user's.
        pending_post_id=f"{bot_id}:{message.id}",
        created_at=now,
        turn=message.turn,
        seq=message.seq,
        to_user=message.to_user,
    )


def post_of(message: OutboxMessage, row: OutboxRow) -> NewPost:
    """The request for a message and its row: the text may have grown since (a draft), the pending id stays."""
    with reading("outbox", f"id {row.id}"):
        props = json.loads(row.body).get("props", {})
    channel_id = message.channel_id or ChannelId(row.channel_id)
    return NewPost(channel_id, message.message, message.root_id, row.pending_post_id, props, message.file_ids)


def refusal_of(row: OutboxRow) -> MattermostRejected:
    """Why a message is dead. The row keeps the server's text with its error id, which tells a deletion."""
    return MattermostRejected(row.error, status=REPEATED, code=WAS_DELETED if WAS_DELETED in row.error else "")


def outbox_message_of(row: OutboxRow) -> OutboxMessage:
    """The message of a row that an earlier run wrote."""
    with reading("outbox", f"id {row.id}"):
        body = json.loads(row.body)
        text = body["message"]
    return OutboxMessage(
        id=row.id,
        channel_id=ChannelId(row.channel_id),
        message=text,
        kind=row.kind,
        root_id=row.root_id,
        turn=row.turn,
        seq=row.seq,
        props=body.get("props", {}),
        file_ids=tuple(FileId(file_id) for file_id in body.get("file_ids", ())),
        to_user=row.to_user,
    )
