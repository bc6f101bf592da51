"""Rows as a gateway would write them, with the particulars that a test cares about."""

import sqlite3
from pathlib import Path
from typing import Any

from oc_trio.core.ledger import OutboxKind, OutboxRow, Source
from oc_trio.ids import AccountId, ChannelId, OutboxId, PostId, SessionKey, ThreadRoot, TurnId, UserId
from oc_trio.store.admission import ADMIT, Admission
from oc_trio.store.turns import Turn

Location = Path | str | sqlite3.Connection

ACCOUNT = AccountId("default")
OTHER = AccountId("second")
TOWN = ChannelId("town")
LAB = ChannelId("lab")
ANNA = UserId("anna")
BERT = UserId("bert")
SESSION = SessionKey("mattermost:town:root")
ROOT = ThreadRoot("root")


def admission(trigger: str, **particulars: Any) -> Admission:
    given: dict[str, Any] = {
        "account": ACCOUNT,
        "trigger": trigger,
        "channel_id": TOWN,
        "user_id": ANNA,
        "root_id": "",
        "create_at": 1000,
        "source": Source.LIVE,
        "decision": ADMIT,
        "reason": "mentioned",
        "session": SESSION,
        "payload": '{"text": "hello"}',
        "at": 1005,
    }
    return Admission(**(given | particulars))


def turn(name: str, **particulars: Any) -> Turn:
    given: dict[str, Any] = {
        "id": TurnId(name),
        "account": ACCOUNT,
        "session": SESSION,
        "channel_id": TOWN,
        "root_id": "root",
    }
    return Turn(**(given | particulars))


def outgoing(name: str, **particulars: Any) -> OutboxRow:
    given: dict[str, Any] = {
        "id": OutboxId(name),
        "account": ACCOUNT,
        "channel_id": TOWN,
        "root_id": "",
        "kind": OutboxKind.FINAL,
        "body": '{"message": "hi"}',
        "pending_post_id": f"pending-{name}",
        "created_at": 1000,
    }
    return OutboxRow(**(given | particulars))


def post(name: str) -> PostId:
    return PostId(name)
