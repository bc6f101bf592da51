"""Ids are types, not strings: a channel id can't be passed where a post id is meant.

Mattermost ids are 26 characters of [a-z0-9] (tests/contract, "What is compared"); `is_mattermost_id` is the test.
"""

import re
from typing import NewType

PostId = NewType("PostId", str)
ThreadRoot = NewType("ThreadRoot", str)  # the id of a post that has no root_id itself
ChannelId = NewType("ChannelId", str)
UserId = NewType("UserId", str)
TeamId = NewType("TeamId", str)
FileId = NewType("FileId", str)
CommandId = NewType("CommandId", str)

AccountId = NewType("AccountId", str)
AgentId = NewType("AgentId", str)
SessionKey = NewType("SessionKey", str)
ObligationId = NewType("ObligationId", str)
OutboxId = NewType("OutboxId", str)
TurnId = NewType("TurnId", str)

_ID = re.compile(r"[a-z0-9]{26}")


def is_mattermost_id(text: str) -> bool:
    return _ID.fullmatch(text) is not None
