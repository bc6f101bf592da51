"""The words of `api = "command"`: a turn as JSON lines, the program's lines as events.

Pure; the contract is in docs/agents.md.
"""

import base64
import json
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from oc_trio.agent.port import Message, ToolCall, ToolResult, TurnRequest
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


class ContractBroken(ValueError):
    """The program wrote a line that the contract doesn't know; str() says which and why."""


@frozen
class ToolAsked:
    """The program wants one of our tools to be called and waits for its result."""

    call: ToolCall


def turn_line(request: TurnRequest, model: str, options: Mapping[str, Any]) -> bytes:
    """The first line that the program reads."""
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


def read_line(line: bytes) -> AgentEvent | ToolAsked:
    """One line of the program. Raises `ContractBroken`."""
    try:
        data = json.loads(line)
    except (ValueError, RecursionError) as exc:
        raise ContractBroken(f"not JSON: {line[:100]!r}") from exc
    if not isinstance(data, dict):
        raise ContractBroken(f"not an object: {line[:100]!r}")
    try:
        return _read(data)
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise ContractBroken(f"a line of type {data.get('type')!r} lacks or misspells {exc}") from exc


def _read(data: Mapping[str, Any]) -> AgentEvent | ToolAsked:
    match data.get("type"):
        case "text":
            return TextDelta(_text(data, "text"))
        case "thinking":
            return Thinking(_text(data, "text", ""))
        case "headline":
            return Headline(_text(data, "text"))
        case "plan":
            steps = data["steps"]
            return PlanUpdated(tuple(PlanStep(_text(step, "text"), _text(step, "state", "pending")) for step in steps))
        case "tool_started":
            arguments = dict(data.get("arguments") or {})
            return ToolStarted(_text(data, "id"), _text(data, "name"), arguments, _text(data, "detail", ""))
        case "tool_ended":
            status = ToolStatus(data.get("status", "completed"))
            result, detail = _text(data, "text", ""), _text(data, "detail", "")
            return ToolEnded(_text(data, "id"), _text(data, "name"), status, result, detail)
        case "tool_call":
            return ToolAsked(ToolCall(_text(data, "id"), _text(data, "name"), dict(data.get("arguments") or {})))
        case "final":
            return _final(data)
        case "failed":
            for_user = _text(data, "for_user")
            return Failed(for_user, _text(data, "for_operator", for_user), data.get("retryable") is True)
    raise ContractBroken(f"unknown type {data.get('type')!r}")


def _final(data: Mapping[str, Any]) -> Final:
    usage = data.get("usage") or {}
    return Final(
        _text(data, "text", ""),
        media=tuple(
            Media(*(_text(one, key, "") for key in ("path", "url", "name", "mime"))) for one in data.get("media") or ()
        ),
        buttons=tuple(tuple(_button(one) for one in row) for row in data.get("buttons") or ()),
        usage=Usage(
            int(usage.get("input_tokens") or 0), int(usage.get("output_tokens") or 0), _text(usage, "model", "")
        ),
        silent_reason=_text(data, "silent_reason", ""),
    )


def _button(data: Mapping[str, Any]) -> Button:
    return Button(
        _text(data, "label"), _text(data, "value", ""), _text(data, "url", ""), _text(data, "style", "default")
    )


def _text(data: Mapping[str, Any], key: str, default: str | None = None) -> str:
    value = data[key] if default is None else data.get(key, default)
    if not isinstance(value, str):
        raise TypeError(repr(key))
    return value


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
