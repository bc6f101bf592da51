"""Puts messages into the order that the strictest servers accept, whatever was silent, failed or cancelled. Pure.

Roles alternate, and the first and last message are a user's (tool results count as such); no message is empty; every
tool call is followed by its result, and every result has its call. Messages are dicts in the API's form; the input is
not changed.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Wire = Mapping[str, Any]

# Placeholders, used only where a server would refuse the conversation otherwise.
EARLIER = "(Earlier messages are not shown.)"
NOT_ANSWERED = "(Not answered yet.)"
GO_ON = "(Please go on.)"
NO_RESULT = "The call was interrupted: whether it took effect is unknown."


def openai_messages(messages: Iterable[Wire], *, tools: bool = True) -> list[dict[str, Any]]:
    """Chat completions messages without system ones. Without `tools`, calls and results become text."""
    out: list[dict[str, Any]] = []
    for message in _with_results(messages) if tools else _without_calls(messages):
        role = message["role"]
        if role != "tool" and not message.get("content") and not message.get("tool_calls"):
            continue
        last = out[-1]["role"] if out else ""
        # The strictest servers take no user's message right behind a result: an answer has to stand between.
        if role == "user" and last == "tool":
            out.append({"role": "assistant", "content": NOT_ANSWERED})
        elif role != "user" and not out:
            out.append({"role": "user", "content": EARLIER})
        if role == last and role != "tool":
            out[-1] = _joined(out[-1], message)
        else:
            out.append(dict(message))
    if not out or out[-1]["role"] == "assistant":
        out.append({"role": "user", "content": GO_ON if out else EARLIER})
    return out


def _joined(one: Wire, two: Wire) -> dict[str, Any]:
    merged = {**one, **two, "content": _content(one.get("content"), two.get("content"))}
    calls = [*one.get("tool_calls", ()), *two.get("tool_calls", ())]
    return {**merged, "tool_calls": calls} if calls else merged


def _content(one: Any, two: Any) -> Any:
    if isinstance(one, list) or isinstance(two, list):
        return _parts(one) + _parts(two)
    return "\n\n".join(text for text in (one, two) if text)


def _parts(content: Any) -> list[Any]:
    if isinstance(content, list):
        return content
    return [{"type": "text", "text": content}] if content else []


def _with_results(messages: Iterable[Wire]) -> list[Wire]:
    """Each call directly followed by its result, or by a failed one; results without a call are dropped."""
    all_messages = list(messages)
    out: list[Wire] = []
    for at, message in enumerate(all_messages):
        calls = message.get("tool_calls") if message["role"] == "assistant" else ()
        if message["role"] == "tool":
            continue  # taken along with its call
        if not calls:
            out.append(message)
            continue
        ids = _unique([call["id"] for call in calls])
        out.append({**message, "tool_calls": [{**call, "id": new} for call, new in zip(calls, ids, strict=True)]})
        results = _results_behind(all_messages, at)
        for call, new in zip(calls, ids, strict=True):
            result = next((each for each in results if each["tool_call_id"] == call["id"]), None)
            if result is not None:
                results.remove(result)
            out.append({"role": "tool", "content": NO_RESULT, **(result or {}), "tool_call_id": new})
    return out


def _results_behind(messages: Sequence[Wire], at: int) -> list[Wire]:
    """The results between a message with calls and the next message of the assistant."""
    results = []
    for message in messages[at + 1 :]:
        if message["role"] == "assistant":
            break
        if message["role"] == "tool":
            results.append(message)
    return results


def _unique(ids: Sequence[str]) -> list[str]:
    """The ids made unique: a repeated one gets a number."""
    used: set[str] = set()
    return [_unused_id(preferred, used) for preferred in ids]


def _unused_id(preferred: str, used: set[str]) -> str:
    new_id, number = preferred or "call", 1
    while new_id in used:
        number += 1
        new_id = f"{preferred or 'call'}_{number}"
    used.add(new_id)
    return new_id


def _without_calls(messages: Iterable[Wire]) -> list[Wire]:
    """For a model that takes no tools: the results of earlier calls become plain text."""
    names: dict[str, str] = {}
    out: list[Wire] = []
    for message in messages:
        names.update({call["id"]: call["function"]["name"] for call in message.get("tool_calls", ())})
        if message["role"] == "tool":
            name = names.get(message["tool_call_id"])
            if name is not None:
                out.append({"role": "user", "content": tool_result_as_text(name, message["content"])})
        else:
            out.append({key: value for key, value in message.items() if key != "tool_calls"})
    return out


def tool_result_as_text(name: str, result: str) -> str:
    """A tool's result as text, for a model that takes no tools."""
    return f"(The tool {name} was called before, with this result: {result})"


def anthropic_messages(messages: Iterable[Wire], *, tools: bool = True) -> list[dict[str, Any]]:
    """Messages API messages, whose `content` is a list of blocks. Without `tools`, calls and results become text."""
    taken: set[str] = set()
    pending: list[tuple[str, str]] = []  # calls without a result yet: id as given, id as sent
    out: list[dict[str, Any]] = []
    for message in messages if tools else _blocks_without_calls(messages):
        blocks: list[Wire] = list(message["content"])
        if message["role"] == "assistant":
            if pending:  # no user message came between
                _append_blocks(out, "user", _missing_results(pending))
            pending = []
            sent: list[Wire] = []
            for block in blocks:
                if block.get("type") == "tool_use":
                    pending.append((block["id"], _unused_id(block["id"], taken)))
                    block = {**block, "id": pending[-1][1]}
                sent.append(block)
            _append_blocks(out, "assistant", sent)
        else:
            results: list[Wire] = []
            for block in blocks:
                call = next((each for each in pending if each[0] == block.get("tool_use_id")), None)
                if block.get("type") == "tool_result" and call is not None:
                    pending.remove(call)
                    results.append({**block, "tool_use_id": call[1]})
            rest = [block for block in blocks if block.get("type") != "tool_result"]
            _append_blocks(out, "user", [*results, *_missing_results(pending), *rest])
            pending = []
    if pending:
        _append_blocks(out, "user", _missing_results(pending))
    if not out or out[-1]["role"] == "assistant":
        _append_blocks(out, "user", [{"type": "text", "text": GO_ON if out else EARLIER}])
    return out


def _append_blocks(out: list[dict[str, Any]], role: str, blocks: Sequence[Wire]) -> None:
    """Append blocks, to the last message if it has the same role."""
    if not blocks:
        return
    if not out and role == "assistant":
        out.append({"role": "user", "content": [{"type": "text", "text": EARLIER}]})
    if out and out[-1]["role"] == role:
        out[-1]["content"] += blocks
    else:
        out.append({"role": role, "content": list(blocks)})


def _missing_results(pending: Iterable[tuple[str, str]]) -> list[Wire]:
    return [{"type": "tool_result", "tool_use_id": sent, "content": NO_RESULT, "is_error": True} for _, sent in pending]


def _blocks_without_calls(messages: Iterable[Wire]) -> list[Wire]:
    names: dict[str, str] = {}
    out: list[Wire] = []
    for message in messages:
        blocks: list[Wire] = []
        for block in message["content"]:
            match block.get("type"):
                case "tool_use":
                    names[block["id"]] = block["name"]
                case "tool_result":
                    if block["tool_use_id"] in names:
                        text = tool_result_as_text(names[block["tool_use_id"]], str(block["content"]))
                        blocks.append({"type": "text", "text": text})
                case "thinking" | "redacted_thinking":
                    pass  # signed for a request with tools
                case _:
                    blocks.append(block)
        out.append({"role": message["role"], "content": blocks})
    return out
