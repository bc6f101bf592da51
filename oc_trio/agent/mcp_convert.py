"""Converts MCP's tools and results to the agent port's. Pure; it imports nothing of the `mcp` package."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from oc_trio.agent.port import ToolSpec

# OpenAI and Anthropic: [a-zA-Z0-9_-], at most 64 characters, the server's name and the separator included.
_LONGEST_NAME = 64
_SEPARATOR_LENGTH = 2
_FOREIGN = re.compile(r"[^A-Za-z0-9_-]")


# A server may offer this many tools, each described in so many characters and with a schema of so many: all of it is
# sent with every request to the model.
MAX_TOOLS = 256
LONGEST_DESCRIPTION = 8_000
LARGEST_SCHEMA = 64_000
_KEYS = ("name", "title", "description", "inputSchema")


def usable_tools(items: Sequence[Any]) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """The usable tools of a `tools/list` result, and for each of the others a line with the reason.

    `items` is clean JSON. Fields that a model does not need are dropped; the output schema is one, since checking it
    would refuse a server's own results, or keep the process busy with a regular expression.
    """
    usable: list[dict[str, Any]] = []
    left_out: list[str] = []
    for number, item in enumerate(items):
        name = item.get("name") if isinstance(item, Mapping) else None
        label = f"tool {number + 1} ({name[:80]!r})" if isinstance(name, str) else f"tool {number + 1}"
        if problem := _problem(item):
            left_out.append(f"{label}: {problem}")
            if len(left_out) >= MAX_TOOLS:
                break
        elif len(usable) >= MAX_TOOLS:
            left_out.append(f"{label} and what follows: more than {MAX_TOOLS} tools")
            break
        else:
            usable.append(_cleaned_tool(item))
    return usable, tuple(left_out)


def _problem(item: Any) -> str:
    if not isinstance(item, Mapping):
        return "not an object"
    if not isinstance(item.get("name"), str) or not item["name"]:
        return "name is no text"
    schema = item.get("inputSchema")
    if not isinstance(schema, Mapping):
        return "inputSchema is missing or no object"
    if schema.get("type", "object") != "object" or not isinstance(schema.get("properties", {}), Mapping):
        return "inputSchema does not describe an object"
    required = schema.get("required", [])
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        return "inputSchema.required is no list of names"
    if len(json.dumps(schema)) > LARGEST_SCHEMA:
        return f"inputSchema is longer than {LARGEST_SCHEMA} characters"
    return ""


def _cleaned_tool(item: Mapping[str, Any]) -> dict[str, Any]:
    tool = {key: item[key] for key in _KEYS if key in item}
    for key in ("title", "description"):
        if not isinstance(tool.get(key, ""), str):
            del tool[key]
    if len(tool.get("description", "")) > LONGEST_DESCRIPTION:
        tool["description"] = tool["description"][: LONGEST_DESCRIPTION - 1] + "…"
    tool["inputSchema"] = {"type": "object", **item["inputSchema"]}
    annotations = item.get("annotations")
    if isinstance(annotations, Mapping) and annotations.get("readOnlyHint") is True:
        tool["annotations"] = {"readOnlyHint": True}
    return tool


def tool_specs(server: str, tools: Sequence[Any]) -> tuple[tuple[ToolSpec, ...], Mapping[str, str]]:
    """The specs of a server's tools with names that model APIs accept, and the server's names by these."""
    room = _LONGEST_NAME - len(server) - _SEPARATOR_LENGTH
    specs: list[ToolSpec] = []
    names: dict[str, str] = {}
    for tool in tools[:MAX_TOOLS]:
        name = _FOREIGN.sub("_", tool.name)[:room]
        if not name or name in names:
            continue
        names[name] = tool.name
        read_only = bool(tool.annotations and tool.annotations.read_only_hint)
        specs.append(ToolSpec(name, tool.description or tool.title or "", dict(tool.input_schema), not read_only))
    return tuple(specs), names


def result_text(result: Any) -> str:
    """The result as text for the model; parts that are not text by type and size."""
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
