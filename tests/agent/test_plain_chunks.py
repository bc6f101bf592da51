"""What is read as plain text is read as the tolerant reading would read it; everything else is left to that."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from oc_trio.agent.anthropic_reading import MessageReader
from oc_trio.agent.failures import error_in
from oc_trio.agent.openai_reading import CompletionReader
from oc_trio.agent.sse import EventLines, ServerSentEvent
from oc_trio.core.json_body import BadJson, read_keeping_surrogates
from oc_trio.core.turn_events import TextDelta, Thinking

ODD = st.sampled_from(
    [
        None,
        "",
        "x",
        "error",
        "stop",
        "abort",
        0,
        1,
        1.5,
        True,
        [],
        {},
        ["x"],
        {"error": "x"},
        {"message": "x"},
        "\ud83d",
    ]
)
TEXTS = st.one_of(st.text(max_size=8), st.sampled_from(["<think>", "a\x00b", "\ud83d", "\ude00", "</think>", "\ufeff"]))
DELTAS = st.fixed_dictionaries(
    {"content": st.one_of(TEXTS, ODD)},
    optional={"role": st.one_of(st.just("assistant"), ODD), "reasoning": TEXTS, "tool_calls": ODD, "refusal": ODD},
)
CHOICES = st.fixed_dictionaries(
    {"delta": st.one_of(DELTAS, ODD)}, optional={"index": ODD, "finish_reason": ODD, "logprobs": ODD, "error": ODD}
)
CHUNKS = st.fixed_dictionaries(
    {"choices": st.one_of(st.lists(CHOICES, max_size=2), ODD)},
    optional={
        **dict.fromkeys(("id", "created", "usage", "error", "errors", "type", "detail", "service_tier"), ODD),
        "model": st.one_of(st.sampled_from(["m", " m\x00\n", "\u200b"]), ODD),
        "object": st.one_of(st.just("chat.completion.chunk"), ODD),
    },
)


def state(reader: CompletionReader) -> tuple[Any, ...]:
    """All that a reader tells at the end."""
    return (reader.finish_reason, reader.end(), reader.answer())


@given(st.lists(CHUNKS, max_size=4), st.booleans())
@example([{"choices": [{"index": 0, "delta": {"content": "\ud83d"}}]}] * 2, True)
def test_a_plain_chunk_is_read_as_any_other(chunks: list[dict[str, Any]], escaped: bool) -> None:
    """With the same text, model and end; and it is no error."""
    plain, tolerant = CompletionReader("p"), CompletionReader("p")
    for chunk in chunks:
        text = json.dumps(chunk, ensure_ascii=escaped).encode("utf-8", "replace").decode()
        event = ServerSentEvent(text)
        value = read_keeping_surrogates(text)
        expected = tolerant.feed(value)
        found = plain.feed_plain(event)
        if found is None:
            found = plain.feed(value)
        else:
            assert error_in(value) is None
        assert found == expected
    assert state(plain) == state(tolerant)


def joined(deltas: list[TextDelta | Thinking]) -> list[TextDelta | Thinking]:
    """With adjacent texts and adjacent thoughts as one: it is a matter of time how many of them come together."""
    runs = [(kind, "".join(delta.text for delta in each)) for kind, each in itertools.groupby(deltas, type)]
    return [kind(text) for kind, text in runs if text]


@given(st.lists(CHUNKS, max_size=4), st.booleans(), st.lists(TEXTS, max_size=6))
def test_plain_chunks_are_read_together_as_one_by_one(
    chunks: list[dict[str, Any]], escaped: bool, texts: list[str]
) -> None:
    """Up to the first that may be anything else: how many were read is told."""
    values = [*({"choices": [{"delta": {"content": text}}], "model": "m"} for text in texts), *chunks]
    lines = [json.dumps(value, ensure_ascii=escaped).encode("utf-8", "replace") for value in values]
    together, single = CompletionReader("p"), CompletionReader("p")
    deltas, count = together.feed_lines(EventLines("", lines))
    found, expected = list(deltas), list[TextDelta | Thinking]()
    for number, line in enumerate(lines):
        value = read_keeping_surrogates(line.decode())
        expected += single.feed(value)
        if number < count:
            assert error_in(value) is None
        else:
            found += together.feed(value)
    assert joined(found) == joined(expected)
    assert state(together) == state(single)


@pytest.mark.parametrize(
    "text",
    [
        "[DONE]",
        "",
        "{",
        '{"choices": []}',
        '{"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}]}',
        '{"choices": [{"delta": {"content": "a", "reasoning_content": "b"}}]}',
        '{"choices": [{"delta": {"content": "a"}}], "usage": {"prompt_tokens": 1}}',
        '{"choices": [{"delta": {"content": "a"}}], "created": NaN}',
        '{"choices": [{"delta": {"content": "\\ud83d"}}]}',
        '{"choices": [{"delta": {"content": "' + "a" * 70_000 + '"}}]}',
    ],
)
def test_what_may_mean_more_is_left_to_the_tolerant_reading(text: str) -> None:
    """As are errors, ends, halves of characters, and events that are parsed in a thread."""
    assert CompletionReader().feed_plain(ServerSentEvent(text)) is None


def test_an_event_with_a_name_is_no_plain_chunk() -> None:
    """It may be named an error."""
    text = '{"choices": [{"delta": {"content": "a"}}]}'
    assert CompletionReader().feed_plain(ServerSentEvent(text, "error")) is None
    assert CompletionReader().feed_lines(EventLines("error", [text.encode()])) == ((), 0)
    assert CompletionReader().feed_lines(EventLines("", [text.encode()] * 2)) == ((TextDelta("aa"),), 2)
    assert CompletionReader().feed_plain(ServerSentEvent(text)) is not None


@given(st.lists(st.tuples(st.sampled_from([0, 1, 7, True, None]), st.one_of(TEXTS, ODD)), max_size=4), st.booleans())
def test_a_piece_of_a_message_is_read_as_any_other(pieces: list[tuple[Any, Any]], named: bool) -> None:
    """Anthropic's; one of a block that has not begun, or is no text, is left to the tolerant reading."""
    plain, tolerant = MessageReader("p"), MessageReader("p")
    for reader in (plain, tolerant):
        reader.feed({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
        reader.feed({"type": "content_block_start", "index": 1, "content_block": {"type": "thinking"}})
    for index, piece in pieces:
        value = {"type": "content_block_delta", "index": index, "delta": {"type": "text_delta", "text": piece}}
        event = ServerSentEvent(json.dumps(value), "content_block_delta" if named else "")
        try:
            expected = tolerant.feed(read_keeping_surrogates(event.data))
        except BadJson:
            continue
        found = plain.feed_plain(event)
        assert (plain.feed(read_keeping_surrogates(event.data)) if found is None else found) == expected
    assert (plain.end(), plain.answer()) == (tolerant.end(), tolerant.answer())


@given(st.lists(st.tuples(st.sampled_from([0, 0, 0, 1, 7]), TEXTS), max_size=6))
def test_pieces_of_a_message_are_read_together_as_one_by_one(pieces: list[tuple[int, str]]) -> None:
    """Up to one of another block."""
    together, single = MessageReader("p"), MessageReader("p")
    for reader in (together, single):
        for index in (0, 1):
            block = {"type": "text", "text": ""}
            reader.feed({"type": "content_block_start", "index": index, "content_block": block})
    values = [
        {"type": "content_block_delta", "index": index, "delta": {"type": "text_delta", "text": text}}
        for index, text in pieces
    ]
    deltas, count = together.feed_lines(
        EventLines("content_block_delta", [json.dumps(value).encode() for value in values])
    )
    found, expected = list(deltas), list[TextDelta | Thinking]()
    for number, value in enumerate(values):
        expected += single.feed(value)
        found += together.feed(value) if number >= count else ()
    assert count or not pieces or pieces[0][0] == 7 or "\ud83d" in pieces[0][1] or "\ude00" in pieces[0][1]
    assert joined(found) == joined(expected)
    assert (together.end(), together.answer()) == (single.end(), single.answer())
