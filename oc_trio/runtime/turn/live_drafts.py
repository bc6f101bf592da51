"""Finds the running turn of a post: a person who deletes or reacts to a draft means the turn that is writing it."""

from collections.abc import Iterator
from contextlib import contextmanager

from attrs import field

from oc_trio.classes import define
from oc_trio.core.draft_view import DraftView
from oc_trio.ids import PostId, SessionKey
from oc_trio.runtime.turn.turn_writer import TurnWriter


@define(eq=False)
class LiveDrafts:
    """One account's; a conversation has one turn at a time."""

    _writers: dict[SessionKey, TurnWriter] = field(init=False, factory=dict)

    @contextmanager
    def track(self, session: SessionKey, writer: TurnWriter) -> Iterator[None]:
        """Keep `writer` in the table for as long as the block runs."""
        self._writers[session] = writer
        try:
            yield
        finally:
            del self._writers[session]

    def view_of(self, session: SessionKey) -> DraftView | None:
        """What the running turn of a conversation has said and done so far; None while its agent does not run."""
        writer = self._writers.get(session)
        return writer.view if writer is not None else None

    def post_deleted(self, post_id: PostId) -> bool:
        """Somebody deleted a post; true if it was a draft."""
        return any(writer.post_deleted(post_id) for writer in self._writers.values())

    def session_of(self, post_id: PostId) -> SessionKey | None:
        """The conversation whose running turn is writing that post, or has written it as a finished block."""
        return next((session for session, writer in self._writers.items() if writer.has_post(post_id)), None)
