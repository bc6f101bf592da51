"""The configured MCP servers: children of the gateway, kept up, offered to the agents of every account."""

import re
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager

import trio
from attrs import field, frozen

from oc_trio.agent.mcp import McpServerSpec, ToolServer
from oc_trio.agent.port import Toolbox
from oc_trio.agent.toolbox import SEPARATOR, RuledToolbox, ToolPolicy
from oc_trio.config import agents

# A start waits so long for the servers; a slower one joins when it is up.
GRACE_SECONDS = 10.0
# The outer rules bound the calls.
_NO_LIMIT = float("inf")
# What model APIs take in a tool's name.
_FOREIGN = re.compile(r"[^A-Za-z0-9_-]")


@frozen
class ToolServers:
    """`boxes` by server name; `approve` and `limits` as a `ToolPolicy` has them, by the names that models see."""

    boxes: Mapping[str, Toolbox] = field(factory=dict, hash=False)
    servers: tuple[ToolServer, ...] = ()
    approve: tuple[str, ...] = ()
    limits: Mapping[str, float] = field(factory=dict, hash=False)


@asynccontextmanager
async def open_tool_servers(config: agents.Mcp, *, grace: float = GRACE_SECONDS) -> AsyncGenerator[ToolServers, None]:
    """Start what is enabled, stop it at the end. Raises ConfigError where the `mcp` package is missing."""
    wanted = {name: server for name, server in config.servers.items() if server.enabled}
    if not wanted:
        yield ToolServers()
        return
    servers = {name: ToolServer(_spec(name, server)) for name, server in wanted.items()}
    spaces = {name: _FOREIGN.sub("_", name) for name in wanted}
    async with trio.open_nursery() as nursery:
        with trio.move_on_after(grace):
            async with trio.open_nursery() as starting:
                for server in servers.values():
                    starting.start_soon(_start, nursery, server)
        yield ToolServers(
            {
                spaces[name]: RuledToolbox({"": server}, ToolPolicy(allow=wanted[name].allow, limit=_NO_LIMIT))
                for name, server in servers.items()
            },
            tuple(servers.values()),
            tuple(each for name, server in wanted.items() for each in _asked_about(name, server.approve)),
            {f"{spaces[name]}{SEPARATOR}*": server.call_limit for name, server in wanted.items()},
        )
        nursery.cancel_scope.cancel()


def _asked_about(server: str, patterns: tuple[str, ...]) -> Iterator[str]:
    """The patterns of a server's `approve` by the names that models see.

    A pattern may have the server's name in front, and a tool's own name where that is shown in another form: one that
    fitted nothing would let calls through that somebody wanted to be asked about.
    """
    space = _FOREIGN.sub("_", server)
    for pattern in patterns:
        own = (f"{space}{SEPARATOR}", f"{server}{SEPARATOR}", f"{server}.")
        bare = next((pattern.removeprefix(start) for start in own if pattern.startswith(start)), pattern)
        for each in dict.fromkeys((pattern, bare)):
            yield f"{space}{SEPARATOR}{each}"
            yield f"{space}{SEPARATOR}{seen_name(each)}"


def seen_name(pattern: str) -> str:
    """A name, or a pattern of names with `*`, with `_` for the letters that model APIs refuse."""
    return "*".join(_FOREIGN.sub("_", part) for part in pattern.split("*"))


async def _start(nursery: trio.Nursery, server: ToolServer) -> None:
    settled = trio.Event()

    async def serve() -> None:
        async with trio.open_nursery() as life:
            await life.start(server.serve)
            settled.set()

    nursery.start_soon(serve)
    await settled.wait()


def _spec(name: str, server: agents.McpServer) -> McpServerSpec:
    return McpServerSpec(
        name=name,
        command=(server.command, *server.args) if server.command else (),
        env={key: value.reveal() for key, value in server.env.items()},
        cwd=server.cwd,
        url=server.url,
        headers={key: value.reveal() for key, value in server.headers.items()},
        start_limit=server.start_limit,
    )
