"""Builds request bodies for `openai-completions` from a turn. Pure; no I/O. `openai_reading` reads the responses.

Source: the chat completions API as OpenAI, vLLM, llama.cpp, Ollama, LM Studio, OpenRouter and DeepSeek implement it;
where they differ, all forms are read and the simplest one is written.
"""

import base64
import json
from collections.abc import Mapping
from typing import Any

from oc_trio.agent.message_order import openai_messages
from oc_trio.agent.port import ImagePart, Message, Role, ToolCall, TurnRequest
from oc_trio.agent.tool_loop import ToolRound, transcript


def request_body(
    request: TurnRequest,
    rounds: tuple[ToolRound, ...],
    model: str,
    options: Mapping[str, Any],
    provider: str = "",
    *,
    tools: bool = True,
) -> dict[str, Any]:
    """The JSON body of `POST /chat/completions`; `options` are the operator's own fields and win.

    Extra fields that came with tool calls go back to the `provider` that sent them, and to no other. Without `tools`
    none are offered, and results of earlier calls become plain text.
    """
    messages: list[dict[str, Any]] = []
    if request.system_prompt:
        messages.append({"role": "system", "content": request.system_prompt})
    messages += openai_messages([_message(message, provider) for message in transcript(request, rounds)], tools=tools)
    body: dict[str, Any] = {
        "model": model,
        "messages": messages,
        "stream": True,
        # Without it a stream ends without token counts.
        "stream_options": {"include_usage": True},
    }
    if tools and request.tools.specs:
        body["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": spec.name,
                    "description": spec.description,
                    "parameters": dict(spec.parameters) or {"type": "object", "properties": {}},
                },
            }
            for spec in request.tools.specs
        ]
    if request.thinking in ("low", "medium", "high"):
        body["reasoning_effort"] = request.thinking
    return {**body, **options}


def data_uri(image: ImagePart) -> str:
    return f"data:{image.mime};base64,{base64.b64encode(image.data).decode()}"


def _message(message: Message, provider: str) -> dict[str, Any]:
    match message.role:
        case Role.TOOL:
            return {"role": "tool", "tool_call_id": message.tool_call_id, "content": message.text}
        case Role.ASSISTANT:
            out: dict[str, Any] = {"role": "assistant", "content": message.text}
            if message.tool_calls:
                extra = message.tool_calls[0].opaque
                out |= extra.message if provider and extra.provider == provider else {}
                out["tool_calls"] = [_call(call, provider) for call in message.tool_calls]
            return out
        case Role.USER if message.images:
            parts: list[dict[str, Any]] = [{"type": "text", "text": message.text}] if message.text else []
            parts += [{"type": "image_url", "image_url": {"url": data_uri(image)}} for image in message.images]
            return {"role": "user", "content": parts}
        case Role.USER:
            return {"role": "user", "content": message.text}


def _call(call: ToolCall, provider: str) -> dict[str, Any]:
    extra = call.opaque.call if provider and call.opaque.provider == provider else {}
    function = {**extra.get("function", {}), "name": call.name, "arguments": json.dumps(dict(call.arguments))}
    return {**extra, "id": call.id, "type": "function", "function": function}
