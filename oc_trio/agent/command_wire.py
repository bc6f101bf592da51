"""The JSON lines of `api = "command"`: encodes a turn, and decodes the program's lines into events.

Pure; the contract is in docs/agents.md.
"""

import base64
import json
from collections.abc import Mapping
from typing import Any

from oc_trio.agent.port import Message, ToolCall, ToolResult, TurnRequest
from oc_trio.classes import frozen
from oc_trio.core.event_check import MAX_ITEMS, token_count
from oc_trio.core.json_body import BadJson, read_lenient
from oc_trio.core.turn_events import (
    AgentEvent,
    Button,
    Failed,
    Final,
    Headline,
    Media,
    PlanStep,
    PlanUpdated,
    TextDelta,
    Thinking,
    ToolEnded,
    ToolStarted,
    ToolStatus,
    Usage,
)

# Characters: longer than any type or status of the protocol, and too short for a text of the conversation.
_LONGEST_WORD = 40


class ContractBroken(ValueError):
    """The program wrote an invalid line; str() says which and why."""


@frozen
class ToolCallLine:
    """A line by which the program calls one of our tools and waits for the result."""

    call: ToolCall


def turn_line(request: TurnRequest, model: str, options: Mapping[str, Any]) -> bytes:
    """The first line of the program's input: the turn."""
    return _line(
        {
            "type": "turn",
            "agent": request.agent,
            "session": request.session,
            "model": request.model or model,
            "thinking": request.thinking,
            "system_prompt": request.system_prompt,
            "messages": [_message(message) for message in request.messages],
            "tools": [
                {"name": spec.name, "description": spec.description, "parameters": dict(spec.parameters)}
                for spec in request.tools.specs
            ],
            "options": dict(options),
        }
    )


def result_line(call: ToolCall, result: ToolResult) -> bytes:
    """The answer to `tool_call`."""
    return _line({"type": "tool_result", "id": call.id, "status": result.status.value, "text": result.text})


def read_line(line: bytes) -> AgentEvent | ToolCallLine:
    """Decode one line of the program; its texts are cleaned. Raises `ContractBroken`, which quotes no text."""
    try:
        data = read_lenient(line.decode("utf-8"))
    except UnicodeDecodeError:
        raise ContractBroken(f"a line of {len(line)} bytes is not UTF-8") from None
    except BadJson as exc:
        raise ContractBroken(f"a line of {len(line)} bytes is {exc}") from None
    if not isinstance(data, dict):
        raise ContractBroken(f"a line of {len(line)} bytes is not an object")
    try:
        return _read(data)
    except _Misspelt as exc:
        raise ContractBroken(f"a line of type {_printable(data.get('type'))} lacks or misspells {exc}") from None


class _Misspelt(ValueError):
    """str() names the field, and what it should be."""


def _read(data: Mapping[str, Any]) -> AgentEvent | ToolCallLine:
    match data.get("type"):
        case "text":
            return TextDelta(_text(data, "text"))
        case "thinking":
            return Thinking(_text(data, "text", ""))
        case "headline":
            return Headline(_text(data, "text"))
        case "plan":
            if "steps" not in data:
                raise _Misspelt("'steps'")
            steps = _objects(data, "steps")
            return PlanUpdated(tuple(PlanStep(_text(step, "text"), _text(step, "state", "pending")) for step in steps))
        case "tool_started":
            id_, name, detail = _text(data, "id"), _text(data, "name"), _text(data, "detail", "")
            return ToolStarted(id_, name, _object(data, "arguments"), detail)
        case "tool_ended":
            result, detail = _text(data, "text", ""), _text(data, "detail", "")
            return ToolEnded(_text(data, "id"), _text(data, "name"), _status(data), result, detail)
        case "tool_call":
            return ToolCallLine(ToolCall(_text(data, "id"), _text(data, "name"), _object(data, "arguments")))
        case "final":
            return _final(data)
        case "failed":
            for_user = _text(data, "for_user")
            return Failed(for_user, _text(data, "for_operator", for_user), data.get("retryable") is True)
    raise ContractBroken(f"unknown type {_printable(data.get('type'))}")


def _final(data: Mapping[str, Any]) -> Final:
    usage = _object(data, "usage")
    media = _objects(data, "media")
    return Final(
        _text(data, "text", ""),
        media=tuple(Media(*(_text(one, key, "") for key in ("path", "url", "name", "mime"))) for one in media),
        buttons=tuple(tuple(_button(one) for one in _each(row, "buttons")) for row in _list(data, "buttons")),
        usage=Usage(_count(usage, "input_tokens"), _count(usage, "output_tokens"), _text(usage, "model", "")),
        silent_reason=_text(data, "silent_reason", ""),
    )


def _button(data: Mapping[str, Any]) -> Button:
    return Button(
        _text(data, "label"), _text(data, "value", ""), _text(data, "url", ""), _text(data, "style", "default")
    )


def _text(data: Mapping[str, Any], key: str, default: str | None = None) -> str:
    value = data.get(key)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        raise _Misspelt(f"{key!r}, a text")
    return value


def _count(data: Mapping[str, Any], key: str) -> int:
    try:
        return token_count(data.get(key) or 0)
    except ValueError as exc:
        raise _Misspelt(f"{key!r}, {exc}") from None


def _status(data: Mapping[str, Any]) -> ToolStatus:
    value = _text(data, "status", "completed")
    try:
        return ToolStatus(value)
    except ValueError:
        statuses = ", ".join(status.value for status in ToolStatus)
        raise _Misspelt(f"'status', one of {statuses}, not {_printable(value)}") from None


def _object(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = data.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _Misspelt(f"{key!r}, an object")
    return value


def _list(data: Mapping[str, Any], key: str) -> list[Any]:
    value = data.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise _Misspelt(f"{key!r}, a list")
    if len(value) > MAX_ITEMS:
        raise _Misspelt(f"{key!r}, a list of {MAX_ITEMS} items at most")
    return value


def _objects(data: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    return _each(_list(data, key), key)


def _each(value: object, key: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise _Misspelt(f"{key!r}, a list of objects")
    if len(value) > MAX_ITEMS:
        raise _Misspelt(f"{key!r}, a list of {MAX_ITEMS} items at most")
    return value


def _printable(value: object) -> str:
    """A line's type or status for the log; a long or odd value only by its type."""
    if value is None or (isinstance(value, str) and len(value) <= _LONGEST_WORD):
        return repr(value)
    return f"a {type(value).__name__}"


def _message(message: Message) -> dict[str, Any]:
    out: dict[str, Any] = {"role": message.role.value, "text": message.text}
    if message.images:
        out["images"] = [
            {"mime": image.mime, "data": base64.b64encode(image.data).decode()} for image in message.images
        ]
    if message.tool_calls:
        out["tool_calls"] = [
            {"id": call.id, "name": call.name, "arguments": dict(call.arguments)} for call in message.tool_calls
        ]
    if message.tool_call_id:
        out |= {"tool_call_id": message.tool_call_id, "status": message.status.value}
    return out


def _line(data: Mapping[str, Any]) -> bytes:
    return json.dumps(data).encode() + b"\n"
