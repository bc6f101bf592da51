"""The journal's own id, by which the posts of its gateway are told from those of another one."""

from oc_trio.classes import frozen
from oc_trio.core.second_gateway import Installation
from oc_trio.store.claims import claim
from oc_trio.store.engine import Engine, Tx

_SCOPE, _KEY = "installation", "id"
_NEVER = 2**62  # milliseconds; no retention reaches it
_READ = "SELECT value, at FROM claims WHERE scope = ? AND key = ?"


def _ensure(tx: Tx, new_id: str, at: int) -> Installation:
    # A claim that nobody can take any more: the first start decides, every later one reads what it decided.
    claim(tx, _SCOPE, _KEY, at, _NEVER, new_id)
    value, since = tx.all(_READ, _SCOPE, _KEY)[0]
    return Installation(str(value), int(since))


@frozen
class Installations:
    """Every journal has one id for good: a copy of it has the same."""

    _engine: Engine

    async def ensure(self, new_id: str, at: int) -> Installation:
        """The journal's id; `new_id` becomes it where there is none yet."""
        return await self._engine.run(lambda tx: _ensure(tx, new_id, at))

    async def get(self) -> Installation | None:
        """The journal's id, None before a gateway has made one."""
        row = await self._engine.run(lambda tx: tx.one(_READ, _SCOPE, _KEY))
        return Installation(str(row[0]), int(row[1])) if row else None
