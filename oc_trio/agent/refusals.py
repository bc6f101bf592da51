"""Finds in a model server's error text which part of a request it refuses: fields, roles, limits. Pure.

Servers refuse with 400, 404, 422 or 500 and in their own words. What is not certain is not taken for a refusal of a
part: the turn then fails, and the log has the text. A body is read by the names that chat completions and the Messages
API share: it has to have `messages`.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from oc_trio.agent.refusal_words import plain
from oc_trio.agent.refused_lengths import longest_answer
from oc_trio.classes import frozen

TOOLS, STREAM = "tools", "stream"
THOUGHTS = frozenset({"thinking", "redacted_thinking"})  # kinds of blocks
LIMITS = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
_NEEDED = frozenset({"model", "messages", STREAM, "system"})
# Parts of messages that every server of its API takes.
_PLAIN = frozenset(
    {"role", "content", "name", "tool_calls", "tool_call_id", "id", "type", "function", "index", "arguments"}
    | {"text", "image_url", "source", "input", "tool_use_id", "is_error", "thinking", "signature", "data"}
)

# Searched in text normalised by `plain`: lower case, one blank between words.
_TOPIC = (
    r"\b(?:tools?|tool[ _-](?:use|calls?|calling|choice)|function[ _-]?call(?:s|ing)?|functions)\b"
    r"(?! (?:names?|ids?|type|schema|results?|messages?)\b)"
)
_IS_NOT = r"(?:not|isn't|aren't|cannot|can't)(?: \w+){0,2} (?:supported|enabled|allowed|available|permitted)\b"
_REFUSES_TOOLS = re.compile(
    rf"(?:\bnot|n't|\bcannot|\bno longer)(?: \w+){{0,2}} support\w*(?: [\w'-]+){{0,5}} {_TOPIC}"
    rf"|{_TOPIC}(?: [\w'-]+){{0,2}} {_IS_NOT}"
    rf"|{_TOPIC}(?: [\w'-]+){{0,2}} (?:unsupported|disabled|unavailable)\b"
    rf"|\bunsupported(?: [\w'-]+){{0,3}} {_TOPIC}"
    rf"|\bno(?: \w+){{1,3}} support(?: [\w'-]+){{0,3}} {_TOPIC}"
    rf"|\b(?:no|without|lacks) {_TOPIC} support"
    rf"|{_TOPIC}(?: [\w'-]+){{0,3}} requires? --"
    # OpenClaw's endpoint, where a tool on offer has the name of one of its agent's own.
    r"|\binvalid tool configuration\b"
)
_UNKNOWN = re.compile(
    r"\bun(?:supported|known|recogni[sz]ed|expected)\b|\bnot (?:\w+ ){0,2}?(?:support|permit|allow|recogni[sz]e)"
    r"|n't (?:\w+ )?support|\bonly the default\b|\bextra (?:inputs|fields|input)\b|\bno such (?:parameter|field)\b"
    r"|\binvalid (?:parameter|argument|field)\b|\bdeprecated\b|\badditional properties\b|\bmay only be set to\b"
)
# Two fields that exclude each other.
_NOT_BOTH = re.compile(r"\bcannot both be\b|\bat the same time\b|\bnot both\b|\bonly one of\b")
_REFUSES_THINKING = re.compile(
    r"\bthink value\b|\bsupport(?: \w+)? thinking\b|\bthinking(?: \w+){0,4} not (?:supported|enabled|available)\b"
    r"|(?:\bnot|n't) support(?: parameters?)? reasoning[ _]effort\b"  # LiteLLM, of thinking that it translated
)
_REFUSES_STREAM = re.compile(
    r"\bstream does not support true\b|\bstreaming is not (?:supported|enabled|allowed|available)\b"
    r"|\b(?:not|n't) support streaming\b"
)
_SYSTEM = r"(?<!multiple )(?<!additional )\b(?:system|developer) (?:roles?|messages?|prompts?|instructions?)\b"
_REFUSES_SYSTEM = re.compile(
    rf"{_SYSTEM}(?: [\w'-]+){{0,2}} {_IS_NOT}|{_SYSTEM}(?: is)? unsupported\b"
    rf"|(?:\bnot|n't|\bcannot)(?: \w+)? (?:support|accept|allow)\w*(?: (?!multiple)[\w'-]+){{0,3}} {_SYSTEM}"
    r"|\brole does not support (?:system|developer)\b|\broles are supported got system\b"
    r"|\b(?:invalid|unsupported|unexpected|unknown) (?:message )?role system\b"
)
# Mistral wants nine letters and digits, Anthropic a pattern, OpenAI at most 40 characters.
_REFUSES_IDS = re.compile(
    r"\btool call id was\b|\btool_use id string should match pattern\b|\btool_calls \d+ id string too long\b"
    r"|\btool_call_id string too long\b|\binvalid tool[ _]call[ _]id\b"
)
# As `adapted` makes them.
PLAIN_ID = re.compile(r"call\d{5}")
# Fields that some providers require with tool calls, and that calls of another model don't have.
_MAY_LACK = ("reasoning_content",)
_OF_A_TOOL = re.compile(r"\btools?\b|\bfunctions?\b|\bfunction_declarations?\b|\bparameters\b|\bschema\b")
# Keywords of JSON Schema that only restrict or explain: a tool works without them.
_NARROWING = frozenset(
    {
        "$schema",
        "$id",
        "$comment",
        "additionalProperties",
        "propertyNames",
        "patternProperties",
        "unevaluatedProperties",
    }
    | {"default", "title", "examples", "const", "format", "pattern", "minLength", "maxLength"}
    | {
        "minItems",
        "maxItems",
        "uniqueItems",
        "multipleOf",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
    }
    | {
        "minProperties",
        "maxProperties",
        "deprecated",
        "readOnly",
        "writeOnly",
        "contentMediaType",
        "contentEncoding",
        "strict",
    }
)
# Chat templates with two roles only: they take no tool results, and some no system message.
_TWO_SIDES = re.compile(r"\broles must alternate\b|\bonly user and assistant roles\b")
_TAKES_SYSTEM = re.compile(r"\boptional system\b")
_REMOVE = re.compile(r"\bplease remove\b|\bmust not (?:contain|include|be sent)\b")

_REFUSES_THOUGHTS = re.compile(
    r"\binvalid signature in thinking\b|\bsignature field required\b|\bthinking (?:or|and) redacted_thinking\b"
    r"|\bmust (?:begin|start) with an? thinking\b|\bleading (?:redacted_)?thinking block\b"
)


@frozen
class RefusedParts:
    """The parts of a request that a model refuses: fields, fields within messages, keywords within schemas of tools, a
    system message, foreign ids of tool calls, an answer of more than `longest` tokens; and `lacking`, fields that it
    requires in every message with tool calls.
    """

    fields: frozenset[str] = frozenset()
    message_fields: frozenset[str] = frozenset()
    keywords: frozenset[str] = frozenset()
    lacking: frozenset[str] = frozenset()
    system: bool = False
    ids: bool = False
    longest: int | None = None

    def __bool__(self) -> bool:
        return self != NOTHING

    def __or__(self, other: "RefusedParts") -> "RefusedParts":
        longest = [limit for limit in (self.longest, other.longest) if limit]
        return RefusedParts(
            self.fields | other.fields,
            self.message_fields | other.message_fields,
            self.keywords | other.keywords,
            self.lacking | other.lacking,
            self.system or other.system,
            self.ids or other.ids,
            min(longest) if longest else None,
        )


NOTHING = RefusedParts()


def find_refused(body: Mapping[str, Any], words: str, needed: frozenset[str] = frozenset()) -> RefusedParts:
    """The parts of `body` that a server refuses with this text; `needed` fields are never among them."""
    plain_words = plain(words)
    if (longest := longest_answer(words)) and any(
        isinstance(limit := body.get(name), int) and limit > longest for name in LIMITS
    ):
        return RefusedParts(longest=longest)
    if has_system(body) and (
        _REFUSES_SYSTEM.search(plain_words)
        or ("system" in body and _UNKNOWN.search(plain_words) and _names(words, "system"))
    ):
        return RefusedParts(system=True)
    if _TWO_SIDES.search(plain_words):
        if _has_results(body):
            return RefusedParts(frozenset({TOOLS}))
        return RefusedParts(system=has_system(body) and not _TAKES_SYSTEM.search(plain_words))
    if _REFUSES_IDS.search(plain_words) and any(not PLAIN_ID.fullmatch(each) for each in _ids(body)):
        return RefusedParts(ids=True)
    if lacking := frozenset(name for name in _MAY_LACK if _lacks(body, name) and _asks_for(plain_words, name)):
        return RefusedParts(lacking=lacking)
    if (
        _UNKNOWN.search(plain_words)
        and _OF_A_TOOL.search(plain_words)
        and (words_of_schemas := _keywords_named(body, words))
    ):
        return RefusedParts(keywords=words_of_schemas)
    if _UNKNOWN.search(plain_words) or _REMOVE.search(plain_words):
        names = frozenset(name for name in _of_messages(body) if name not in body and _names_inside(words, name))
        if names:
            return RefusedParts(message_fields=names)
    return RefusedParts(refused_fields(body, words) - needed)


def refuses_tools(words: str) -> bool:
    """Whether this error text says that the model takes no tools."""
    return _REFUSES_TOOLS.search(plain(words)) is not None


def refused_fields(body: Mapping[str, Any], words: str) -> frozenset[str]:
    """The optional fields of `body` that a server refuses with this text.

    A long name is enough (`stream_options`); a name that is an ordinary word (`stop`) must stand in quotes.
    """
    plain_words = plain(words)
    if "tool_choice" in body and _names(words, "tool_choice") and _UNKNOWN.search(plain_words):
        return frozenset({"tool_choice"})
    if TOOLS in body and refuses_tools(words):
        return frozenset({TOOLS})
    if body.get(STREAM) and _REFUSES_STREAM.search(plain_words):
        return frozenset({STREAM})
    if (thinking := body.keys() & {"thinking", "reasoning_effort"}) and _REFUSES_THINKING.search(plain_words):
        return frozenset(thinking)
    named = [name for name in body if name not in _NEEDED and _names(words, name)]
    if len(named) > 1 and _NOT_BOTH.search(plain_words):
        return frozenset(named[-1:])
    if not _UNKNOWN.search(plain_words):
        # We added these two ourselves, so any mention in an error refuses them: it can't be an operator's mistake.
        return frozenset(name for name in ("stream_options", "reasoning_effort") if name in body and name in words)
    return frozenset(named)


def refuses_thoughts(body: Mapping[str, Any], words: str) -> bool:
    """Whether a server refuses the thinking of earlier answers, or its absence, in a request with thinking."""
    parts = (part for message in body["messages"] for part in message.get("content") or () if isinstance(part, dict))
    has_any = bool(body.get("thinking")) or any(part.get("type") in THOUGHTS for part in parts)
    return has_any and _REFUSES_THOUGHTS.search(plain(words)) is not None


def has_system(body: Mapping[str, Any]) -> bool:
    """Whether a request has a system prompt, in the form of either API."""
    return bool(body.get("system")) or any(message.get("role") == "system" for message in body["messages"])


def _has_results(body: Mapping[str, Any]) -> bool:
    return any(message.get("role") == "tool" or message.get("tool_calls") for message in body["messages"])


def _ids(body: Mapping[str, Any]) -> Iterator[str]:
    for message in body["messages"]:
        yield from (call["id"] for call in message.get("tool_calls") or ())
        content = message.get("content")
        for part in content if isinstance(content, list) else ():
            if part.get("type") == "tool_use":
                yield part["id"]


def _lacks(body: Mapping[str, Any], name: str) -> bool:
    return any(message.get("tool_calls") and name not in message for message in body["messages"])


def _asks_for(plain_words: str, name: str) -> bool:
    """Whether a normalised text says that a field is missing."""
    escaped = re.escape(name)
    return (
        re.search(rf"\bmissing {escaped}\b|\b{escaped}\b.{{0,60}} (?:is missing|must be|is required)\b", plain_words)
        is not None
    )


def _keywords_named(body: Mapping[str, Any], words: str) -> frozenset[str]:
    """The keywords within the schemas of a request's tools that a server names."""
    used = frozenset(_keys_within(body.get(TOOLS))) & _NARROWING
    return frozenset(name for name in used if re.search(rf"['\"`]{re.escape(name)}['\"`]", words))


def _keys_within(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for each in inner:
        yield from _keys_within(each)


def _of_messages(body: Mapping[str, Any]) -> frozenset[str]:
    """The fields within messages that not every server knows: what a provider gave and gets back."""
    return frozenset(name for message in body["messages"] for name in _names_of(message)) - _PLAIN


def _names_of(message: Mapping[str, Any]) -> Iterator[str]:
    yield from message
    for key in ("content", "tool_calls"):
        parts = message.get(key)
        for part in parts if isinstance(parts, list) else ():
            if isinstance(part, dict):
                yield from part
                if isinstance(function := part.get("function"), dict):
                    yield from function


def _names(words: str, name: str) -> bool:
    escaped = re.escape(name)
    if (camel := re.sub(r"_(\w)", lambda match: match[1].upper(), name)) != name:
        escaped = f"(?:{escaped}|{re.escape(camel)})"  # xAI speaks of reasoningEffort
    # Pydantic's "top_k: Extra inputs are not permitted" stands at the beginning of a sentence.
    pattern = rf"['\"`]{escaped}['\"`]|(?:^|: ){escaped}: "
    pattern += rf"|(?:supplied|parameter|argument|field|property)s?:? {escaped}(?![\w\[.-])"
    if "_" in name or name == "temperature":
        pattern += rf"|(?<![\w.-]){escaped}(?![\w\[-]|\.\w)"
    return re.search(pattern, words) is not None


def _names_inside(words: str, name: str) -> bool:
    """Whether a field within a message is named: `messages.2.assistant.reasoning_content`, or by its name alone."""
    escaped = re.escape(name)
    if "_" in name:
        return re.search(rf"(?<![\w-]){escaped}(?![\w-])", words) is not None
    return "messages" in words and re.search(rf"['\"`.]{escaped}['\"`:]", words) is not None
