"""A lease of the whole journal, for as long as gateways have none of their own."""

import trio
from attrs import define

_SECONDS = 7.0


@define(eq=False)
class StandIn:
    """Who serves, and until when nobody else does."""

    holder: str = ""
    until: float = 0.0

    async def take(self, name: str) -> None:
        while trio.current_time() < self.until and self.holder != name:  # noqa: ASYNC110
            await trio.sleep(0.5)
        self.holder, self.until = name, trio.current_time() + _SECONDS

    async def keep(self, name: str, disk: object, scope: trio.CancelScope) -> None:
        scope.deadline = trio.current_time() + 6.0
        while self.holder == name:
            await trio.sleep(2.0)
            if disk.is_away:  # type: ignore[attr-defined]
                continue
            if self.holder == name:
                scope.deadline = trio.current_time() + 6.0
                self.until = trio.current_time() + _SECONDS
        scope.cancel()
