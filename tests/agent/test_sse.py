"""Events come out whole however the bytes are cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.agent import sse
from oc_trio.agent.sse import ServerSentEvent, SseDecoder, SseOverflow


def decode(*chunks: bytes) -> list[ServerSentEvent]:
    decoder = SseDecoder()
    events = [event for chunk in chunks for event in decoder.feed(chunk)]
    return [*events, *decoder.end()]


CASES = [
    pytest.param(b"data: a\n\n", [ServerSentEvent("a")], id="one"),
    pytest.param(b"data:a\r\n\r\ndata: b\r\r", [ServerSentEvent("a"), ServerSentEvent("b")], id="line ends"),
    pytest.param(b"data: a\ndata:  b\n\n", [ServerSentEvent("a\n b")], id="two lines, one space dropped"),
    pytest.param(b"event: x\ndata: a\n\ndata: b\n\n", [ServerSentEvent("a", "x"), ServerSentEvent("b")], id="types"),
    pytest.param(b": ping\n\nid: 1\nretry: 5\nnothing\n\n", [], id="no data, no event"),
    pytest.param(b"data\n\n", [ServerSentEvent("")], id="a field without colon is empty"),
    pytest.param(b"\xef\xbb\xbfdata: a\n\n", [ServerSentEvent("a")], id="byte order mark"),
    pytest.param("data: ü€😀\n\n".encode(), [ServerSentEvent("ü€😀")], id="more bytes than characters"),
    pytest.param(b"data: a\n\ndata: b", [ServerSentEvent("a"), ServerSentEvent("b")], id="an unfinished last event"),
    pytest.param(b"data: \xff\n\n", [ServerSentEvent("\ufffd")], id="no UTF-8"),
    pytest.param(b"", [], id="nothing"),
]


@pytest.mark.parametrize(("stream", "events"), CASES)
def test_events_do_not_depend_on_where_the_bytes_are_cut(stream: bytes, events: list[ServerSentEvent]) -> None:
    """Whole, byte by byte, and cut in two at every place."""
    assert decode(stream) == events
    assert decode(*(bytes([byte]) for byte in stream)) == events
    for at in range(len(stream) + 1):
        assert decode(stream[:at], stream[at:]) == events
        assert decode(stream[:at], b"", stream[at:]) == events


LINES = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=12)


@pytest.mark.slow
@given(st.lists(LINES, max_size=4), st.sampled_from(["\n", "\r\n", "\r"]), st.data())
def test_what_is_encoded_is_decoded(values: list[str], end: str, data: st.DataObject) -> None:
    """Any text in any number of events, cut anywhere, comes out as it went in."""
    stream = "".join(f"data: {value}{end}{end}" for value in values).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    pieces = [stream[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(stream)])]
    assert decode(*pieces) == [ServerSentEvent(value) for value in values]


@given(st.binary(max_size=200))
def test_garbage_is_never_an_error(stream: bytes) -> None:
    """The decoder goes on after anything that is no event."""
    assert decode(stream) == decode(*(bytes([byte]) for byte in stream))


@pytest.mark.parametrize("piece", [b"x" * 1_000_000, b"data: " + b"x" * 1_000_000 + b"\n"], ids=["line", "lines"])
def test_a_runaway_event_is_refused(piece: bytes) -> None:
    """Memory is bounded, with and without line ends."""
    decoder = SseDecoder()
    for _ in range(sse.MAX_PENDING // len(piece)):
        decoder.feed(piece)
    with pytest.raises(SseOverflow):
        decoder.feed(piece)
