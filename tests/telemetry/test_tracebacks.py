"""Exceptions in the log: types and places, and no value that Python's errors quote."""

import errno
import io
import json
import logging
import os
from collections.abc import Callable, Generator

import pytest
import structlog

from oc_trio.errors import OcTrioError
from oc_trio.telemetry.log import configure, get_logger
from oc_trio.telemetry.tracebacks import in_words

WORD = "zweihundertfuenfzig"


@pytest.fixture(autouse=True)
def restored() -> Generator[None, None, None]:
    """Each test leaves the process's logging as it found it."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def caused() -> None:
    try:
        int(WORD)
    except ValueError as problem:
        problem.add_note(WORD)
        raise OcTrioError("ours") from problem


def grouped() -> None:
    raise ExceptionGroup("two", [KeyError(WORD), ExceptionGroup("one", [OcTrioError("ours")])])


def on_the_way() -> None:
    try:
        int(WORD)
    finally:
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), f"/tmp/{WORD}")


WAYS = [(caused, "ours"), (grouped, "ours"), (on_the_way, os.strerror(errno.ENOENT))]


def logged(raising: Callable[[], None], *, as_json: bool, library: bool = False) -> str:
    out = io.StringIO()
    configure(json=as_json, stream=out, level="debug")
    try:
        raising()
    except Exception:
        if library:
            logging.getLogger("some.package").exception("it failed")
        else:
            get_logger().exception("it failed")
    return out.getvalue()


@pytest.mark.parametrize("library", [False, True], ids=["ours", "library's"])
@pytest.mark.parametrize("as_json", [True, False], ids=["json", "text"])
@pytest.mark.parametrize(("raising", "words"), WAYS)
def test_no_word_of_a_foreign_error(raising: Callable[[], None], words: str, as_json: bool, library: bool) -> None:
    """In causes, contexts, groups and notes; our own errors' words and the system's reasons stay, and so do frames."""
    text = logged(raising, as_json=as_json, library=library)
    assert WORD not in text
    assert words in text
    assert raising.__name__ in text
    if as_json:
        json.loads(text)


def test_in_words() -> None:
    """One line: our words, the system's reason, or the place."""
    assert in_words(OcTrioError("ours")) == "ours"
    assert in_words(FileNotFoundError(errno.ENOENT, "No such file", WORD)) == "FileNotFoundError: No such file"
    assert in_words(KeyError(WORD)) == "KeyError"
    with pytest.raises(ValueError, match=WORD) as raised:
        int(WORD)
    assert in_words(raised.value).startswith("ValueError in test_tracebacks.py:")
