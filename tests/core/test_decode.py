"""Frames and posts off the wire."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.core.decode import channel_type, decode_frame, decode_post
from oc_trio.core.events import (
    ActionReply,
    ChannelAppeared,
    ChannelArchived,
    ChannelChanged,
    ChannelType,
    Event,
    EventFrame,
    Frame,
    Hello,
    MemberAdded,
    MemberRemoved,
    Post,
    PostDeleted,
    Posted,
    PostEdited,
    Reacted,
    TeamJoined,
    TeamLeft,
    Typed,
    Unhandled,
    UserChanged,
)
from oc_trio.errors import PayloadError
from oc_trio.ids import ChannelId, FileId, PostId, TeamId, UserId

BOT, ALICE, TOWN, TEAM, POST_ID = UserId("bot"), UserId("alice"), ChannelId("town"), TeamId("team"), PostId("p1")
RAW_POST: dict[str, Any] = {
    "id": "p1",
    "create_at": 10,
    "update_at": 11,
    "edit_at": 0,
    "delete_at": 0,
    "user_id": "alice",
    "channel_id": "town",
    "root_id": "",
    "message": "hello @bot",
    "type": "",
    "props": {"disable_group_highlight": True},
    "file_ids": ["f1"],
    "metadata": {},
    "participants": None,
}
POST = Post(
    id=POST_ID,
    channel_id=TOWN,
    user_id=ALICE,
    message="hello @bot",
    create_at=10,
    update_at=11,
    props={"disable_group_highlight": True},
    file_ids=(FileId("f1"),),
)


def frame(event: str, data: Any = None, seq: Any = 5, **broadcast: str) -> str:
    everyone = {"omit_users": None, "user_id": "", "channel_id": "", "team_id": "", **broadcast}
    return json.dumps({"event": event, "data": {} if data is None else data, "broadcast": everyone, "seq": seq})


REACTION = json.dumps({"user_id": "alice", "post_id": "p1", "emoji_name": "eyes", "create_at": 3, "channel_id": "town"})
EVENTS: dict[str, tuple[str, Event]] = {
    "hello": (frame("hello", {"connection_id": "c", "server_version": "11.2.0.x"}), Hello("c", "11.2.0.x")),
    "posted-in-a-channel": (
        frame(
            "posted",
            {
                "channel_display_name": "Town",
                "channel_name": "town-square",
                "channel_type": "O",
                "mentions": '["bot"]',
                "post": json.dumps(RAW_POST),
                "sender_name": "@alice",
                "team_id": "team",
            },
        ),
        Posted(POST, ChannelType.OPEN, "town-square", "Town", "@alice", TEAM, frozenset({BOT})),
    ),
    "posted-without-mentions-or-type": (frame("posted", {"post": json.dumps(RAW_POST)}), Posted(POST, None)),
    "posted-in-a-channel-of-a-future-type": (
        frame("posted", {"post": json.dumps(RAW_POST), "channel_type": "Z", "mentions": None}),
        Posted(POST, None),
    ),
    "edited": (frame("post_edited", {"post": json.dumps(RAW_POST)}), PostEdited(POST)),
    "deleted": (frame("post_deleted", {"post": json.dumps(RAW_POST)}), PostDeleted(POST)),
    "reaction-added": (
        frame("reaction_added", {"reaction": REACTION}),
        Reacted(ALICE, POST_ID, TOWN, "eyes", added=True, create_at=3),
    ),
    "reaction-removed-by-an-old-server": (
        frame("reaction_removed", {"reaction": REACTION.replace(', "channel_id": "town"', "")}, channel_id="town"),
        Reacted(ALICE, POST_ID, TOWN, "eyes", added=False, create_at=3),
    ),
    "typing": (frame("typing", {"user_id": "alice", "parent_id": "r"}, channel_id="town"), Typed(ALICE, TOWN, "r")),
    "added": (
        frame("user_added", {"team_id": "team", "user_id": "alice"}, channel_id="town"),
        MemberAdded(ALICE, TOWN, TEAM),
    ),
    "removed-told-to-the-channel": (
        frame("user_removed", {"remover_id": "root", "user_id": "alice"}, channel_id="town"),
        MemberRemoved(ALICE, TOWN, "root"),
    ),
    "removed-told-to-the-one-removed": (
        frame("user_removed", {"remover_id": "root", "channel_id": "town"}, user_id="bot"),
        MemberRemoved(BOT, TOWN, "root"),
    ),
    "channel-created": (
        frame("channel_created", {"channel_id": "town", "team_id": "team"}),
        ChannelAppeared(TOWN, TEAM),
    ),
    "channel-restored": (frame("channel_restored", {"channel_id": "town"}), ChannelAppeared(TOWN)),
    "direct-added": (frame("direct_added", {"teammate_id": "bot"}, channel_id="town"), ChannelAppeared(TOWN)),
    "group-added": (frame("group_added", {"teammate_ids": "[]"}, channel_id="town"), ChannelAppeared(TOWN)),
    "channel-updated": (frame("channel_updated", {"channel": '{"id":"town"}'}), ChannelChanged(TOWN)),
    "channel-converted": (frame("channel_converted", {"channel_id": "town"}), ChannelChanged(TOWN)),
    "channel-archived": (frame("channel_deleted", {"channel_id": "town", "delete_at": 1}), ChannelArchived(TOWN)),
    "team-joined": (frame("added_to_team", {"team_id": "team", "user_id": "bot"}), TeamJoined(BOT, TEAM)),
    "team-left": (frame("leave_team", {"team_id": "team", "user_id": "bot"}), TeamLeft(BOT, TEAM)),
    "user-updated": (
        frame("user_updated", {"user": {"id": "alice", "username": "al"}}),
        UserChanged(ALICE, "al"),
    ),
    "unknown": (frame("status_change", {"status": "online"}), Unhandled("status_change")),
    "unknown-with-odd-data": (frame("new_thing", ["?"]), Unhandled("new_thing")),
}


@pytest.mark.parametrize(("text", "event"), EVENTS.values(), ids=EVENTS.keys())
def test_events(text: str, event: Event) -> None:
    """Each kind of event is read as recorded from the server, with its number."""
    assert decode_frame(text) == EventFrame(5, event)


@pytest.mark.parametrize(
    ("raw", "reply"),
    [
        pytest.param({"status": "OK", "seq_reply": 2, "data": {"text": "pong"}}, ActionReply(2, ok=True), id="ok"),
        pytest.param(
            {"status": "FAIL", "seq_reply": 3, "error": {"id": "api.x", "status_code": 401, "message": "m"}},
            ActionReply(3, ok=False, status_code=401, error_id="api.x"),
            id="fail",
        ),
        pytest.param({"status": "FAIL", "error": {"id": "e"}}, ActionReply(0, ok=False, error_id="e"), id="no-number"),
    ],
)
def test_replies(raw: object, reply: ActionReply) -> None:
    """Replies to actions are distinguished from events."""
    assert decode_frame(json.dumps(raw)) == reply


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("x", "frame is not JSON", id="no-json"),
        pytest.param("[]", "frame is not an object", id="a-list"),
        pytest.param("{}", "frame has no status", id="empty"),
        pytest.param('{"event":"posted","data":{}}', "event posted has no seq", id="no-seq"),
        pytest.param('{"event":"posted","seq":"1"}', "frame.seq is not an integer", id="text-seq"),
        pytest.param('{"event":7,"seq":1}', "frame.event is not a string", id="number-event"),
    ],
)
def test_bad_envelopes_lose_the_numbering(text: str, complaint: str) -> None:
    """A frame whose envelope can't be read is refused without a number."""
    with pytest.raises(PayloadError) as caught:
        decode_frame(text)
    assert (str(caught.value), caught.value.seq) == (complaint, None)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param(frame("posted"), "event posted: frame.data.post", id="no-post"),
        pytest.param(frame("posted", {"post": "{"}), "event posted: frame.data.post is not JSON", id="cut-post"),
        pytest.param(frame("posted", {"post": "[" * 9999}), "nested too deep", id="deep-post"),
        pytest.param(frame("posted", {"post": json.dumps({**RAW_POST, "user_id": ""})}), "has no user_id", id="anon"),
        pytest.param(frame("posted", {"post": json.dumps({**RAW_POST, "props": []})}), "props is not", id="props"),
        pytest.param(frame("typing", {"user_id": "alice"}), "has no channel_id", id="typing-nowhere"),
        pytest.param(frame("hello", []), "frame.data is not an object", id="data-list"),
    ],
)
def test_bad_content_keeps_the_numbering(text: str, complaint: str) -> None:
    """An event that can't be read still says which number it had, so that a resume does not replay it for ever."""
    with pytest.raises(PayloadError, match=complaint) as caught:
        decode_frame(text)
    assert caught.value.seq == 5


ODD_VALUES = st.sampled_from(
    [
        None,
        "",
        "x",
        "é",
        "\0",
        "\ud800",
        0,
        -1,
        1.0,
        True,
        2**63,
        2**64,
        [],
        ["a"],
        [None],
        {},
        {"a": [1]},
        "[]",
        '["u"]',
        "{",
    ]
)


@given(
    st.dictionaries(st.sampled_from([*RAW_POST, "original_id", "pending_post_id"]), ODD_VALUES, max_size=3),
    st.dictionaries(st.sampled_from(["channel_type", "channel_name", "team_id", "mentions", "post"]), ODD_VALUES),
    ODD_VALUES,
)
def test_a_post_reads_the_same_however_its_frame_is_laid_out(
    post: dict[str, Any], data: dict[str, Any], seq: object
) -> None:
    """A frame as Mattermost writes it, which is read in one pass, gives what a frame with other white space does."""
    text = frame("posted", {"post": json.dumps({**RAW_POST, **post}), **data}, seq=seq)
    results: list[Frame | tuple[str, int | None]] = []
    for laid_out in (text, text.replace('{"event"', '{ "event"', 1)):
        try:
            results.append(decode_frame(laid_out))
        except PayloadError as err:
            results.append((str(err), err.seq))
    assert results[0] == results[1]


def test_null_lists_and_props() -> None:
    """A post with null for its lists and props is an ordinary post."""
    assert decode_post({**RAW_POST, "props": None, "file_ids": None}).file_ids == ()


def test_channel_types() -> None:
    """Letters map to types; others to none."""
    assert [channel_type(letter) for letter in ("O", "P", "D", "G", "", "o")] == [*ChannelType, None, None]


GARBAGE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["post", "user", "channel", "reaction", "id", "user_id", "channel_id", "error", "mentions"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
NAMES = st.sampled_from([json.loads(text)["event"] for text, _ in EVENTS.values()])


@given(st.text() | st.binary().map(lambda data: data.decode("latin-1")))
def test_any_text_is_a_frame_or_a_payload_error(text: str) -> None:
    """Garbage in raises nothing but PayloadError."""
    with contextlib.suppress(PayloadError):
        decode_frame(text)


@pytest.mark.slow
@given(NAMES, GARBAGE, GARBAGE)
def test_any_content_is_an_event_or_a_numbered_payload_error(name: str, data: object, broadcast: object) -> None:
    """A payload error keeps the event's number, whatever its content is."""
    text = json.dumps({"event": name, "data": data, "broadcast": broadcast, "seq": 9})
    try:
        decoded: Frame | PayloadError = decode_frame(text)
    except PayloadError as err:
        decoded = err
    assert not isinstance(decoded, ActionReply)
    assert decoded.seq == 9
