"""Users, teams, channels, files, commands and pages from REST answers."""

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.core.decode_entities import (
    decode_channel,
    decode_command,
    decode_file,
    decode_page,
    decode_team,
    decode_user,
)
from oc_trio.core.entities import Channel, FileInfo, PostPage, SlashCommand, Team, User
from oc_trio.core.events import ChannelType
from oc_trio.errors import PayloadError
from oc_trio.ids import ChannelId, CommandId, FileId, TeamId, UserId

PAGE: dict[str, Any] = {
    "order": ["p2", "p1"],
    "posts": {name: {"id": name, "channel_id": "c", "user_id": "u"} for name in ("p1", "p2", "root")},
    "prev_post_id": "p0",
    "next_post_id": "",
}


@pytest.mark.parametrize(
    ("decode", "raw", "value"),
    [
        pytest.param(
            decode_user,
            {"id": "u", "username": "bot", "is_bot": True, "first_name": "The", "last_name": "Bot", "update_at": 4},
            User(UserId("u"), "bot", is_bot=True, first_name="The", last_name="Bot", update_at=4),
            id="bot",
        ),
        pytest.param(
            decode_user, {"id": "u", "username": "alice", "is_bot": None}, User(UserId("u"), "alice"), id="person"
        ),
        pytest.param(
            decode_team,
            {"id": "t", "name": "core", "display_name": "Core"},
            Team(TeamId("t"), "core", "Core"),
            id="team",
        ),
        pytest.param(
            decode_channel,
            {"id": "c", "type": "P", "team_id": "t", "name": "n", "display_name": "N", "last_post_at": 9},
            Channel(ChannelId("c"), ChannelType.PRIVATE, TeamId("t"), "n", "N", 9),
            id="channel",
        ),
        pytest.param(
            decode_file,
            {"id": "f", "name": "a.png", "size": 3, "mime_type": "image/png", "extension": "png", "width": 1},
            FileInfo(FileId("f"), "a.png", 3, "image/png", "png", width=1),
            id="file",
        ),
        pytest.param(
            decode_command,
            {"id": "x", "team_id": "t", "trigger": "oc_new", "url": "http://h", "token": "s", "creator_id": "u"},
            SlashCommand(CommandId("x"), TeamId("t"), "oc_new", "P", "http://h", "s", UserId("u")),
            id="command",
        ),
    ],
)
def test_entities(decode: Callable[[object], object], raw: object, value: object) -> None:
    """Each entity is read as the server gives it."""
    assert decode(raw) == value


def test_page() -> None:
    """A page keeps the server's order and leaves out the roots that came along."""
    page = decode_page(PAGE)
    assert [post.id for post in page.posts] == ["p2", "p1"]
    assert (page.prev_post_id, page.next_post_id) == ("p0", "")


def test_empty_page() -> None:
    """A channel without posts has an empty page."""
    assert decode_page({"order": None, "posts": None}) == PostPage(())


@pytest.mark.parametrize(
    ("decode", "raw", "complaint"),
    [
        pytest.param(decode_page, {**PAGE, "order": ["p9"]}, "lists a post without giving it", id="hole"),
        pytest.param(decode_page, {**PAGE, "posts": {"p1": 1, "p2": 1}}, "post is not an object", id="number-post"),
        pytest.param(decode_channel, {"id": "c", "type": "Z"}, "an unknown type", id="channel-type"),
        pytest.param(decode_user, {"id": "u"}, "user has no username", id="nameless"),
        pytest.param(decode_user, {"id": "u", "username": "a", "is_bot": "no"}, "is_bot is not a boolean", id="is-bot"),
        pytest.param(decode_file, {"name": "x"}, "file has no id", id="file"),
    ],
)
def test_refusals(decode: Callable[[object], object], raw: object, complaint: str) -> None:
    """What is wrong with an entity is named."""
    with pytest.raises(PayloadError, match=complaint):
        decode(raw)


GARBAGE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "username", "name", "type", "order", "posts", "is_bot"]), inner, max_size=4
        )
    ),
    max_leaves=10,
)


@pytest.mark.slow
@given(
    st.sampled_from([decode_user, decode_team, decode_channel, decode_file, decode_command, decode_page]),
    GARBAGE,
)
def test_garbage(decode: Callable[[object], object], raw: object) -> None:
    """Garbage raises nothing but PayloadError."""
    with contextlib.suppress(PayloadError):
        decode(raw)
