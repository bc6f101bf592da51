"""Builds request bodies for `anthropic-messages` from a turn. Pure; no I/O. `anthropic_reading` reads the responses.

Source: Anthropic's Messages API, version 2023-06-01, streaming. Thinking blocks are signed and have to be sent back
unchanged while tools are in use, so the tool calls of a response carry its blocks.
"""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from oc_trio.agent.anthropic_reading import BLOCKS
from oc_trio.agent.message_order import anthropic_messages
from oc_trio.agent.port import Message, Role, TurnRequest
from oc_trio.agent.tool_loop import ToolRound, merge_split_calls, transcript
from oc_trio.core.turn_events import ToolStatus

# The API requires a limit; every current model allows this one.
DEFAULT_MAX_TOKENS = 8192
# Tokens; the API takes no fewer than 1024.
THINKING_BUDGETS = {"low": 2048, "medium": 8192, "high": 24576}


def request_body(
    request: TurnRequest,
    rounds: tuple[ToolRound, ...],
    model: str,
    options: Mapping[str, Any],
    provider: str = "",
    *,
    tools: bool = True,
) -> dict[str, Any]:
    """The JSON body of `POST /v1/messages`; `options` are the operator's own fields and win.

    Blocks that came with tool calls go back to the `provider` that sent them, and to no other. Without `tools` none are
    offered, and results of earlier calls become plain text.
    """
    limit = int(options.get("max_tokens") or DEFAULT_MAX_TOKENS)
    messages = anthropic_messages(_messages(request, rounds, provider), tools=tools)
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
    if _may_think(merge_split_calls(request.messages), provider) and (budget := THINKING_BUDGETS.get(request.thinking)):
        body["thinking"] = {"type": "enabled", "budget_tokens": budget}
        # The API counts thinking towards max_tokens: without this a long thought would leave no room for the answer.
        limit += budget
    return {**body, **options, "max_tokens": limit}


def _may_think(messages: Sequence[Message], provider: str) -> bool:
    """After tool results the API accepts thinking only if the calls are sent with the thinking blocks before them.

    These came with the first response after the question. Calls of another provider, and those in journals of older
    releases, have none.
    """
    if not messages or messages[-1].role is not Role.TOOL:
        return True
    question = max((at for at, message in enumerate(messages) if message.role is Role.USER), default=-1)
    first = next((message for message in messages[question + 1 :] if message.tool_calls), None)
    blocks = _blocks_of(first, provider) if first is not None else []
    return bool(blocks) and blocks[0].get("type") in ("thinking", "redacted_thinking")


def _messages(request: TurnRequest, rounds: tuple[ToolRound, ...], provider: str) -> list[dict[str, Any]]:
    """The messages; consecutive ones of one role are merged, as the API requires."""
    out: list[dict[str, Any]] = []
    for message in transcript(request, rounds):
        _append(out, "assistant" if message.role is Role.ASSISTANT else "user", _blocks(message, provider))
    return out


def _blocks_of(message: Message, provider: str) -> list[dict[str, Any]]:
    """The blocks of an answer as this provider gave them; without calls that never got a result."""
    opaque = message.tool_calls[0].opaque if message.tool_calls else None
    if opaque is None or not provider or opaque.provider != provider:
        return []
    ids = {call.id for call in message.tool_calls}
    return [
        block for block in opaque.message.get(BLOCKS, ()) if block.get("type") != "tool_use" or block.get("id") in ids
    ]


def _append(out: list[dict[str, Any]], role: str, blocks: list[dict[str, Any]]) -> None:
    if not blocks:
        return
    if out and out[-1]["role"] == role:
        out[-1]["content"] += blocks
    else:
        out.append({"role": role, "content": blocks})


def _blocks(message: Message, provider: str) -> list[dict[str, Any]]:
    if message.role is Role.TOOL:
        return [_result(message.tool_call_id, message.text, message.status is not ToolStatus.COMPLETED)]
    if original_blocks := _blocks_of(message, provider):
        return original_blocks
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
