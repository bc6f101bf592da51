"""Lines come whole out of a pipe, stderr is bounded, and a child never outlives its block."""

import os
import signal
import sys

import pytest
import trio
import trio.testing

from oc_trio.agent import child
from oc_trio.agent.child import LineReader, LineTooLong, StderrLog, open_child
from tests.logbook import Logbook


@pytest.mark.parametrize(
    ("chunks", "lines"),
    [
        ([b"a\nb\n"], [b"a", b"b"]),
        ([b"a", b"b\n", b"\nc"], [b"ab", b"", b"c"]),
        ([b"\n"], [b""]),
        ([], []),
    ],
    ids=["two", "cut anywhere", "empty", "nothing"],
)
async def test_lines(chunks: list[bytes], lines: list[bytes]) -> None:
    """Lines come whole, however the bytes are divided."""
    ours, theirs = trio.testing.memory_stream_one_way_pair()
    reader = LineReader(theirs)
    found: list[bytes] = []
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def write() -> None:
            for chunk in chunks:
                await ours.send_all(chunk)
                await trio.testing.wait_all_tasks_blocked()
            await ours.aclose()

        while (line := await reader.next()) is not None:
            found.append(line)
    assert found == lines


async def test_many_lines_at_once_leave_others_their_turn() -> None:
    """A read may hold tens of thousands of lines."""
    ours, theirs = trio.testing.memory_stream_one_way_pair()
    await ours.send_all(b"y\n" * 10_000)
    await ours.aclose()
    reader, turns = LineReader(theirs), 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(others)
        while await reader.next() is not None:
            pass
        nursery.cancel_scope.cancel()
    assert turns >= 400


async def test_a_line_without_end_is_refused() -> None:
    """Memory is bounded."""
    ours, theirs = trio.testing.memory_stream_one_way_pair()
    await ours.send_all(b"x" * (child.MAX_LINE + 1))
    with pytest.raises(LineTooLong):
        await LineReader(theirs).next()


async def test_stderr_is_logged_but_not_all(logbook: Logbook) -> None:
    """Lines are counted; the first 200 are logged."""
    ours, theirs = trio.testing.memory_stream_one_way_pair()
    await ours.send_all(b"".join(b"line %d\n" % at for at in range(1000)))
    await ours.aclose()
    log = StderrLog("x", is_private=True)
    await log.run(theirs)
    assert log.ended.is_set()
    assert log.count == 1000
    assert [line["line"] for line in logbook.events if line["event"] == "child says"] == [
        f"line {at}" for at in range(200)
    ]


async def test_stderr_is_logged_again_an_hour_later(logbook: Logbook, autojump_clock: trio.testing.MockClock) -> None:
    """A server of tools that said too much once is heard again."""
    ours, theirs = trio.testing.memory_stream_one_way_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(StderrLog("x", is_private=False).run, theirs)
        for hour in range(2):
            await ours.send_all(b"".join(b"hour %d\n" % hour for _ in range(300)))
            await trio.sleep(3601)
        await ours.aclose()
    child_lines = [line["line"] for line in logbook.events if line["event"] == "child says"]
    assert child_lines == ["hour 0"] * 200 + ["hour 1"] * 200


async def test_stderr_that_is_no_text_is_closed() -> None:
    """Standard error that never ends a line is closed, after a bounded number of bytes."""
    ours, theirs = trio.testing.memory_stream_one_way_pair()
    await ours.send_all(b"x" * (child.MAX_LINE + 1))
    log = StderrLog("x", is_private=True)
    await log.run(theirs)
    assert log.ended.is_set()


@pytest.mark.parametrize(
    ("body", "code"),
    [("import time; time.sleep(60)", -signal.SIGTERM), ("pass", 0)],
    ids=["running", "ended"],
)
async def test_a_child_is_gone_when_its_block_is_left(body: str, code: int) -> None:
    """At the end of its block a child is asked to end, and its pipes are closed."""
    async with open_child((sys.executable, "-c", body), {}, grace=5) as process:
        if code == 0:
            await process.wait()
    assert process.returncode == code
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)
