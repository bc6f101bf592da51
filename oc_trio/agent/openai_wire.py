"""The words of `openai-completions`: a turn as a request body, streamed chunks as events. Pure; no I/O.

Source: the chat completions API as OpenAI, vLLM, llama.cpp, Ollama, LM Studio, OpenRouter and DeepSeek speak it; where
they differ, everything is read and the plainest form is written.
"""

import base64
import json
from collections.abc import Mapping
from typing import Any

from oc_trio.agent.port import ImagePart, Message, Role, ToolCall, TurnRequest
from oc_trio.agent.rounds import CUT_SHORT, FILTERED, Answer, Asked, Round, transcript
from oc_trio.agent.think_tags import ThinkSplitter
from oc_trio.agent.well_formed import openai_messages
from oc_trio.core.turn_events import TextDelta, Thinking, Usage


def request_body(
    request: TurnRequest, rounds: tuple[Round, ...], model: str, options: Mapping[str, Any], *, tools: bool = True
) -> dict[str, Any]:
    """The JSON body of `POST /chat/completions`; `options` are the operator's own fields and win.

    Without `tools` none are offered, and what earlier calls gave is told as text.
    """
    messages: list[dict[str, Any]] = []
    if request.system_prompt:
        messages.append({"role": "system", "content": request.system_prompt})
    messages += openai_messages([_message(message) for message in transcript(request, rounds)], tools=tools)
    body: dict[str, Any] = {
        "model": model,
        "messages": messages,
        "stream": True,
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


def _message(message: Message) -> dict[str, Any]:
    match message.role:
        case Role.TOOL:
            return {"role": "tool", "tool_call_id": message.tool_call_id, "content": message.text}
        case Role.ASSISTANT:
            out: dict[str, Any] = {"role": "assistant", "content": message.text}
            if message.tool_calls:
                out["tool_calls"] = [
                    {
                        "id": call.id,
                        "type": "function",
                        "function": {"name": call.name, "arguments": json.dumps(dict(call.arguments))},
                    }
                    for call in message.tool_calls
                ]
            return out
        case Role.USER if message.images:
            parts: list[dict[str, Any]] = [{"type": "text", "text": message.text}] if message.text else []
            parts += [{"type": "image_url", "image_url": {"url": data_uri(image)}} for image in message.images]
            return {"role": "user", "content": parts}
        case Role.USER:
            return {"role": "user", "content": message.text}


class Completion:
    """Chunks in, events out; at the end `answer` says what it came to."""

    def __init__(self) -> None:
        self._splitter = ThinkSplitter()
        self._text: list[str] = []
        self._calls: list[dict[str, str]] = []
        self._usage = Usage()
        self.finish_reason = ""

    def feed(self, chunk: Mapping[str, Any]) -> tuple[TextDelta | Thinking, ...]:
        """Read one chunk, or one whole completion from a server that doesn't stream."""
        self._read_usage(chunk)
        choices = chunk.get("choices") or ()
        if not choices or not isinstance(choices[0], dict):
            return ()
        choice = choices[0]
        self.finish_reason = choice.get("finish_reason") or self.finish_reason
        delta = choice.get("delta") or choice.get("message") or {}
        events: list[TextDelta | Thinking] = []
        if thought := _plain(delta.get("reasoning_content")) or _plain(delta.get("reasoning")):
            events.append(Thinking(thought))
        if text := _plain(delta.get("content")) or _plain(delta.get("refusal")):
            events += self._splitter.feed(text)
        for call in delta.get("tool_calls") or ():
            self._read_call(call)
        return self._keep(events)

    def end(self) -> tuple[TextDelta | Thinking, ...]:
        return self._keep(list(self._splitter.end()))

    @property
    def empty(self) -> bool:
        return not self._text and not self._calls

    def answer(self) -> Answer:
        note = {"length": CUT_SHORT, "content_filter": FILTERED}.get(self.finish_reason, "")
        calls = tuple(_asked(call, at) for at, call in enumerate(self._calls))
        return Answer("".join(self._text), calls, self._usage, note)

    def _keep(self, events: list[TextDelta | Thinking]) -> tuple[TextDelta | Thinking, ...]:
        self._text += [event.text for event in events if isinstance(event, TextDelta)]
        return tuple(events)

    def _read_usage(self, chunk: Mapping[str, Any]) -> None:
        usage = chunk.get("usage")
        model = chunk.get("model")
        self._usage = Usage(
            _count(usage, "prompt_tokens") or self._usage.input_tokens,
            _count(usage, "completion_tokens") or self._usage.output_tokens,
            model if isinstance(model, str) and model else self._usage.model,
        )

    def _read_call(self, delta: Mapping[str, Any]) -> None:
        """OpenAI numbers the calls; servers that send each call whole leave the index out or repeat 0."""
        function = delta.get("function") or {}
        name, arguments, call_id = function.get("name") or "", function.get("arguments"), delta.get("id") or ""
        index = str(delta.get("index", ""))
        current = next((call for call in reversed(self._calls) if call["index"] == index), None)
        if current is None or (name and call_id and current["id"] not in ("", call_id)):
            current = {"index": index, "id": call_id, "name": name, "arguments": ""}
            self._calls.append(current)
        current["id"] = current["id"] or call_id
        current["name"] = current["name"] or name
        if isinstance(arguments, dict):
            arguments = json.dumps(arguments)
        current["arguments"] += arguments or ""


def _asked(call: Mapping[str, str], at: int) -> Asked:
    call_id = call["id"] or f"call_{at}"
    arguments, problem = parse_arguments(call["arguments"])
    return Asked(ToolCall(call_id, call["name"], arguments), problem)


def parse_arguments(text: str) -> tuple[dict[str, Any], str]:
    """The JSON object that a model wrote, or why it is none, in words for the model."""
    if not text.strip():
        return {}, ""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as exc:
        return {}, f"The arguments are not valid JSON: {exc}"
    return (value, "") if isinstance(value, dict) else ({}, "The arguments must be a JSON object.")


def _plain(value: object) -> str:
    """Text of a delta: a string, or a list of text parts (Mistral); half an emoji can't be posted and is replaced."""
    if isinstance(value, list):
        value = "".join(str(part.get("text") or "") for part in value if isinstance(part, dict))
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def _count(usage: object, key: str) -> int:
    value = usage.get(key) if isinstance(usage, dict) else 0
    return value if isinstance(value, int) else 0
