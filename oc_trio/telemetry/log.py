"""Structured logging with structlog: one line per decision, as JSON or as text on a terminal; secrets are redacted.

Message bodies are never logged. `configure` is called once by each process; everything else asks `get_logger`.
"""

import contextlib
import io
import logging
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from functools import partial
from json import JSONEncoder
from typing import Any, TextIO, cast

import structlog
from structlog.typing import EventDict, Processor

from oc_trio.telemetry.log_tail import LogTail
from oc_trio.telemetry.printable import is_plain, plain, printable_event, text_of
from oc_trio.telemetry.tracebacks import Tracebacks

Logger = structlog.typing.FilteringBoundLogger

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_MASK = "[redacted]"
# Values are plain by then, so it needs no fallback; `json.dumps` with one makes an encoder for each line.
_ENCODER = JSONEncoder()
# Shorter values would blank out ordinary words.
_SHORTEST_SECRET = 6
# What `configure` has made, for `lines_together`.
_written: "_Lines | None" = None


class Redactor:
    """Replaces known secret values wherever they turn up in an event, nested values included."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # One secret may begin with another: the shorter one first would leave the rest of the longer readable.
        self._longest_first: tuple[str, ...] = ()
        self.add(*secrets)

    def add(self, *secrets: str) -> None:
        """Redact these, too, from now on: a token that was read again, for example."""
        known = {*self._longest_first, *(secret for secret in secrets if len(secret) >= _SHORTEST_SECRET)}
        self._longest_first = tuple(sorted(known, key=lambda secret: (-len(secret), secret)))

    def clean(self, value: Any) -> Any:
        if isinstance(value, str):
            for secret in self._longest_first:
                value = value.replace(secret, _MASK)
            return value
        if isinstance(value, Mapping):
            return {self.clean(key): self.clean(item) for key, item in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self.clean(item) for item in value]
        if value is None or isinstance(value, (bool, int, float)):
            return value
        return self.clean(text_of(value))

    def __call__(self, _logger: Any, _method: str, event: EventDict) -> MutableMapping[str, Any]:
        texts = [value for value in event.values() if type(value) is str]
        # Nearly every line: plain texts only, and no secret in any of them.
        if len(texts) == len(event) and is_plain(together := "\n".join(texts)) and not self._has_secret(together):
            return event
        return {str(key): self.clean(plain(value)) for key, value in event.items()}

    def _has_secret(self, text: str) -> bool:
        return any(secret in text for secret in self._longest_first)


class _Lines(io.TextIOBase):
    """A stream that drops lines instead of failing: a closed log pipe must not end an account."""

    def __init__(self, out: TextIO) -> None:
        super().__init__()
        self._out = out
        self._lock = threading.Lock()
        self._held: list[str] | None = None

    def write(self, text: str) -> int:
        with self._lock:
            if self._held is not None:
                self._held.append(text)
                return len(text)
            return self._write(text)

    def flush(self) -> None:
        if self._held is None:
            with contextlib.suppress(OSError, ValueError):
                self._out.flush()

    def hold(self) -> None:
        """Keep what is written until `release`, which writes it at once."""
        with self._lock:
            self._held = self._held or []

    def release(self) -> None:
        with self._lock:
            held, self._held = self._held, None
            if held:
                self._write("".join(held))
        self.flush()

    def _write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):  # ValueError: the stream is closed
            try:
                return self._out.write(text)
            except UnicodeEncodeError:  # a terminal that is not UTF-8
                encoding = self._out.encoding or "ascii"
                return self._out.write(text.encode(encoding, "backslashreplace").decode(encoding))
        return 0


def configure(
    *,
    level: str = "info",
    json: bool | None = None,
    redactor: Redactor | None = None,
    stream: TextIO | None = None,
    child_stderr: bool = False,
    tail: LogTail | None = None,
) -> None:
    """Send logs to `stream` (default stderr): JSON unless it is a terminal, or as `json` says.

    Lines marked as private (a child process's stderr, which may quote messages) are kept only with `child_stderr`.
    Records that libraries log through `logging` are written the same way, from WARNING on. `tail` keeps the newest.
    """
    out = stream or sys.stderr
    as_json = not out.isatty() if json is None else json
    global _written  # as structlog's own configuration, there is one in a process
    lines = _written = _Lines(out)
    shared: list[Processor] = [
        partial(_without_private, keep=child_stderr),
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        _Times(),
        Tracebacks(as_json=as_json),
        # After the tracebacks: secrets are cut out of them, too.
        redactor or Redactor(),
        # JSON escapes control characters itself.
        *([] if as_json else [printable_event]),
        *([tail] if tail is not None else []),
    ]
    renderer: Processor = _as_json if as_json else structlog.dev.ConsoleRenderer(colors=out.isatty())
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS.get(level, logging.INFO)),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", lines)),
        # `run` configures twice: before the configuration file is read, and by it.
        cache_logger_on_first_use=False,
    )
    handler = _LibraryLines(lines)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *shared, renderer],
        )
    )
    root = logging.getLogger()
    for earlier in [one for one in root.handlers if isinstance(one, _LibraryLines)]:
        root.removeHandler(earlier)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    # httpx prints whole URLs at INFO, query tokens included.
    for name in ("httpx", "httpcore", "hypercorn.access"):
        logging.getLogger(name).setLevel(logging.WARNING)


@contextlib.contextmanager
def lines_together() -> Iterator[None]:
    """Lines that are logged in the block are written at its end, in one piece. The block must not wait for anything."""
    written = _written
    if written is None:
        yield
        return
    written.hold()
    try:
        yield
    finally:
        written.release()


def _as_json(_logger: Any, _method: str, event: EventDict) -> str:
    return _ENCODER.encode(event)


class _Times:
    """A processor that adds the time, as structlog's `TimeStamper` does; it formats each second once."""

    def __init__(self) -> None:
        self._second = (0, "")

    def __call__(self, _logger: Any, _method: str, event: EventDict) -> EventDict:
        seconds, micros = divmod(time.time_ns() // 1000, 1_000_000)
        known, text = self._second
        if known != seconds:
            text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
            self._second = (seconds, text)
        event["timestamp"] = f"{text}.{micros:06d}Z"
        return event


def _without_private(_logger: Any, _method: str, event: EventDict, *, keep: bool) -> EventDict:
    if event.pop("private", False) and not keep:
        raise structlog.DropEvent
    return event


class _LibraryLines(logging.StreamHandler[Any]):
    """Our handler on the root logger, known by its type where `configure` is called again."""


def get_logger(**bound: object) -> Logger:
    return cast("Logger", structlog.get_logger(**bound))
