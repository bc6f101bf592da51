"""Pairing: the codes that unknown users get by direct message, and the replies that tell them what to do.

An operator approves a code with `oc-trio pairing approve`; that permits direct messages only. `store.pairing` keeps the
requests and approvals, with the limits of `PairingPolicy`.
"""

from collections.abc import Callable

from oc_trio.classes import frozen
from oc_trio.ids import AccountId, UserId

ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # 32 symbols: neither 0 and O nor 1 and I
# 40 bits: a code that was mistyped or made up is nobody's.
CODE_LENGTH = 8
# Nearly every code is free, so that more than a few draws mean a broken source of random numbers.
_TRIES = 500


@frozen
class PairingPolicy:
    """`ttl_ms` counts from the first message; later messages don't extend it."""

    # OpenClaw's limits: the operator's list stays short, and is empty an hour after the last stranger.
    ttl_ms: int = 3600 * 1000
    max_pending: int = 3


def new_code(draw: Callable[[int], int], *, taken: frozenset[str]) -> str:
    """A code that is not taken. Raises RuntimeError if the random source keeps giving taken ones.

    `draw(n)` gives a number in [0, n) from a cryptographic source.
    """
    for _ in range(_TRIES):
        code = "".join(ALPHABET[draw(len(ALPHABET))] for _ in range(CODE_LENGTH))
        if code not in taken:
            return code
    raise RuntimeError("the random source gives no new pairing code")


def normalise_code(code: str) -> str:
    """A code as a person typed it, in the form in which codes are compared."""
    return code.strip().upper()


FULL = (
    "oc_trio: access not configured, and too many people wait for approval already. "
    "Please try again in an hour, or ask the bot owner."
)
# The user was approved between the access check and this reply.
APPROVED = "You were just approved. Please try again."


def reply_text(user_id: UserId, code: str, *, account: AccountId | None = None) -> str:
    """The reply to an unknown user; `account` is given if the command needs the option."""
    option = f" --account {account}" if account else ""
    return (
        "oc_trio: access not configured.\n"
        "\n"
        f"Your Mattermost user id: {user_id}\n"
        "Pairing code:\n"
        f"```\n{code}\n```\n"
        "\n"
        "Ask the bot owner to approve with:\n"
        f"```\noc-trio pairing approve mattermost {code}{option}\n```"
    )
