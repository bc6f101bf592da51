"""Adapts a request to what its model takes: leaves out or replaces what the server has refused. Pure.

A body is one of chat completions or of the Messages API: it has to have `messages`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from oc_trio.agent.refusals import LIMITS, STREAM, THOUGHTS, TOOLS, RefusedParts

# Fields that mean nothing without `tools`.
_WITH_TOOLS = frozenset({TOOLS, "tool_choice", "parallel_tool_calls", "functions", "function_call"})
_LEAST_THINKING = 1024  # tokens; Anthropic takes no smaller budget
_NOT_GIVEN = " "  # some servers take an empty text for a missing one
# Keywords whose value has property names as keys, which may look like keywords.
_NAMES = frozenset({"properties", "$defs", "definitions"})
_MORE = {"type": "text", "text": "(thought)"}


def adapted(body: Mapping[str, Any], refused: RefusedParts) -> dict[str, Any]:
    """`body` without the refused parts, or with their replacements."""
    result = dict(body)
    for name in refused.fields & result.keys() - {STREAM}:
        value, other = result.pop(name), LIMITS.get(name)
        if other and other not in refused.fields:
            result.setdefault(other, value)
    if TOOLS in refused.fields:
        result = {name: value for name, value in result.items() if name not in _WITH_TOOLS}
    if STREAM in refused.fields:
        result[STREAM] = False
        result.pop("stream_options", None)
    if refused.longest:
        result = shortened(result, refused.longest)
    if refused.message_fields:
        result["messages"] = [_without(message, refused.message_fields) for message in result["messages"]]
    if lacking := refused.lacking - refused.message_fields:
        result["messages"] = [
            {**dict.fromkeys(lacking, _NOT_GIVEN), **each} if each.get("tool_calls") else each
            for each in result["messages"]
        ]
    if refused.keywords and TOOLS in result:
        result[TOOLS] = [_without_keywords(tool, refused.keywords) for tool in result[TOOLS]]
    if refused.ids:
        result["messages"] = _with_plain_ids(result["messages"])
    return _without_system(result) if refused.system else result


def shortened(body: Mapping[str, Any], longest: int) -> dict[str, Any]:
    """`body` with at most `longest` tokens asked for; thinking, which counts among them, leaves half of them."""
    result = dict(body)
    for name in LIMITS.keys() & result.keys():
        if isinstance(result[name], int):
            result[name] = min(result[name], longest)
    thinking = result.get("thinking")
    if isinstance(thinking, dict) and isinstance(budget := thinking.get("budget_tokens"), int) and budget >= longest:
        result["thinking"] = {**thinking, "budget_tokens": longest // 2}
        # Too little for any thinking: the answer goes on without it.
        if longest // 2 < _LEAST_THINKING:
            del result["thinking"]
    return result


def _without(message: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    result = {name: value for name, value in message.items() if name not in names}
    for key in ("content", "tool_calls"):
        if isinstance(parts := result.get(key), list):
            result[key] = [_without(part, names) if isinstance(part, dict) else part for part in parts]
    if isinstance(function := result.get("function"), dict):
        result["function"] = _without(function, names)
    return result


def _without_keywords(schema: Any, keywords: frozenset[str]) -> Any:
    """A tool's specification, or a part of its schema, without these keywords."""
    if isinstance(schema, list):
        return [_without_keywords(each, keywords) for each in schema]
    if not isinstance(schema, dict):
        return schema
    result: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _NAMES and isinstance(value, dict):
            result[key] = {name: _without_keywords(each, keywords) for name, each in value.items()}
        elif key in ("enum", "required"):
            result[key] = value
        elif key not in keywords:
            result[key] = _without_keywords(value, keywords)
    return result


def _with_plain_ids(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The messages with new ids of tool calls: nine letters and digits, which every API takes."""
    plain: dict[str, str] = {}

    def plain_id(original_id: str) -> str:
        return plain.setdefault(original_id, f"call{len(plain):05}")

    def renamed(part: Mapping[str, Any]) -> dict[str, Any]:
        result = dict(part)
        if result.get("type") in ("tool_use", "function"):
            result["id"] = plain_id(result["id"])
        for key in ("tool_use_id", "tool_call_id"):
            if key in result and result.get("type") in (None, "tool_result"):
                result[key] = plain_id(result[key])
        for key in ("content", "tool_calls"):
            if isinstance(parts := result.get(key), list):
                result[key] = [renamed(each) if isinstance(each, dict) else each for each in parts]
        return result

    return [renamed(message) for message in messages]


def without_thoughts(body: Mapping[str, Any]) -> dict[str, Any]:
    """`body` without thinking blocks, and without asking for thinking; a message of nothing else gets a placeholder."""
    result = {name: value for name, value in body.items() if name != "thinking"}
    result["messages"] = [
        {**message, "content": [part for part in content if part.get("type") not in THOUGHTS] or [_MORE]}
        if isinstance(content := message.get("content"), list)
        else message
        for message in body["messages"]
    ]
    return result


def _without_system(body: Mapping[str, Any]) -> dict[str, Any]:
    """`body` with the system prompt moved into the first message, which is a user's."""
    result = {name: value for name, value in body.items() if name != "system"}
    prompts = [body.get("system"), *(each["content"] for each in body["messages"] if each["role"] == "system")]
    text = "\n\n".join(filter(None, map(_text, prompts)))
    first, *later = [each for each in body["messages"] if each["role"] != "system"]
    content = first["content"]
    content_with_prompt = (
        [{"type": "text", "text": text}, *content] if isinstance(content, list) else f"{text}\n\n{content}"
    )
    result["messages"] = [{**first, "content": content_with_prompt} if text else first, *later]
    return result


def _text(content: object) -> str:
    if isinstance(content, list):
        return "\n\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""
