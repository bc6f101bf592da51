"""The newest lines of the log: bounded, numbered, and without secrets."""

import io

from oc_trio.telemetry.log import Redactor, configure, get_logger
from oc_trio.telemetry.log_tail import MAX_LINES, LogTail


def test_older_lines_make_room() -> None:
    """The numbers go on, so that a reader knows what it has seen."""
    tail = LogTail()
    for _ in range(MAX_LINES + 10):
        tail(None, "info", {"event": "x"})
    lines = tail.after(0, MAX_LINES * 2)
    assert (len(lines), lines[0].number, lines[-1].number) == (MAX_LINES, 11, MAX_LINES + 10)
    assert tail.after(MAX_LINES + 9, 10) == (lines[-1],)
    assert tail.after(0, 0) == ()


def test_secrets_are_cut_out_before() -> None:
    """What is kept is what was printed."""
    tail = LogTail()
    try:
        configure(json=True, redactor=Redactor(["quittenmus"]), stream=io.StringIO(), tail=tail)
        get_logger(part="test").info("a word", about="quittenmus and more")
    finally:
        configure()
    [line] = tail.after(0, 10)
    assert line.event["about"] == "[redacted] and more"
    assert {"timestamp", "level", "part"} <= set(line.event)
