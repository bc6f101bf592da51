"""Runs the configured MCP servers as children of the gateway, and offers their tools to the agents of every account."""

from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio
from attrs import field

from oc_trio.agent.port import Toolbox
from oc_trio.agent.toolbox import SEPARATOR, RuledToolbox, ToolPolicy
from oc_trio.classes import frozen
from oc_trio.config import agents
from oc_trio.core.tool_names import visible_name, visible_pattern

if TYPE_CHECKING:
    from oc_trio.agent.mcp import McpServerSpec, ToolServer

# A start waits so long for the servers; the tools of a slower one are offered once it is up.
# Most programs are up in one or two; npx and uvx may have to download theirs first.
GRACE_SECONDS = 10.0
# For the inner toolbox: the turn's own toolbox, around it, bounds the calls.
_NO_LIMIT = float("inf")


@frozen
class ToolServers:
    """`toolboxes` by server name; `approve` and `limits` as a `ToolPolicy` has them, by the names that models see."""

    toolboxes: Mapping[str, Toolbox] = field(factory=dict, hash=False)
    servers: "tuple[ToolServer, ...]" = ()
    approve: tuple[str, ...] = ()
    limits: Mapping[str, float] = field(factory=dict, hash=False)


@asynccontextmanager
async def open_tool_servers(config: agents.Mcp, *, grace: float = GRACE_SECONDS) -> AsyncGenerator[ToolServers, None]:
    """Start what is enabled, stop it at the end. Raises ConfigError where the `mcp` package is missing."""
    enabled = {name: server for name, server in config.servers.items() if server.enabled}
    if not enabled:
        yield ToolServers()
        return
    # Here only: most gateways have no server.
    from oc_trio.agent.mcp import ToolServer

    servers = {name: ToolServer(_spec(name, server)) for name, server in enabled.items()}
    # No two of them are the same: the configuration refuses such names.
    prefixes = {name: visible_name(name) for name in enabled}
    async with trio.open_nursery() as nursery:
        # Only the wait for them ends: a slow server runs in the outer nursery, and goes on starting.
        with trio.move_on_after(grace):
            async with trio.open_nursery() as starting:
                for server in servers.values():
                    starting.start_soon(_start, nursery, server)
        yield ToolServers(
            {
                prefixes[name]: RuledToolbox({"": server}, ToolPolicy(allow=enabled[name].allow, limit=_NO_LIMIT))
                for name, server in servers.items()
            },
            tuple(servers.values()),
            tuple(each for name, server in enabled.items() for each in _approval_patterns(name, server.approve)),
            {f"{prefixes[name]}{SEPARATOR}*": server.call_limit for name, server in enabled.items()},
        )
        nursery.cancel_scope.cancel()


def _approval_patterns(server: str, patterns: tuple[str, ...]) -> Iterator[str]:
    """The patterns of a server's `approve` by the names that models see.

    A pattern may begin with the server's name, and have a tool's own name where models see another one: a pattern that
    matched nothing would let calls pass that somebody wanted to approve.
    """
    prefix = visible_name(server)
    for pattern in patterns:
        starts = (f"{prefix}{SEPARATOR}", f"{server}{SEPARATOR}", f"{server}.")
        bare = next((pattern.removeprefix(start) for start in starts if pattern.startswith(start)), pattern)
        for each in dict.fromkeys((pattern, bare)):
            yield f"{prefix}{SEPARATOR}{each}"
            yield f"{prefix}{SEPARATOR}{visible_pattern(each)}"


async def _start(nursery: trio.Nursery, server: "ToolServer") -> None:
    settled = trio.Event()

    async def serve() -> None:
        # In a task of its own, since `starting` is cancelled after the grace time, and `start` with it would be too.
        async with trio.open_nursery() as serving:
            await serving.start(server.serve)
            settled.set()

    nursery.start_soon(serve)
    await settled.wait()


def _spec(name: str, server: agents.McpServer) -> "McpServerSpec":
    from oc_trio.agent.mcp import McpServerSpec

    return McpServerSpec(
        name=name,
        command=(server.command, *server.args) if server.command else (),
        env={key: value.reveal() for key, value in server.env.items()},
        cwd=server.cwd,
        url=server.url,
        headers={key: value.reveal() for key, value in server.headers.items()},
        start_limit=server.start_limit,
    )
