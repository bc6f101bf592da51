"""An MCP server on its standard streams, with tools that work, fail, wait and die."""

import os
import sys
from pathlib import Path

import anyio
from mcp.server.mcpserver import MCPServer

server = MCPServer("toy", log_level="CRITICAL")


@server.tool()
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool()
async def wait(marker: str) -> str:
    """Wait for ever; when cancelled, leave the marker."""
    Path(f"{marker}.started").touch()  # noqa: ASYNC240 - a toy may block
    try:
        await anyio.sleep_forever()
    finally:
        Path(marker).touch()  # noqa: ASYNC240 - a toy may block
    return ""


@server.tool()
def die() -> str:
    """Die in the middle of a call."""
    sys.stderr.write("dying\n")
    sys.stderr.flush()
    os._exit(3)


@server.tool(name="odd.name/here")
def odd() -> str:
    """Has a name that model APIs refuse."""
    return "odd"


if __name__ == "__main__":
    server.run("stdio")
