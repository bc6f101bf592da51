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
    made = dict(body)
    for name in refused.fields & made.keys() - {STREAM}:
        value, other = made.pop(name), LIMITS.get(name)
        if other and other not in refused.fields:
            made.setdefault(other, value)
    if TOOLS in refused.fields:
        made = {name: value for name, value in made.items() if name not in _WITH_TOOLS}
    if STREAM in refused.fields:
        made[STREAM] = False
        made.pop("stream_options", None)
    if refused.longest:
        made = shortened(made, refused.longest)
    if refused.message_fields:
        made["messages"] = [_without(message, refused.message_fields) for message in made["messages"]]
    if lacking := refused.lacking - refused.message_fields:
        made["messages"] = [
            {**dict.fromkeys(lacking, _NOT_GIVEN), **each} if each.get("tool_calls") else each
            for each in made["messages"]
        ]
    if refused.keywords and TOOLS in made:
        made[TOOLS] = [_without_keywords(tool, refused.keywords) for tool in made[TOOLS]]
    if refused.ids:
        made["messages"] = _with_plain_ids(made["messages"])
    return _without_system(made) if refused.system else made


def shortened(body: Mapping[str, Any], longest: int) -> dict[str, Any]:
    """`body` with at most `longest` tokens asked for; thinking, which counts among them, leaves half of them."""
    made = dict(body)
    for name in LIMITS.keys() & made.keys():
        if isinstance(made[name], int):
            made[name] = min(made[name], longest)
    thinking = made.get("thinking")
    if isinstance(thinking, dict) and isinstance(budget := thinking.get("budget_tokens"), int) and budget >= longest:
        made["thinking"] = {**thinking, "budget_tokens": longest // 2}
        if longest // 2 < _LEAST_THINKING:
            del made["thinking"]
    return made


def _without(message: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    made = {name: value for name, value in message.items() if name not in names}
    for key in ("content", "tool_calls"):
        if isinstance(parts := made.get(key), list):
            made[key] = [_without(part, names) if isinstance(part, dict) else part for part in parts]
    if isinstance(function := made.get("function"), dict):
        made["function"] = _without(function, names)
    return made


def _without_keywords(schema: Any, keywords: frozenset[str]) -> Any:
    """A tool's specification, or a part of its schema, without these keywords."""
    if isinstance(schema, list):
        return [_without_keywords(each, keywords) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _NAMES and isinstance(value, dict):
            made[key] = {name: _without_keywords(each, keywords) for name, each in value.items()}
        elif key in ("enum", "required"):
            made[key] = value
        elif key not in keywords:
            made[key] = _without_keywords(value, keywords)
    return made


def _with_plain_ids(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The messages with new ids of tool calls: nine letters and digits, which every API takes."""
    plain: dict[str, str] = {}

    def of(given: str) -> str:
        return plain.setdefault(given, f"call{len(plain):05}")

    def renamed(part: Mapping[str, Any]) -> dict[str, Any]:
        made = dict(part)
        if made.get("type") in ("tool_use", "function"):
            made["id"] = of(made["id"])
        for key in ("tool_use_id", "tool_call_id"):
            if key in made and made.get("type") in (None, "tool_result"):
                made[key] = of(made[key])
        for key in ("content", "tool_calls"):
            if isinstance(parts := made.get(key), list):
                made[key] = [renamed(each) if isinstance(each, dict) else each for each in parts]
        return made

    return [renamed(message) for message in messages]


def without_thoughts(body: Mapping[str, Any]) -> dict[str, Any]:
    """`body` without thinking blocks, and without asking for thinking; a message of nothing else gets a placeholder."""
    made = {name: value for name, value in body.items() if name != "thinking"}
    made["messages"] = [
        {**message, "content": [part for part in content if part.get("type") not in THOUGHTS] or [_MORE]}
        if isinstance(content := message.get("content"), list)
        else message
        for message in body["messages"]
    ]
    return made


def _without_system(body: Mapping[str, Any]) -> dict[str, Any]:
    """`body` with the system prompt moved into the first message, which is a user's."""
    made = {name: value for name, value in body.items() if name != "system"}
    given = [body.get("system"), *(each["content"] for each in body["messages"] if each["role"] == "system")]
    text = "\n\n".join(filter(None, map(_text, given)))
    first, *later = [each for each in body["messages"] if each["role"] != "system"]
    content = first["content"]
    led = [{"type": "text", "text": text}, *content] if isinstance(content, list) else f"{text}\n\n{content}"
    made["messages"] = [{**first, "content": led} if text else first, *later]
    return made


def _text(content: object) -> str:
    if isinstance(content, list):
        return "\n\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""
