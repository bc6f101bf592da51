"""Describes a foreign exception in one line: network errors often have an empty text and their reason in a cause."""

from collections.abc import Iterator

# Causes of causes; a chain may even lead back to its beginning.
_DEPTH = 8


def describe_error(exc: BaseException, max_chars: int | None = 300) -> str:
    """The first text found along groups, `__cause__` and `__context__`, with the name of its type; never empty.

    The text is cut at `max_chars`, None for not at all.
    """
    for one in _chain(exc, _DEPTH):
        text = str(one).strip()
        if text and not isinstance(one, BaseExceptionGroup):
            return f"{type(one).__name__}: {without_quotes(one, text)[:max_chars]}"
    return type(exc).__name__


def without_quotes(error: BaseException, text: str) -> str:
    """`text` without what HTTP's parsers quote ("illegal chunk header: ..."), which may be a person's message."""
    return text.partition(":")[0] if type(error).__name__.endswith("ProtocolError") else text


def _chain(exc: BaseException, depth: int) -> Iterator[BaseException]:
    if depth == 0:
        return
    yield exc
    if isinstance(exc, BaseExceptionGroup):
        for member in exc.exceptions:
            yield from _chain(member, depth - 1)
    below = exc.__cause__ or exc.__context__  # suppressed ones too: httpcore hides what TLS said
    if below is not None:
        yield from _chain(below, depth - 1)
