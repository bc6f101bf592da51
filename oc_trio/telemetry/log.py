"""Structured logs: one line per decision, JSON for machines or coloured text on a terminal, secrets cut out by value.

Message bodies are never logged. `configure` is called once by each process; everything else asks `get_logger`.
"""

import logging
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any, TextIO, cast

import structlog
from structlog.typing import EventDict, Processor

Logger = structlog.typing.FilteringBoundLogger

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_MASK = "[redacted]"
# Shorter values would blank out ordinary words.
_SHORTEST_SECRET = 6


class Redactor:
    """Replaces known secret values wherever they turn up in an event, nested values included."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: set[str] = set()
        self.add(*secrets)

    def add(self, *secrets: str) -> None:
        self._secrets.update(secret for secret in secrets if len(secret) >= _SHORTEST_SECRET)

    def clean(self, value: Any) -> Any:
        if isinstance(value, str):
            for secret in self._secrets:
                value = value.replace(secret, _MASK)
            return value
        if isinstance(value, Mapping):
            return {key: self.clean(item) for key, item in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self.clean(item) for item in value]
        if value is None or isinstance(value, (bool, int, float)):
            return value
        return self.clean(str(value))

    def __call__(self, _logger: Any, _method: str, event: EventDict) -> MutableMapping[str, Any]:
        return {key: self.clean(value) for key, value in event.items()}


def configure(
    *, level: str = "info", json: bool | None = None, redactor: Redactor | None = None, stream: TextIO | None = None
) -> None:
    """Send logs to `stream` (default stderr): JSON unless it is a terminal, or as `json` says."""
    out = stream or sys.stderr
    as_json = not out.isatty() if json is None else json
    renderer: Processor = (
        structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=out.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            # Frames without their locals: locals hold tokens.
            structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))
            if as_json
            else structlog.processors.format_exc_info,
            redactor or Redactor(),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS.get(level, logging.INFO)),
        logger_factory=structlog.PrintLoggerFactory(file=out),
        cache_logger_on_first_use=False,
    )
    # httpx prints whole URLs at INFO, query tokens included.
    for name in ("httpx", "httpcore", "hypercorn.access"):
        logging.getLogger(name).setLevel(logging.WARNING)


def get_logger(**bound: object) -> Logger:
    return cast("Logger", structlog.get_logger(**bound))
