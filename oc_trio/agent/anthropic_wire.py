"""The words of `anthropic-messages`: a turn as a request body, streamed events as ours. Pure; no I/O.

Source: Anthropic's Messages API, version 2023-06-01, streaming. Blocks of thinking are signed and have to be sent
back unchanged while tools are in use, so an answer keeps its blocks.
"""

import base64
import json
from collections.abc import Mapping
from typing import Any

from attrs import define, field

from oc_trio.agent.openai_wire import parse_arguments
from oc_trio.agent.port import Message, Role, ToolCall, TurnRequest
from oc_trio.agent.rounds import CUT_SHORT, FILTERED, Answer, Asked, Round
from oc_trio.agent.well_formed import anthropic_messages
from oc_trio.core.turn_events import TextDelta, Thinking, ToolStatus, Usage

# The API demands a limit; the least of the current models allows this one.
DEFAULT_MAX_TOKENS = 8192
THINKING_BUDGETS = {"low": 2048, "medium": 8192, "high": 24576}


def request_body(
    request: TurnRequest, rounds: tuple[Round, ...], model: str, options: Mapping[str, Any], *, tools: bool = True
) -> dict[str, Any]:
    """The JSON body of `POST /v1/messages`; `options` are the operator's own fields and win.

    Without `tools` none are offered, and what earlier calls gave is told as text.
    """
    limit = int(options.get("max_tokens") or DEFAULT_MAX_TOKENS)
    messages = anthropic_messages(_messages(request, rounds), tools=tools)
    body: dict[str, Any] = {"model": model, "messages": messages, "stream": True}
    if request.system_prompt:
        body["system"] = request.system_prompt
    if tools and request.tools.specs:
        body["tools"] = [
            {
                "name": spec.name,
                "description": spec.description,
                "input_schema": dict(spec.parameters) or {"type": "object", "properties": {}},
            }
            for spec in request.tools.specs
        ]
    # An interrupted turn lost its signed thinking, without which the API refuses to go on thinking after tool results.
    resumed = bool(request.messages) and request.messages[-1].role is Role.TOOL
    if not resumed and (budget := THINKING_BUDGETS.get(request.thinking)):
        body["thinking"] = {"type": "enabled", "budget_tokens": budget}
        limit += budget
    return {**body, **options, "max_tokens": limit}


def _messages(request: TurnRequest, rounds: tuple[Round, ...]) -> list[dict[str, Any]]:
    """Turns of one side in a row become one message, as the API wants it."""
    out: list[dict[str, Any]] = []
    for message in request.messages:
        _append(out, "assistant" if message.role is Role.ASSISTANT else "user", _blocks(message))
    for done in rounds:
        _append(out, "assistant", list(done.answer.raw) if isinstance(done.answer.raw, tuple) else [])
        _append(
            out,
            "user",
            [
                _result(asked.call.id, result.text, result.status is not ToolStatus.COMPLETED)
                for asked, result in zip(done.answer.calls, done.results)
            ],
        )
        for message in done.said:
            _append(out, "user", _blocks(message))
    return out


def _append(out: list[dict[str, Any]], role: str, blocks: list[dict[str, Any]]) -> None:
    if not blocks:
        return
    if out and out[-1]["role"] == role:
        out[-1]["content"] += blocks
    else:
        out.append({"role": role, "content": blocks})


def _blocks(message: Message) -> list[dict[str, Any]]:
    if message.role is Role.TOOL:
        return [_result(message.tool_call_id, message.text, message.status is not ToolStatus.COMPLETED)]
    blocks: list[dict[str, Any]] = [
        {
            "type": "image",
            "source": {
                "type": "base64",
                "media_type": image.mime,
                "data": base64.b64encode(image.data).decode(),
            },
        }
        for image in message.images
    ]
    if message.text.strip():
        blocks.append({"type": "text", "text": message.text})
    blocks += [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": dict(call.arguments)}
        for call in message.tool_calls
    ]
    return blocks


def _result(call_id: str, text: str, failed: bool) -> dict[str, Any]:
    result: dict[str, Any] = {"type": "tool_result", "tool_use_id": call_id, "content": text or "(no output)"}
    return {**result, "is_error": True} if failed else result


@define
class _Block:
    """A block while it streams: `start` is how the server announced it, `parts` the text of its deltas."""

    start: dict[str, Any]
    parts: list[str] = field(factory=list)
    signature: str = ""


class Reading:
    """Stream events in, ours out; at the end `answer` says what it came to."""

    def __init__(self) -> None:
        self._blocks: dict[int, _Block] = {}
        self._usage = Usage()
        self.stop_reason = ""
        self.stopped = False

    def feed(self, event: Mapping[str, Any]) -> tuple[TextDelta | Thinking, ...]:
        match event.get("type"):
            case "message_start":
                message = event.get("message") or {}
                self._count(message.get("usage"), str(message.get("model") or ""))
            case "content_block_start":
                block = _Block(dict(event.get("content_block") or {}))
                self._blocks[int(event.get("index", 0))] = block
                return self._said(block, str(block.start.get("text") or ""))
            case "content_block_delta":
                return self._delta(event)
            case "message_delta":
                self.stop_reason = (event.get("delta") or {}).get("stop_reason") or self.stop_reason
                self._count(event.get("usage"), "")
            case "message_stop":
                self.stopped = True
        return ()

    @property
    def empty(self) -> bool:
        return all(block.start.get("type") not in ("text", "tool_use") for block in self._blocks.values())

    def answer(self) -> Answer:
        blocks = [block for _, block in sorted(self._blocks.items())]
        text = "".join(part for block in blocks if block.start.get("type") == "text" for part in block.parts)
        calls = tuple(_asked(block) for block in blocks if block.start.get("type") == "tool_use")
        note = {"max_tokens": CUT_SHORT, "model_context_window_exceeded": CUT_SHORT, "refusal": FILTERED}
        raw = tuple(sent for block in blocks if (sent := _sent_back(block)))
        return Answer(text, calls, self._usage, note.get(self.stop_reason, ""), raw)

    def _delta(self, event: Mapping[str, Any]) -> tuple[TextDelta | Thinking, ...]:
        block = self._blocks.get(int(event.get("index", 0)))
        if block is None:
            return ()
        delta = event.get("delta") or {}
        match delta.get("type"):
            case "text_delta":
                return self._said(block, str(delta.get("text") or ""))
            case "thinking_delta":
                text = str(delta.get("thinking") or "")
                block.parts.append(text)
                return (Thinking(text),) if text else ()
            case "input_json_delta":
                block.parts.append(str(delta.get("partial_json") or ""))
            case "signature_delta":
                block.signature += str(delta.get("signature") or "")
        return ()

    def _said(self, block: _Block, text: str) -> tuple[TextDelta, ...]:
        if text:
            block.parts.append(text)
        return (TextDelta(text),) if text else ()

    def _count(self, usage: object, model: str) -> None:
        counts = usage if isinstance(usage, dict) else {}
        cached = sum(int(counts.get(f"cache_{kind}_input_tokens") or 0) for kind in ("creation", "read"))
        self._usage = Usage(
            int(counts.get("input_tokens") or 0) + cached or self._usage.input_tokens,
            int(counts.get("output_tokens") or 0) or self._usage.output_tokens,
            model or self._usage.model,
        )


def _asked(block: _Block) -> Asked:
    arguments, problem = parse_arguments("".join(block.parts) or json.dumps(block.start.get("input") or {}))
    return Asked(ToolCall(str(block.start.get("id")), str(block.start.get("name")), arguments), problem)


def _sent_back(block: _Block) -> dict[str, Any] | None:
    text = "".join(block.parts)
    match block.start.get("type"):
        case "text":
            return {"type": "text", "text": text} if text.strip() else None
        case "thinking":
            return {"type": "thinking", "thinking": text, "signature": block.signature}
        case "tool_use":
            call = _asked(block).call
            return {"type": "tool_use", "id": call.id, "name": call.name, "input": dict(call.arguments)}
    return block.start
