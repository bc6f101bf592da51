"""Turns the events of Anthropic's streaming API, or one whole message, into our events. Pure; no I/O.

It accepts any JSON: values of an unexpected shape are ignored. The blocks of a response that calls tools are kept
unchanged, since signed thinking has to be sent back as it came while tools are in use.
"""

from collections.abc import Collection, Mapping
from itertools import takewhile
from typing import Any

from attrs import field

from oc_trio.agent import shapes
from oc_trio.agent.answer_text import AnswerText
from oc_trio.agent.plain_chunks import message_text, message_texts
from oc_trio.agent.port import ToolCall
from oc_trio.agent.sse import EventLines, ServerSentEvent
from oc_trio.agent.tool_calls import UNNAMED, free_id, parse_arguments
from oc_trio.agent.tool_loop import CUT_SHORT, FILTERED, ModelResponse, RequestedCall, with_opaque_fields
from oc_trio.classes import define
from oc_trio.core.text import clean_value, joined
from oc_trio.core.text_pieces import TextPieces
from oc_trio.core.turn_events import TextDelta, Thinking, Usage

BLOCKS = "blocks"  # the key of an answer's blocks in `Opaque.message`

_KINDS = {
    "text_delta": ("text", "text"),
    "thinking_delta": ("thinking", "thinking"),
    "input_json_delta": ("tool_use", "partial_json"),
    "signature_delta": ("thinking", "signature"),
}
# Proxies pass on the stop reasons of other APIs.
_REASONS = {"length": "max_tokens", "content_filter": "refusal"}
_WITH_INPUT = ("tool_use", "server_tool_use", "mcp_tool_use")


@define
class _Block:
    """A content block while it streams: `start` is from `content_block_start`, `parts` are the texts of its deltas."""

    start: dict[str, Any]
    parts: TextPieces = field(factory=TextPieces)
    given: object = None
    signature: str = ""

    @property
    def kind(self) -> str:
        return shapes.name(self.start.get("type"))

    @property
    def text(self) -> str:
        return joined(str(self.parts))


class MessageReader:
    """Turns stream events into ours; `answer` returns the whole response at the end.

    `taken` are the ids of tool calls that the conversation has already.
    """

    def __init__(self, provider: str = "", taken: Collection[str] = ()) -> None:
        self._provider = provider
        self._taken = taken
        self._order: list[_Block] = []
        self._at: dict[int, _Block] = {}
        self._text = AnswerText()
        self._usage = Usage()
        self.finish_reason = ""
        self.stopped = False

    def feed_plain(self, event: ServerSentEvent) -> tuple[TextDelta | Thinking, ...] | None:
        """As `feed`, for a piece of a text that has begun; None where the event may be anything else."""
        piece = message_text(event)
        block = self._at.get(piece.index) if piece is not None else None
        if piece is None or block is None or block.kind != "text":
            return None
        return self._text_delta(block, piece.delta.text)

    def feed_lines(self, events: EventLines) -> tuple[tuple[TextDelta | Thinking, ...], int]:
        """As `feed`, for as many of the events as are pieces of one text that has begun; how many comes back too."""
        pieces = message_texts(events)
        block = self._at.get(pieces[0].index) if pieces else None
        if block is None or block.kind != "text":
            return (), 0
        texts = [piece.delta.text for piece in takewhile(lambda piece: piece.index == pieces[0].index, pieces)]
        return self._text_delta(block, "".join(texts)), len(texts)

    def feed(self, event: Mapping[str, Any]) -> tuple[TextDelta | Thinking, ...]:
        """Read one event of the stream, or one whole message from a server that doesn't stream."""
        match event.get("type"):
            case "message_start":
                message = shapes.mapping(event.get("message"))
                self._count(message.get("usage"), message.get("model"))
            case "content_block_start":
                return self._start(shapes.index(event.get("index")), shapes.mapping(event.get("content_block")))
            case "content_block_delta":
                return self._delta(shapes.index(event.get("index")), shapes.mapping(event.get("delta")))
            case "message_delta":
                reason = shapes.name(shapes.mapping(event.get("delta")).get("stop_reason"))
                self.finish_reason = _REASONS.get(reason, reason) or self.finish_reason
                self._count(event.get("usage"), None)
            case "message_stop":
                self.stopped = True
            case _ if isinstance(event.get("content"), str | list):
                return self._whole(event)
        return ()

    def end(self) -> tuple[TextDelta | Thinking, ...]:
        """The rest that was buffered."""
        return self._text.end(may_be_thought=not self._has_calls and self.finish_reason != "max_tokens")

    @property
    def is_thinking(self) -> bool:
        """Whether a thought in tags is open, which becomes the answer if nothing else comes."""
        return self._text.is_thinking

    @property
    def empty(self) -> bool:
        return self._text.is_blank and not self._has_calls

    @property
    def _has_calls(self) -> bool:
        return any(block.kind == "tool_use" for block in self._order)

    def answer(self) -> ModelResponse:
        note = {"max_tokens": CUT_SHORT, "model_context_window_exceeded": CUT_SHORT, "refusal": FILTERED}
        used = set(self._taken)
        calls: list[RequestedCall] = []
        sent_back: list[dict[str, Any]] = []
        for block in self._order:
            if block.kind == "tool_use":
                calls.append(requested := _requested_call(block, used))
                call = requested.call
                sent_back.append(
                    {
                        **clean_value(block.start),
                        "type": "tool_use",
                        "id": call.id,
                        "name": call.name,
                        "input": dict(call.arguments),
                    }
                )
            elif (raw := _block_to_send_back(block)) is not None:
                sent_back.append(raw)
        calls_to_send = with_opaque_fields(calls, self._provider, {BLOCKS: sent_back})
        return ModelResponse(self._text.text, calls_to_send, self._usage, note.get(self.finish_reason, ""))

    def _whole(self, message: Mapping[str, Any]) -> tuple[TextDelta | Thinking, ...]:
        events: list[TextDelta | Thinking] = []
        content = message.get("content")
        for block in [{"type": "text", "text": content}] if isinstance(content, str) else shapes.items(content):
            events += self._start(None, shapes.mapping(block))
        self.finish_reason = shapes.name(message.get("stop_reason"))
        self._count(message.get("usage"), message.get("model"))
        self.stopped = True
        return tuple(events)

    def _start(self, index: int | None, announced: Mapping[str, Any]) -> tuple[TextDelta | Thinking, ...]:
        block = self._new(index, dict(announced))
        if block.kind == "text":
            return self._text_delta(block, shapes.text(announced.get("text")))
        if block.kind == "thinking":
            block.signature = shapes.text(announced.get("signature"))
            return self._thinking_delta(block, shapes.text(announced.get("thinking")))
        return ()

    def _new(self, index: int | None, start: dict[str, Any]) -> _Block:
        block = _Block(start)
        self._order.append(block)
        self._at[len(self._order) - 1 if index is None else index] = block
        return block

    def _delta(self, index: int | None, delta: Mapping[str, Any]) -> tuple[TextDelta | Thinking, ...]:
        if (kind_and_key := _KINDS.get(shapes.name(delta.get("type")))) is None:
            return ()
        kind, key = kind_and_key
        block = self._order[-1] if index is None and self._order else self._at.get(-1 if index is None else index)
        if block is not None and not block.start and not block.parts:
            block.start["type"] = kind  # announced without a type
        if kind == "tool_use":
            # Arguments that belong to no call are ignored.
            if block is not None and block.kind in _WITH_INPUT:
                piece = delta.get(key)
                if isinstance(piece, str):
                    block.parts.append(piece)
                elif piece is not None:
                    block.given = piece
            return ()
        if block is None or block.kind != kind:
            if key == "signature":
                return ()
            block = self._new(index, {"type": kind})
        if key == "signature":
            block.signature += shapes.text(delta.get(key))
            return ()
        text = shapes.text(delta.get(key))
        return self._text_delta(block, text) if kind == "text" else self._thinking_delta(block, text)

    def _text_delta(self, block: _Block, text: str) -> tuple[TextDelta | Thinking, ...]:
        if not text:
            return ()
        block.parts.append(text)
        return self._text.feed(text)

    def _thinking_delta(self, block: _Block, text: str) -> tuple[TextDelta | Thinking, ...]:
        block.parts.append(text)
        return self._text.feed_thought(text)

    def _count(self, usage: object, model: object) -> None:
        counts = shapes.mapping(usage)
        # The API counts tokens that it takes from its cache, or puts there, apart from the others.
        cached = sum(shapes.count(counts.get(f"cache_{kind}_input_tokens")) for kind in ("creation", "read"))
        self._usage = Usage(
            shapes.count(counts.get("input_tokens")) + cached or self._usage.input_tokens,
            shapes.count(counts.get("output_tokens")) or self._usage.output_tokens,
            shapes.name(model) or self._usage.model,
        )


def _requested_call(block: _Block, used: set[str]) -> RequestedCall:
    given = block.given
    if given is None:
        given = block.text if block.text.strip() else block.start.get("input")
    arguments, problem = parse_arguments(given)
    name, call_id = shapes.name(block.start.get("name")).strip(), shapes.name(block.start.get("id")).strip()
    if not name:
        problem = "The call names no tool."
    if not call_id or call_id in used:
        call_id = free_id(used)
    used.add(call_id)
    return RequestedCall(ToolCall(call_id, name or UNNAMED, arguments), problem)


def _block_to_send_back(block: _Block) -> dict[str, Any] | None:
    start: dict[str, Any] = clean_value(block.start)
    match block.kind:
        case "":
            return None
        case "text":
            return {**start, "text": block.text} if block.text.strip() else None
        case "thinking":
            signed = {"signature": joined(block.signature)} if block.signature else {}
            return {**start, "thinking": block.text, **signed}
    if block.kind in _WITH_INPUT and (block.parts or block.given is not None):
        return {**start, "input": parse_arguments(block.text if block.given is None else block.given)[0]}
    return start
