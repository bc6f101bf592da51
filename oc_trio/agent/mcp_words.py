"""MCP's tools and results in the words of the port. Pure; it imports nothing of the `mcp` package."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from oc_trio.agent.port import ToolSpec

# OpenAI and Anthropic: [a-zA-Z0-9_-], at most 64 characters, the server's name and the separator included.
_LONGEST_NAME = 64
_SEPARATOR_LENGTH = 2
_FOREIGN = re.compile(r"[^A-Za-z0-9_-]")


def tool_specs(server: str, tools: Sequence[Any]) -> tuple[tuple[ToolSpec, ...], Mapping[str, str]]:
    """The specs of a server's tools under names that model APIs take, and from those names the server's own."""
    room = _LONGEST_NAME - len(server) - _SEPARATOR_LENGTH
    specs: list[ToolSpec] = []
    names: dict[str, str] = {}
    for tool in tools:
        name = _FOREIGN.sub("_", tool.name)[:room]
        if not name or name in names:
            continue
        names[name] = tool.name
        read_only = bool(tool.annotations and tool.annotations.read_only_hint)
        specs.append(ToolSpec(name, tool.description or tool.title or "", dict(tool.input_schema), not read_only))
    return tuple(specs), names


def result_text(result: Any) -> str:
    """What the model gets to read: text as it is, everything else named by type and size."""
    parts = [_block_text(block) for block in result.content]
    if not parts and result.structured_content is not None:
        return json.dumps(result.structured_content, ensure_ascii=False)
    return "\n".join(parts)


def _block_text(block: Any) -> str:
    match block.type:
        case "text":
            return str(block.text)
        case "image" | "audio":
            return f"[{block.type}, {block.mime_type}, {len(block.data) * 3 // 4} bytes]"
        case "resource":
            text = getattr(block.resource, "text", None)
            return str(text) if text is not None else f"[resource {block.resource.uri}]"
        case "resource_link":
            return f"[{block.name}: {block.uri}]"
        case other:
            return f"[{other}]"
