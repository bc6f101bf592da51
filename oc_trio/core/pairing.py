"""How a stranger is let in: a code by direct message, an approval by the operator. Grants direct messages only.

Owned: codes, limits, what follows what, the reply. Not owned: where requests are kept, and who may approve.
"""

from collections.abc import Callable, Iterable

from attrs import evolve, frozen

from oc_trio.ids import AccountId, UserId

ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # 32 symbols: neither 0 and O nor 1 and I
CODE_LENGTH = 8
_TRIES = 500


@frozen
class PairingPolicy:
    """`ttl_ms` counts from the first message; later ones don't prolong it."""

    ttl_ms: int = 3600 * 1000
    max_pending: int = 3


@frozen
class PairingRequest:
    """Somebody who wrote and waits for approval; times are milliseconds."""

    account: AccountId
    user_id: UserId
    code: str
    created_at: int
    last_seen_at: int
    username: str = ""


@frozen
class Asked:
    """What a message from a stranger led to: the requests now pending, and whether this one gets the reply."""

    pending: tuple[PairingRequest, ...]
    request: PairingRequest | None
    created: bool


@frozen
class Settled:
    """What an approval or a rejection led to; `request` None means that no such code is pending."""

    pending: tuple[PairingRequest, ...]
    request: PairingRequest | None


def ask(
    pending: Iterable[PairingRequest],
    policy: PairingPolicy,
    *,
    account: AccountId,
    user_id: UserId,
    username: str,
    now: int,
    draw: Callable[[int], int],
) -> Asked:
    """A stranger wrote: a new request with a code, or the one they have; no request once the account's cap is reached.

    `draw(n)` gives a number in [0, n) from a cryptographic source. `pending` may hold other accounts' requests.
    """
    alive = unexpired(pending, policy, now=now)
    for request in alive:
        if (request.account, request.user_id) == (account, user_id):
            seen = evolve(request, last_seen_at=now)
            return Asked(tuple(seen if other is request else other for other in alive), seen, created=False)
    if sum(request.account == account for request in alive) >= policy.max_pending:
        return Asked(alive, None, created=False)
    code = new_code(draw, taken=frozenset(request.code for request in alive))
    request = PairingRequest(account, user_id, code, now, now, username)
    return Asked((*alive, request), request, created=True)


def settle(
    pending: Iterable[PairingRequest], policy: PairingPolicy, code: str, *, account: AccountId | None, now: int
) -> Settled:
    """The request behind a code taken out of the pending ones; what is done with the user is the caller's."""
    alive = unexpired(pending, policy, now=now)
    wanted = normalise_code(code)
    for request in alive:
        if request.code == wanted and account in (None, request.account):
            return Settled(tuple(other for other in alive if other is not request), request)
    return Settled(alive, None)


def unexpired(pending: Iterable[PairingRequest], policy: PairingPolicy, *, now: int) -> tuple[PairingRequest, ...]:
    """The requests that can still be approved."""
    return tuple(request for request in pending if now - request.created_at < policy.ttl_ms)


def new_code(draw: Callable[[int], int], *, taken: frozenset[str]) -> str:
    """A code that is not taken. Raises RuntimeError if the source of randomness keeps giving the same."""
    for _ in range(_TRIES):
        code = "".join(ALPHABET[draw(len(ALPHABET))] for _ in range(CODE_LENGTH))
        if code not in taken:
            return code
    raise RuntimeError("the random source gives no new pairing code")


def normalise_code(code: str) -> str:
    """A code as typed by a person, in the form in which codes are compared."""
    return code.strip().upper()


FULL = (
    "oc_trio: access not configured, and too many people wait for approval already. "
    "Please try again in an hour, or ask the bot owner."
)
# Approved between the refusal and this answer.
APPROVED = "You were just approved. Please try again."


def reply_text(user_id: UserId, code: str, *, account: AccountId | None = None) -> str:
    """What the stranger reads; `account` is named where the command needs it."""
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
