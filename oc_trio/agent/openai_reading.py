"""Turns the chunks of a streamed chat completion, or one whole completion, into our events. Pure; no I/O.

It accepts any JSON: values of an unexpected shape are ignored.
"""

from collections.abc import Collection, Mapping
from typing import Any

from attrs import evolve

from oc_trio.agent import shapes
from oc_trio.agent.answer_text import AnswerText
from oc_trio.agent.plain_chunks import CompletionChunk, completion_chunk, completion_chunks
from oc_trio.agent.sse import EventLines, ServerSentEvent
from oc_trio.agent.tool_calls import ToolCallReader
from oc_trio.agent.tool_loop import CUT_SHORT, FILTERED, MAX_EXTRA, ModelResponse, with_opaque_fields
from oc_trio.core.json_body import has_more_values
from oc_trio.core.text import clean, clean_value, joined
from oc_trio.core.turn_events import TextDelta, Thinking, Usage

# Fields of a message that we read; all others go back with the results of its tool calls.
_READ = frozenset({"role", "content", "refusal", "tool_calls", "function_call", "annotations", "audio"})

# Finish reasons of servers that have their own (Mistral, GLM, Gemini), in lower case.
_REASONS = {
    **dict.fromkeys(("model_length", "max_tokens", "max_output_tokens"), "length"),
    **dict.fromkeys(("sensitive", "safety", "recitation", "prohibited_content", "blocklist"), "content_filter"),
}
# Finish reasons that mean a failure: GLM's, DeepSeek's, vLLM's and SGLang's, Gemini's. The answer is incomplete.
_FAILURES = frozenset({"error", "network_error", "insufficient_system_resource", "abort", "malformed_function_call"})


def is_failure(finish_reason: object) -> bool:
    """Whether a choice ended by a failure of the server."""
    return shapes.name(finish_reason).lower().rpartition(": ")[2] in _FAILURES


class CompletionReader:
    """Turns chunks into events; `answer` returns the whole response at the end.

    `tools` are the names of the tools offered, `taken` the ids of tool calls that the conversation has already.
    """

    def __init__(self, provider: str = "", tools: Collection[str] = (), taken: Collection[str] = ()) -> None:
        self._provider = provider
        self._taken = taken
        self._text = AnswerText()
        self._calls = ToolCallReader(tools)
        self._extra: dict[str, Any] = {}
        self._extra_texts: dict[str, list[str]] = {}
        self._usage = Usage()
        self.finish_reason = ""

    def feed_plain(self, event: ServerSentEvent) -> tuple[TextDelta | Thinking, ...] | None:
        """As `feed`, for a chunk of text alone; None where the event may be anything else."""
        chunk = completion_chunk(event)
        return None if chunk is None else self._take_chunks([chunk])

    def feed_lines(self, events: EventLines) -> tuple[tuple[TextDelta | Thinking, ...], int]:
        """As `feed`, for as many of the events as are chunks of text alone; how many comes back too."""
        chunks = completion_chunks(events)
        return self._take_chunks(chunks), len(chunks)

    def feed(self, chunk: Mapping[str, Any]) -> tuple[TextDelta | Thinking, ...]:
        """Read one chunk, or one whole completion from a server that doesn't stream."""
        self._read_usage(chunk)
        choices = [choice for choice in shapes.items(chunk.get("choices")) if isinstance(choice, dict)]
        # One choice was asked for; a server that sends several numbers them.
        choice = next((choice for choice in choices if shapes.index(choice.get("index")) in (None, 0)), None)
        if choice is None:
            return ()
        reason = shapes.name(choice.get("finish_reason"))
        self.finish_reason = _REASONS.get(reason.lower(), reason) or self.finish_reason
        delta = choice.get("delta") or choice.get("message") or choice.get("text")
        if isinstance(delta, str):
            delta = {"content": delta}
        delta = shapes.mapping(delta)
        self._keep_extra({key: value for key, value in delta.items() if key not in _READ})
        text, thought = shapes.text_and_thinking(delta.get("content"))
        thought = shapes.text(delta.get("reasoning_content")) or shapes.text(delta.get("reasoning")) or thought
        thoughts = self._text.feed_thought(thought)
        texts = self._text.feed(text or shapes.text(delta.get("refusal")))
        self._calls.feed(shapes.items(delta.get("tool_calls")))
        self._calls.feed(shapes.items(delta.get("function_call")))
        return (*thoughts, *texts)

    def end(self) -> tuple[TextDelta | Thinking, ...]:
        """The rest that was buffered."""
        return self._text.end(may_be_thought=not self._calls and self.finish_reason != "length")

    @property
    def is_thinking(self) -> bool:
        """Whether a thought in tags is open, which becomes the answer if nothing else comes."""
        return self._text.is_thinking

    @property
    def empty(self) -> bool:
        return not self._calls and self._text.is_blank

    def answer(self) -> ModelResponse:
        note = {"length": CUT_SHORT, "content_filter": FILTERED}.get(self.finish_reason, "")
        calls = self._calls.requested_calls(self._taken)
        calls = with_opaque_fields(calls, self._provider, self._sent_back() if calls else {})
        return ModelResponse(self._text.text, calls, self._usage, note)

    def _take_chunks(self, chunks: list[CompletionChunk]) -> tuple[TextDelta | Thinking, ...]:
        for chunk in chunks:
            if (model := chunk.model) and model != self._usage.model:
                self._usage = evolve(self._usage, model=shapes.name(model) or self._usage.model)
        return self._text.feed("".join([chunk.choices[0].delta.content for chunk in chunks]))

    def _keep_extra(self, delta: Mapping[str, Any]) -> None:
        """Unknown fields: texts and lists come in pieces and are joined; of other values the last one counts."""
        for key, value in delta.items():
            if isinstance(value, str):
                self._extra_texts.setdefault(key, []).append(value)
            elif isinstance(value, list) and isinstance(kept := self._extra.setdefault(key, []), list):
                kept += value
            elif value is not None:
                self._extra[key] = value

    def _sent_back(self) -> dict[str, Any]:
        extra = {**self._extra, **{key: joined("".join(pieces)) for key, pieces in self._extra_texts.items()}}
        if has_more_values(extra, MAX_EXTRA):
            return {}
        return {clean(key): clean_value(value) for key, value in extra.items()}

    def _read_usage(self, chunk: Mapping[str, Any]) -> None:
        usage = shapes.mapping(chunk.get("usage"))
        self._usage = Usage(
            shapes.count(usage.get("prompt_tokens")) or self._usage.input_tokens,
            shapes.count(usage.get("completion_tokens")) or self._usage.output_tokens,
            shapes.name(chunk.get("model")) or self._usage.model,
        )
