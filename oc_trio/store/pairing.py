"""Pairing requests and approvals: who asked to send direct messages to the bot, and who may.

Only stores them; `core.access` decides who may talk to the bot.
"""

from enum import Enum

from attrs import field

from oc_trio.classes import frozen
from oc_trio.ids import AccountId, UserId
from oc_trio.store.engine import Engine, Row, Tx


@frozen
class PairingRow:
    """`approved_at` is 0 while pending; a pending request is void from `expires_at` on."""

    account: AccountId
    user_id: UserId
    name: str
    code: str = field(repr=False)
    requested_at: int
    expires_at: int
    approved_at: int = 0


class RequestState(Enum):
    """The result of a request. `PENDING`: the user had one already; `FULL`: the account has too many pending."""

    CREATED = "created"
    PENDING = "pending"
    FULL = "full"
    APPROVED = "approved"


@frozen
class Requested:
    """`code` is the valid code: the earlier one if `PENDING`, empty if `FULL` or `APPROVED`."""

    state: RequestState
    code: str = field(default="", repr=False)


SELECT = "SELECT account, user_id, name, code, requested_at, expires_at, approved_at FROM pairing"


def _lock(tx: Tx) -> None:
    """People ask at the process that serves the account; commands on any machine decide at the same time."""
    tx.lock("pairing")


def _request(
    tx: Tx, account: AccountId, user: UserId, name: str, code: str, at: int, ttl_ms: int, max_pending: int
) -> Requested:
    _lock(tx)
    # First, so that expired requests neither count towards the limit nor hand out an old code.
    tx.run("DELETE FROM pairing WHERE account = ? AND approved_at = 0 AND expires_at <= ?", account, at)
    row = tx.one(SELECT + " WHERE account = ? AND user_id = ?", account, user)
    if row:
        known = PairingRow(*row)
        return Requested(RequestState.APPROVED) if known.approved_at else Requested(RequestState.PENDING, known.code)
    # Bounded, because any user of the server can send requests.
    if tx.value("SELECT COUNT(*) FROM pairing WHERE account = ? AND approved_at = 0", account) >= max_pending:
        return Requested(RequestState.FULL)
    tx.run(
        "INSERT INTO pairing (account, user_id, name, code, requested_at, expires_at, approved_at)"
        " VALUES (?, ?, ?, ?, ?, ?, 0)",
        *(account, user, name, code, at, at + ttl_ms),
    )
    return Requested(RequestState.CREATED, code)


def _by_code(tx: Tx, account: AccountId | None, code: str) -> Row | None:
    """The pending request with that code; None also if two accounts happen to have the same code."""
    rows = tx.all(SELECT + " WHERE code = ? AND approved_at = 0", code)
    # Few rows, so that one statement serves both cases.
    rows = [row for row in rows if account is None or row[0] == account]
    return rows[0] if len(rows) == 1 else None


def _approve(tx: Tx, account: AccountId | None, code: str, at: int) -> PairingRow | None:
    _lock(tx)
    row = _by_code(tx, account, code)
    if row is None or PairingRow(*row).expires_at <= at:
        return None
    request = PairingRow(*row)
    # The code is cleared on use, so that a copy of it in a log or chat leads to nobody.
    tx.run(
        "UPDATE pairing SET approved_at = ?, code = '' WHERE account = ? AND user_id = ?",
        *(at, request.account, request.user_id),
    )
    return PairingRow(*tx.all(SELECT + " WHERE account = ? AND user_id = ?", request.account, request.user_id)[0])


def _grant(tx: Tx, account: AccountId, user: UserId, name: str, at: int) -> bool:
    _lock(tx)
    row = tx.one(SELECT + " WHERE account = ? AND user_id = ?", account, user)
    if row is not None and PairingRow(*row).approved_at:
        return False
    tx.run("DELETE FROM pairing WHERE account = ? AND user_id = ?", account, user)
    tx.run(
        "INSERT INTO pairing (account, user_id, name, code, requested_at, expires_at, approved_at)"
        " VALUES (?, ?, ?, '', ?, ?, ?)",
        # Without a code and expired at once: should it ever be read as a request, it is a void one.
        *(account, user, name, at, at, at),
    )
    return True


def _reject(tx: Tx, account: AccountId | None, code: str) -> PairingRow | None:
    _lock(tx)
    row = _by_code(tx, account, code)
    if row is None:
        return None
    tx.run("DELETE FROM pairing WHERE account = ? AND user_id = ?", row[0], row[1])
    return PairingRow(*row)


@frozen
class Pairing:
    """Creates, approves and revokes pairings. Codes are compared exactly: the caller normalises case."""

    _engine: Engine

    async def request(
        self, account: AccountId, user: UserId, name: str, code: str, at: int, ttl_ms: int, max_pending: int
    ) -> Requested:
        return await self._engine.run(lambda tx: _request(tx, account, user, name, code, at, ttl_ms, max_pending))

    async def pending(self, account: AccountId | None, now: int) -> tuple[PairingRow, ...]:
        """Requests that can still be approved, oldest first; account None means all accounts."""
        rows = await self._engine.run(
            lambda tx: tx.all(SELECT + " WHERE approved_at = 0 AND expires_at > ? ORDER BY requested_at, user_id", now)
        )
        return tuple(PairingRow(*row) for row in rows if account is None or row[0] == account)

    async def approve(self, account: AccountId | None, code: str, at: int) -> PairingRow | None:
        """None if no account, or more than one, has a request with that code, or if it has expired."""
        return await self._engine.run(lambda tx: _approve(tx, account, code, at))

    async def grant(self, account: AccountId, user: UserId, name: str, at: int) -> bool:
        """Let somebody in without a code, whether they asked or not; False when they were let in before."""
        return await self._engine.run(lambda tx: _grant(tx, account, user, name, at))

    async def reject(self, account: AccountId | None, code: str) -> PairingRow | None:
        return await self._engine.run(lambda tx: _reject(tx, account, code))

    async def revoke(self, account: AccountId, user: UserId) -> bool:
        """Takes an approval back; False if there was none."""
        return bool(
            await self._engine.run(
                lambda tx: tx.run(
                    "DELETE FROM pairing WHERE account = ? AND user_id = ? AND approved_at > 0", account, user
                )
            )
        )

    async def approved(self, account: AccountId) -> frozenset[UserId]:
        rows = await self._engine.run(
            lambda tx: tx.all("SELECT user_id FROM pairing WHERE account = ? AND approved_at > 0", account)
        )
        return frozenset(UserId(row[0]) for row in rows)

    async def approvals(self, account: AccountId | None) -> tuple[PairingRow, ...]:
        """The approved users, latest first; account None means all accounts."""
        rows = await self._engine.run(
            lambda tx: tx.all(SELECT + " WHERE approved_at > 0 ORDER BY approved_at DESC, user_id")
        )
        return tuple(PairingRow(*row) for row in rows if account is None or row[0] == account)
