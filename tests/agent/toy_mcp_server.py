"""An MCP server on its standard streams, with tools that work, fail, wait and die."""

import os
import sys
from pathlib import Path

import anyio
from mcp.server.mcpserver import MCPServer


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def wait(marker: str) -> str:
    """Wait for ever; when cancelled, leave the marker."""
    Path(f"{marker}.started").touch()  # noqa: ASYNC240 - a toy may block
    try:
        await anyio.sleep_forever()
    finally:
        Path(marker).touch()  # noqa: ASYNC240 - a toy may block
    return ""


def die() -> str:
    """Die in the middle of a call."""
    sys.stderr.write("dying\n")
    sys.stderr.flush()
    os._exit(3)


def odd() -> str:
    """Has a name that model APIs refuse."""
    return "odd"


def make_server() -> MCPServer:
    server = MCPServer("toy", log_level="CRITICAL")
    for tool in (add, wait, die):
        server.tool()(tool)
    server.tool(name="odd.name/here")(odd)
    return server


if __name__ == "__main__":
    make_server().run("stdio")
