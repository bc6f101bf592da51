"""Rereading a token from its source: a new value, the same value, or a source that can't be read."""

import os
from pathlib import Path

import pytest
import structlog
import trio
import trio.testing

from oc_trio.config.secrets import Secret, SecretRef, SecretSource
from oc_trio.runtime.account.token import Token

Clock = trio.testing.MockClock


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("first-token\n")
    path.chmod(0o600)
    return path


def put(file: Path, text: str | None) -> None:
    """Replace the file's words, or the file by nothing."""
    file.unlink() if text is None else file.write_text(text)


def end_of(pipe: Path) -> None:
    """Let the abandoned thread read an end."""
    os.close(os.open(pipe, os.O_RDWR))


def token_of(file: Path, rotated: list[str]) -> Token:
    return Token(Secret("first-token", SecretRef(SecretSource.FILE, str(file))), {}, rotated.append)


async def test_a_replaced_token_is_taken_and_told(file: Path) -> None:
    """From now on requests carry the new one, and logs know it."""
    rotated: list[str] = []
    token = token_of(file, rotated)
    assert token.reveal() == "first-token"
    put(file, "second-token\n")
    assert await token.reread()
    assert (token.reveal(), rotated) == ("second-token", ["second-token"])
    put(file, "third-token\n")
    assert await token.reread()
    assert token.reveal() == "third-token"


async def test_the_same_token_is_no_news(file: Path) -> None:
    """A token that was read again unchanged is neither reported nor logged."""
    rotated: list[str] = []
    token = token_of(file, rotated)
    with structlog.testing.capture_logs() as lines:
        assert not await token.reread()
    assert (token.reveal(), rotated, lines) == ("first-token", [], [])


async def test_a_token_written_in_the_configuration_stays() -> None:
    """There is nowhere to read it again."""
    token = Token(Secret("inline-token"), {})
    assert not await token.reread()
    assert token.reveal() == "inline-token"


@pytest.mark.parametrize("content", [pytest.param(None, id="gone"), pytest.param("", id="emptied")])
async def test_a_source_that_fails_leaves_the_old_token(file: Path, content: str | None) -> None:
    """A file in the middle of its replacement is not taken for a token; the reason is logged without the value."""
    token = token_of(file, [])
    put(file, content)
    with structlog.testing.capture_logs() as lines:
        assert not await token.reread()
    assert token.reveal() == "first-token"
    [line] = lines
    assert line["log_level"] == "error"
    assert "first-token" not in str(line)


async def test_a_hanging_source_holds_up_no_shutdown(tmp_path: Path) -> None:
    """A named pipe that nobody writes to stands for a dead network drive; who waits for it can be cancelled."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, mode=0o600)
    token = Token(Secret("first-token", SecretRef(SecretSource.FILE, str(pipe))), {})
    with structlog.testing.capture_logs() as lines:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(token.reread)
            await trio.sleep(0.2)
            nursery.cancel_scope.cancel()
    assert token.reveal() == "first-token"
    assert lines == []
    end_of(pipe)


async def test_the_wait_for_a_source_has_an_end(tmp_path: Path, mock_clock: Clock) -> None:
    """After the deadline the gateway goes on with what it has."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, mode=0o600)
    token = Token(Secret("first-token", SecretRef(SecretSource.FILE, str(pipe))), {})
    with structlog.testing.capture_logs() as lines:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(token.reread)
            await trio.testing.wait_all_tasks_blocked()
            mock_clock.jump(20.0)
    assert [line["problem"] for line in lines] == ["no answer within 20 s"]
    end_of(pipe)


async def test_nobody_needs_to_be_told(file: Path) -> None:
    """Without a listener the new token is simply used."""
    token = Token(Secret("first-token", SecretRef(SecretSource.FILE, str(file))), {})
    put(file, "second-token")
    assert await token.reread()
