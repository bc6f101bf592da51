"""Reasons for which a turn is cancelled before its answer is complete, and which of them let it resume."""

from enum import Enum


class CancelReason(Enum):
    """The value is what the journal and `oc-trio explain` show."""

    STOPPED = "stopped"
    DELETED = "the message was deleted"
    EDITED = "the message was edited"
    WITHDRAWN = "one of its messages was taken back"
    REMOVED = "the bot was removed from the channel"
    RESET = "the session was reset"
    REPLACED = "a newer message replaced it"
    DRAIN = "shutdown"


# After these the turn is resumed in the same draft: its obligations stay open.
RESUMABLE = frozenset({CancelReason.DRAIN, CancelReason.EDITED, CancelReason.WITHDRAWN})

# Why a waiting message is dropped by the queue rules.
QUEUE_OVERFLOW = "too many messages were waiting"
