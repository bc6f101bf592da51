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


FRAGMENTS = st.sampled_from(
    [
        b'data: {"a": 1}\n\n',
        b'data: {"b": "\xc3\xbc\xff"}\n\n',
        b'data:{"a": 1}\n\n',
        b'data:  {"a": 1}\n\n',
        b'data: {"a": 1}\r\n\r\n',
        b'data: {"a": 1}\r\r',
        b'event: x.y\ndata: {"a": 1}\n\n',
        b'event: z\ndata: {"a": 1}\n\n',
        b'id: 1\ndata: {"a": 1}\n\n',
        b'data: {"a": 1}\nid: 1\n\n',
        b'data: {"a":\ndata: 1}\n\n',
        b'data: {"a": 1}\n',
        b'{"error": 1}\n',
        b": ping\n\n",
        b"data: [DONE]\n\n",
        b"event: x\n",
        b"data: ",
        b"\n",
        b"\r",
    ]
)


def pieces_of(stream: bytes, data: st.DataObject) -> list[bytes]:
    """The stream, cut at a few places."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    return [stream[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(stream)])]


@given(st.lists(FRAGMENTS, max_size=8), st.data())
def test_events_that_are_decoded_together_are_the_same(fragments: list[bytes], data: st.DataObject) -> None:
    """Whatever stands before, between and behind them, and wherever they are cut."""
    stream = b"".join(fragments)
    decoder = SseDecoder()
    events: list[ServerSentEvent] = []
    for piece in pieces_of(stream, data):
        together, rest = decoder.take_lines(piece)
        events += together.events() if together is not None else ()
        events += decoder.feed(rest)
    assert [*events, *decoder.end()] == decode(stream)


@pytest.mark.parametrize("beginning", [b"data: ", b"data:", b"event: x\ndata: "])
@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n"])
def test_the_events_of_an_answer_are_decoded_together(beginning: bytes, end: bytes) -> None:
    """Also where the first of them began in an earlier piece, and the last goes on in a later one."""
    decoder = SseDecoder()
    decoder.feed(b'data: {"first": 1}\n\n' + beginning[:4])
    together, rest = decoder.take_lines(
        beginning[4:] + b'{"a": 1}' + end + (beginning + b'{"a": 1}' + end) * 2 + beginning + b"{"
    )
    assert together is not None
    assert together.lines == [b'{"a": 1}'] * 3
    assert decoder.feed(rest) == ()
    assert [event.data for event in decoder.feed(b"}" + end)] == ["{}"]


def test_a_large_event_is_decoded_by_itself() -> None:
    """It may be parsed in a thread."""
    decoder = SseDecoder()
    decoder.feed(b"data: a\n\n")
    event = b'data: {"a": "%s"}\n\n' % (b"a" * 70_000)
    assert decoder.take_lines(event) == (None, event)


LINES = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=12)


@pytest.mark.slow
@given(st.lists(LINES, max_size=4), st.sampled_from(["\n", "\r\n", "\r"]), st.data())
def test_what_is_encoded_is_decoded(values: list[str], end: str, data: st.DataObject) -> None:
    """Any text in any number of events, cut anywhere, comes out as it went in."""
    stream = "".join(f"data: {value}{end}{end}" for value in values).encode()
    assert decode(*pieces_of(stream, data)) == [ServerSentEvent(value) for value in values]


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
