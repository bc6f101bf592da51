"""Converts a session's transcript between the journal's JSON and the agent's messages, and cuts it to a budget."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from attrs import evolve

from oc_trio.agent.port import ImagePart, Message, Role, ToolCall
from oc_trio.core.text_prefix import text_after
from oc_trio.core.transcript import TranscriptEntry, entries_within_budget
from oc_trio.core.turn_events import Opaque, ToolStatus
from oc_trio.ids import SessionKey
from oc_trio.store.damage import reading


def to_json(message: Message) -> str:
    """One journal entry. Of images only file id and type are kept: they are downloaded again for the next turn."""
    # Defaults are left out: a long conversation has thousands of these rows.
    entry: dict[str, Any] = {"role": message.role.value, "text": message.text}
    if ids := [[image.file_id, image.mime] for image in message.images if image.file_id]:
        entry["images"] = ids
    if message.tool_calls:
        entry["calls"] = [_call_to_json(call) for call in message.tool_calls]
    if message.tool_call_id:
        entry["of"] = message.tool_call_id
    if message.status is not ToolStatus.COMPLETED:
        entry["ended"] = message.status.value
    if message.detail:
        entry["detail"] = message.detail
    if not message.tool_calls:
        return msgspec.json.encode(entry).decode()
    # Arguments are a model's: they may hold numbers that only the standard library writes.
    return json.dumps(entry, ensure_ascii=False, separators=(",", ":"))


def from_json(text: str) -> Message:
    """An entry as `to_json` wrote it; its images are without data until they are fetched."""
    entry = json.loads(text)
    calls = tuple(_call_from_json(call) for call in entry.get("calls", ()))
    return Message(
        Role(entry["role"]),
        entry["text"],
        tuple(ImagePart(mime, b"", file_id) for file_id, mime in entry.get("images", ())),
        tool_calls=calls,
        tool_call_id=entry.get("of", ""),
        status=ToolStatus(entry.get("ended", ToolStatus.COMPLETED)),
        detail=entry.get("detail", ""),
    )


def _call_to_json(call: ToolCall) -> dict[str, Any]:
    entry: dict[str, Any] = {"id": call.id, "name": call.name, "arguments": dict(call.arguments)}
    if call.opaque.provider or call.opaque.batch:
        opaque = {"by": call.opaque.provider, "batch": call.opaque.batch}
        more = {"message": dict(call.opaque.message), "call": dict(call.opaque.call)}
        entry["opaque"] = {**opaque, **{key: value for key, value in more.items() if value}}
    return entry


def _call_from_json(entry: dict[str, Any]) -> ToolCall:
    """A tool call; entries of releases before provider data was kept have no `opaque`."""
    fields = entry.get("opaque") or {}
    opaque = Opaque(fields.get("by", ""), fields.get("batch", ""), fields.get("message", {}), fields.get("call", {}))
    return ToolCall(entry["id"], entry["name"], entry["arguments"], opaque)


def fit_budget(budget: int, messages: Sequence[Message]) -> tuple[Message, ...]:
    """The newest messages that fit into `budget` tokens; the user's newest is always among them."""
    entries = [_entry(message) for message in messages]
    return tuple(messages[index] for index in entries_within_budget(entries, budget))


def read(session: SessionKey, rows: Iterable[str]) -> tuple[Message, ...]:
    """The entries of a session, or of a turn of it. Raises StoreUnusable where one can't be read."""
    with reading("transcripts", f"session {session}"):
        return tuple(from_json(row) for row in rows)


def tool_calls_only(messages: Iterable[Message]) -> tuple[Message, ...]:
    """The tool calls and their results, without the text around them: for a turn that is run again and must not repeat
    them, but answers another text.
    """
    return tuple(
        evolve(message, text="") if message.tool_calls else message
        for message in messages
        if message.tool_calls or message.role is Role.TOOL
    )


def last_entry(answer: str, rows: Sequence[Message]) -> str:
    """The text of a turn's last entry: the part of the whole answer that its earlier entries, `rows`, don't have.

    After a restart the agent may have repeated only what it wrote since. Where all of the answer came before the last
    tool call it is repeated: a transcript without a last entry would look like a turn without an answer.
    """
    before = [message.text for message in rows if message.tool_calls and message.text.strip()]
    rests = (text_after(answer, before[at:]) for at in range(len(before)))
    return next((rest for rest in rests if rest), answer)


def last_row(session: SessionKey, said: str, rows: Sequence[str]) -> str:
    """The journal entry of an answer at the end of its turn's entries `rows`; empty where there is none to add.

    Raises StoreUnusable where one of them can't be read.
    """
    if not said:
        return ""
    messages = read(session, rows)
    if messages and messages[-1].role is Role.ASSISTANT and not messages[-1].tool_calls:
        return ""  # an earlier delivery of the same result has written it
    return to_json(Message(Role.ASSISTANT, last_entry(said, messages)))


def _entry(message: Message) -> TranscriptEntry:
    calls = json.dumps([_call_to_json(call) for call in message.tool_calls]) if message.tool_calls else ""
    return TranscriptEntry(message.role.value, message.text, calls, message.tool_call_id)
