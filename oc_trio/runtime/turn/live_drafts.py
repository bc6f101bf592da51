"""The posts that turns are writing right now, by conversation: who deletes one, or reacts to it, means that turn."""

from collections.abc import Iterator
from contextlib import contextmanager

from attrs import define, field

from oc_trio.ids import PostId, SessionKey
from oc_trio.runtime.turn.turn_writer import TurnWriter


@define(eq=False)
class LiveDrafts:
    """One account's; a conversation has one turn at a time."""

    _writers: dict[SessionKey, TurnWriter] = field(init=False, factory=dict)

    @contextmanager
    def written(self, session: SessionKey, writer: TurnWriter) -> Iterator[None]:
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
