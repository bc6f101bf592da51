"""Logs: one line per event, secrets cut out wherever they hide, and never a reason to fail."""

import contextvars
import io
import json
import logging
import re
from collections.abc import Generator
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog

from oc_trio.errors import OcTrioError
from oc_trio.telemetry.log import Redactor, configure, get_logger, lines_together

SECRET = "correct-horse-battery"
MASK = "[redacted]"


@pytest.fixture(autouse=True)
def restored() -> Generator[None, None, None]:
    """Each test leaves the process's logging as it found it."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_line_of_json_holds_the_event_its_level_and_what_was_bound() -> None:
    """For machines: one object per line, a time in UTC."""
    out = io.StringIO()
    configure(json=True, stream=out)
    get_logger(part="test").info("it happened", account="default", count=3)
    [line] = lines(out)
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "it happened", "level": "info", "part": "test", "account": "default", "count": 3}


def test_context_that_was_bound_around_is_in_the_line() -> None:
    """structlog's context variables follow tasks."""
    out = io.StringIO()
    configure(json=True, stream=out)

    def inner() -> None:
        structlog.contextvars.bind_contextvars(turn="t1")
        get_logger().info("deep down")

    contextvars.copy_context().run(inner)
    assert lines(out)[0]["turn"] == "t1"


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        pytest.param("debug", ["debug", "info", "warning", "error"], id="debug"),
        pytest.param("info", ["info", "warning", "error"], id="info"),
        pytest.param("error", ["error"], id="error"),
        pytest.param("loud", ["info", "warning", "error"], id="unknown"),
    ],
)
def test_the_level_is_the_least_serious_that_is_written(level: str, expected: list[str]) -> None:
    """An unknown level means info."""
    out = io.StringIO()
    configure(level=level, json=True, stream=out)
    log = get_logger()
    for name in ("debug", "info", "warning", "error"):
        getattr(log, name)(name)
    assert [line["level"] for line in lines(out)] == expected


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "wanted", "is_json"),
    [
        pytest.param(io.StringIO(), None, True, id="a pipe"),
        pytest.param(Terminal(), None, False, id="a terminal"),
        pytest.param(Terminal(), True, True, id="a terminal, json asked for"),
        pytest.param(io.StringIO(), False, False, id="a pipe, text asked for"),
    ],
)
def test_the_form_follows_the_stream_unless_told(stream: io.StringIO, wanted: bool | None, is_json: bool) -> None:
    """People get text, machines JSON."""
    configure(json=wanted, stream=stream)
    get_logger().info("hello")
    assert stream.getvalue().startswith("{") is is_json


class Odd:
    def __str__(self) -> str:
        return f"odd with {SECRET}"


@pytest.mark.parametrize(
    ("value", "cleaned"),
    [
        pytest.param(f"Bearer {SECRET}!", f"Bearer {MASK}!", id="inside a string"),
        pytest.param({"a": [SECRET, 1]}, {"a": [MASK, 1]}, id="nested"),
        pytest.param({SECRET: "x"}, {MASK: "x"}, id="as a key"),
        pytest.param((SECRET, "x"), [MASK, "x"], id="in a tuple"),
        pytest.param({SECRET}, [MASK], id="in a set"),
        pytest.param(Odd(), f"odd with {MASK}", id="in an object's text"),
        pytest.param(ValueError(SECRET), MASK, id="in an exception"),
        pytest.param(SECRET.encode(), f"b'{MASK}'", id="in bytes"),
        pytest.param(None, None, id="nothing"),
        pytest.param(True, True, id="a truth value"),
        pytest.param(1.5, 1.5, id="a number"),
    ],
)
def test_a_secret_is_cut_out_of_any_value(value: object, cleaned: object) -> None:
    """A secret is cut out by its value, in whatever field it appears."""
    assert Redactor([SECRET]).clean(value) == cleaned


def test_short_values_are_no_secrets() -> None:
    """An empty or tiny "secret" would blank out ordinary words."""
    assert Redactor(["", "the"]).clean("on the way") == "on the way"


def test_a_secret_that_begins_another_leaves_nothing_of_it() -> None:
    """The longer one is cut out as a whole."""
    assert Redactor(["token-one", "token-one-and-more"]).clean("token-one-and-more") == MASK


def test_a_secret_that_was_learnt_later_is_cut_out_too() -> None:
    """A token that was replaced while the process runs is as secret as the first."""
    out, redactor = io.StringIO(), Redactor()
    configure(json=True, redactor=redactor, stream=out)
    redactor.add(SECRET)
    get_logger().info("told", token=SECRET)
    assert lines(out)[0]["token"] == MASK


@pytest.mark.parametrize("as_json", [pytest.param(True, id="json"), pytest.param(False, id="text")])
def test_a_traceback_shows_no_locals_and_no_secrets(as_json: bool) -> None:
    """Frames are for developers; what was in their variables is nobody's business."""
    out = io.StringIO()
    configure(json=as_json, redactor=Redactor([SECRET]), stream=out)
    private_part = "only-in-a-local-" + "variable"
    try:
        raise OcTrioError(f"the server said {SECRET} to {len(private_part)}")
    except OcTrioError as problem:
        get_logger().error("failed", exc_info=problem)
    text = out.getvalue()
    assert "OcTrioError" in text
    assert MASK in text
    assert SECRET not in text
    assert "only-in-a-local-variable" not in text


@pytest.mark.parametrize("as_json", [pytest.param(True, id="json"), pytest.param(False, id="text")])
def test_what_libraries_say_takes_the_same_way(as_json: bool) -> None:
    """A warning through `logging` has the same form and is as clean; their chatter stays out."""
    out = io.StringIO()
    configure(json=as_json, redactor=Redactor([SECRET]), stream=out)
    logging.getLogger("some.package").info("chatter")
    logging.getLogger("some.package").warning("refused %s", SECRET)
    [line] = out.getvalue().splitlines()
    assert f"refused {MASK}" in line
    assert "some.package" in line
    assert line.startswith("{") is as_json


def test_configuring_again_replaces_the_stream_for_libraries_too() -> None:
    """No line is written twice after a second call."""
    first, second = io.StringIO(), io.StringIO()
    configure(json=True, stream=first)
    configure(json=True, stream=second)
    logging.getLogger("some.package").warning("once")
    assert first.getvalue() == ""
    assert [line["event"] for line in lines(second)] == ["once"]


def test_httpx_prints_no_addresses() -> None:
    """Its INFO lines hold whole URLs, tokens in queries included."""
    configure(json=True, stream=io.StringIO())
    assert logging.getLogger("httpx").getEffectiveLevel() == logging.WARNING


class Broken(io.StringIO):
    """A pipe whose reader has gone."""

    def write(self, text: str) -> int:
        raise BrokenPipeError

    def flush(self) -> None:
        raise BrokenPipeError


def test_a_reader_that_has_gone_ends_nothing() -> None:
    """Lines get lost, work goes on; also when the stream was closed."""
    closed = io.StringIO()
    configure(json=True, stream=closed)
    closed.close()
    get_logger().warning("nobody hears")
    configure(json=True, stream=Broken())
    get_logger().warning("nobody hears")
    logging.getLogger("some.package").warning("nobody hears")


ODD: list[Any] = [
    pytest.param("half \ud83d of an emoji", id="half an emoji"),
    pytest.param("a\0b", id="NUL"),
    pytest.param("\x1b[2J\x1b]0;title\x07 wiped", id="escapes of a terminal"),
    pytest.param("done\n2026-01-01T00:00:00Z [error] forged", id="a line of its own"),
    pytest.param("a\u2028b\u202ec\x9bd\r", id="separators and direction marks"),
    pytest.param(10**5000, id="a number without an end"),
    pytest.param(float("nan"), id="no number"),
    pytest.param("x" * 200_000, id="too long"),
    pytest.param(b"\xff\x1b", id="bytes"),
    pytest.param({"k\x1b": ["\ud800", {"\0": float("inf")}]}, id="nested"),
    pytest.param({1: 2, None: 3}, id="keys that are no text"),
]


class Unspeakable:
    def __str__(self) -> str:
        raise ValueError("no words")

    __repr__ = __str__


def _deep() -> list[Any]:
    value: list[Any] = []
    for _ in range(5_000):
        value = [value]
    return value


@pytest.mark.parametrize("as_json", [pytest.param(True, id="json"), pytest.param(False, id="text")])
@pytest.mark.parametrize("value", [*ODD, pytest.param(Unspeakable(), id="no str"), pytest.param(_deep(), id="deep")])
def test_an_odd_value_is_one_printable_line(value: object, as_json: bool) -> None:
    """Neither a terminal nor a reader of JSON is misled, and logging it never fails."""
    out = io.StringIO()
    configure(json=as_json, stream=out)
    get_logger().info(value if isinstance(value, str) else "said", line=value)
    logging.getLogger("some.package").warning("said %s", value if isinstance(value, str) else "x")
    written = out.getvalue().splitlines()
    assert len(written) == 2
    for line in written:
        line.encode()
        assert line.isprintable()
        assert len(line) < 200_000
    if as_json:
        assert all(json.loads(line, parse_constant=pytest.fail)["event"] for line in written)


def test_an_odd_exception_forges_no_line() -> None:
    """Its own line breaks are indented as the traceback is."""
    out = io.StringIO()
    configure(json=False, stream=out)
    try:
        raise ValueError("\ud83d\x1b[2J\n2026-01-01T00:00:00Z [error] forged")
    except ValueError as problem:
        get_logger().error("failed", exc_info=problem)
    first, *others = out.getvalue().splitlines()
    assert "failed" in first
    assert all(line.startswith("    ") and line.isprintable() for line in others)


def test_a_terminal_that_is_not_utf8_loses_nothing() -> None:
    """Characters that the terminal can't show are escaped."""
    raw = io.BytesIO()
    configure(json=False, stream=io.TextIOWrapper(raw, encoding="ascii", write_through=True))
    get_logger().info("grün")
    assert b"gr\\xfcn" in raw.getvalue()


def test_lines_that_belong_together_go_out_in_one_write() -> None:
    """In their order, at the end of the block, also where it ends by an error."""
    written: list[str] = []

    class Pieces(io.StringIO):
        def write(self, text: str) -> int:
            written.append(text)
            return len(text)

    configure(json=True, stream=Pieces())
    log = get_logger(part="test")
    with pytest.raises(LookupError), lines_together():  # noqa: PT012 - that the block ends by an error is the point
        log.info("one")
        log.info("two")
        assert not written
        raise LookupError
    log.info("three")
    assert [[json.loads(line)["event"] for line in piece.splitlines()] for piece in written] == [
        ["one", "two"],
        ["three"],
    ]


def test_times_are_in_utc_to_the_microsecond() -> None:
    """As structlog writes them."""
    out = io.StringIO()
    configure(json=True, stream=out)
    before = datetime.now(UTC)
    get_logger(part="test").info("now")
    [line] = lines(out)
    assert before <= datetime.fromisoformat(line["timestamp"]) <= datetime.now(UTC)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line["timestamp"])
