"""Token usage per turn and model."""

from oc_trio.classes import frozen
from oc_trio.core.turn_events import Usage
from oc_trio.ids import AccountId, SessionKey, TurnId
from oc_trio.store.engine import Engine, Tx


def of_turn(tx: Tx, turn: TurnId) -> tuple[Usage, ...]:
    rows = tx.all("SELECT input_tokens, output_tokens, model FROM usage WHERE turn = ? ORDER BY model", turn)
    return tuple(Usage(*row) for row in rows)


def record(tx: Tx, turn: TurnId, account: AccountId, session: SessionKey, usage: Usage, at: int) -> None:
    """Adds to the turn's counts for that model: a turn may run more than once."""
    tx.run(
        "INSERT INTO usage (turn, model, account, session, input_tokens, output_tokens, at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (turn, model) DO UPDATE SET"
        " input_tokens = usage.input_tokens + excluded.input_tokens,"
        " output_tokens = usage.output_tokens + excluded.output_tokens, at = excluded.at",
        *(turn, usage.model, account, session, usage.input_tokens, usage.output_tokens, at),
    )


@frozen
class UsageRows:
    """The token counts, by turn and by session; `turns.decide` adds to them."""

    _engine: Engine

    async def of_turn(self, turn: TurnId) -> tuple[Usage, ...]:
        return await self._engine.run(lambda tx: of_turn(tx, turn))

    async def of_session(self, session: SessionKey) -> tuple[Usage, ...]:
        """The sums over all turns of a session that retention has kept, by model."""
        rows = await self._engine.run(
            lambda tx: tx.all(
                "SELECT SUM(input_tokens), SUM(output_tokens), model FROM usage WHERE session = ?"
                " GROUP BY model ORDER BY model",
                session,
            )
        )
        return tuple(Usage(int(row[0]), int(row[1]), row[2]) for row in rows)
