"""The table of posts that are being written."""

from typing import cast

from attrs import define

from oc_trio.ids import PostId, SessionKey
from oc_trio.runtime.turn.live_drafts import LiveDrafts
from oc_trio.runtime.turn.turn_writer import TurnWriter


@define(eq=False)
class Writer:
    """Holds one post, until it is lost."""

    post_id: PostId

    def post_deleted(self, post_id: PostId) -> bool:
        return post_id == self.post_id

    def has_post(self, post_id: PostId) -> bool:
        return post_id == self.post_id


def a_writer(post_id: str) -> TurnWriter:
    """As much of a writer as the table asks for."""
    return cast("TurnWriter", Writer(PostId(post_id)))


def test_a_post_leads_to_its_conversation_while_it_is_written() -> None:
    """Neither before nor after, and no other post."""
    live, one, two = LiveDrafts(), SessionKey("one"), SessionKey("two")
    with live.track(one, a_writer("p1")), live.track(two, a_writer("p2")):
        assert (live.session_of(PostId("p1")), live.session_of(PostId("p2"))) == (one, two)
        assert live.session_of(PostId("p3")) is None
        assert (live.post_deleted(PostId("p2")), live.post_deleted(PostId("p3"))) == (True, False)
    assert live.session_of(PostId("p1")) is None
    assert not live.post_deleted(PostId("p1"))
