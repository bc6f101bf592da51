"""The posts that turns are writing right now, by conversation: who deletes one, or reacts to it, means that turn."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from attrs import define, field

from oc_trio.ids import PostId, SessionKey


class DraftWriter(Protocol):
    """Whatever writes a turn's posts while the agent talks."""

    def lost(self, post_id: PostId) -> bool: ...

    def holds(self, post_id: PostId) -> bool: ...


@define(eq=False)
class LiveDrafts:
    """One account's; a conversation has one turn at a time."""

    _writers: dict[SessionKey, DraftWriter] = field(init=False, factory=dict)

    @contextmanager
    def written(self, session: SessionKey, writer: DraftWriter) -> Iterator[None]:
        """Keep `writer` in the table for as long as the block runs."""
        self._writers[session] = writer
        try:
            yield
        finally:
            del self._writers[session]

    def lost(self, post_id: PostId) -> bool:
        """Somebody deleted a post; true if it was a draft."""
        return any(writer.lost(post_id) for writer in self._writers.values())

    def session_of(self, post_id: PostId) -> SessionKey | None:
        """The conversation whose turn is writing that post, or wrote it as one of its blocks."""
        return next((session for session, writer in self._writers.items() if writer.holds(post_id)), None)
