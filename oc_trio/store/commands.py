"""Slash commands that we registered, with their tokens, which a restricted bot sees only once."""

from oc_trio.classes import frozen
from oc_trio.core.entities import SlashCommand
from oc_trio.ids import AccountId, CommandId, TeamId, UserId
from oc_trio.store.engine import Engine, Row

_COLUMNS = "command_id, team_id, trigger, method, url, token, creator_id"
SELECT = f"SELECT {_COLUMNS} FROM commands"  # noqa: S608 - ours


def _command_of(row: Row) -> SlashCommand:
    return SlashCommand(
        id=CommandId(row[0]),
        team_id=TeamId(row[1]),
        trigger=row[2],
        method=row[3],
        url=row[4],
        token=row[5],
        creator_id=UserId(row[6]),
    )


@frozen
class Commands:
    """Remembers registered commands; their descriptions and hints are not stored."""

    _engine: Engine

    async def save(self, account: AccountId, command: SlashCommand, at: int) -> None:
        """Inserts the command, or replaces the one of the same account, team and trigger."""
        await self._engine.run(
            lambda tx: tx.run(
                "INSERT INTO commands (account, team_id, trigger, command_id, token, url, method, creator_id, at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
                # A team can have one command per trigger, so a new one under the same trigger always replaces the row.
                " ON CONFLICT (account, team_id, trigger) DO UPDATE SET command_id = excluded.command_id,"
                " token = excluded.token, url = excluded.url, method = excluded.method,"
                " creator_id = excluded.creator_id, at = excluded.at",
                *(account, command.team_id, command.trigger, command.id, command.token, command.url),
                *(command.method, command.creator_id, at),
            )
        )

    async def all(self, account: AccountId) -> tuple[SlashCommand, ...]:
        rows = await self._engine.run(
            lambda tx: tx.all(SELECT + " WHERE account = ? ORDER BY team_id, trigger", account)
        )
        return tuple(_command_of(row) for row in rows)

    async def by_account(self) -> dict[AccountId, tuple[SlashCommand, ...]]:
        """The commands of every account that has any."""
        sql = f"SELECT {_COLUMNS}, account FROM commands ORDER BY account, team_id, trigger"  # noqa: S608 - ours
        found: dict[AccountId, tuple[SlashCommand, ...]] = {}
        for row in await self._engine.run(lambda tx: tx.all(sql)):
            account = AccountId(row[7])
            found[account] = (*found.get(account, ()), _command_of(row))
        return found

    async def find(self, account: AccountId, team: TeamId, trigger: str) -> SlashCommand | None:
        row = await self._engine.run(
            lambda tx: tx.one(SELECT + " WHERE account = ? AND team_id = ? AND trigger = ?", account, team, trigger)
        )
        return _command_of(row) if row else None

    async def forget(self, account: AccountId, command: CommandId) -> bool:
        return bool(
            await self._engine.run(
                lambda tx: tx.run("DELETE FROM commands WHERE account = ? AND command_id = ?", account, command)
            )
        )
