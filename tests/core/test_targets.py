import pytest
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.core.entities import Channel
from oc_trio.core.events import ChannelType
from oc_trio.core.targets import (
    ChannelById,
    ChannelByName,
    OpaqueId,
    Target,
    UserById,
    UserByName,
    choose_channel,
    parse_target,
)
from oc_trio.errors import AmbiguousTarget, UnknownTarget
from oc_trio.ids import ChannelId, UserId

ID = "64ifufp9xirz5nqkeahrxqs4zc"


@pytest.mark.parametrize(
    ("text", "target"),
    [
        (f"channel:{ID}", ChannelById(ChannelId(ID))),
        (f" Channel: {ID} ", ChannelById(ChannelId(ID))),
        ("channel:town-square", ChannelByName("town-square")),
        ("channel:#town-square", ChannelByName("town-square")),
        ("channel:ops/alerts", ChannelByName("alerts", "ops")),
        ("#alerts", ChannelByName("alerts")),
        ("~alerts", ChannelByName("alerts")),
        ("#Ops/Alerts", ChannelByName("alerts", "ops")),
        ("ops/alerts", ChannelByName("alerts", "ops")),
        ("alerts", ChannelByName("alerts")),
        (f"user:{ID}", UserById(UserId(ID))),
        (f"mattermost:{ID}", UserById(UserId(ID))),
        (f"mattermost:channel:{ID}", ChannelById(ChannelId(ID))),
        ("mattermost:@alice", UserByName("alice")),
        ("user:@alice", UserByName("alice")),
        ("@Alice.B", UserByName("alice.b")),
        (f"group:{ID}", ChannelById(ChannelId(ID))),
        (ID, OpaqueId(ID)),
        (f"{ID}__{ID}", ChannelByName(f"{ID}__{ID}")),
        (ID.upper(), ChannelByName(ID)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_form(text: str, target: Target) -> None:
    assert parse_target(text) == target


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "recipient is required"),
        ("   ", "recipient is required"),
        ("channel:", "Nothing follows"),
        ("user: ", "Nothing follows"),
        ("group:alerts", "26-character id"),
        ("@", "not a username"),
        ("@al ice", "not a username"),
        ("#", "not a channel name"),
        ("../etc", "not a channel name"),
        ("a/b/c", "not a channel name"),
        ("channel:..", "not a channel name"),
        ("Town Square", "not a channel name"),
    ],
)
def test_what_names_nothing(text: str, why: str) -> None:
    with pytest.raises(UnknownTarget, match=why):
        parse_target(text)


@given(st.text(max_size=40) | st.from_regex(r"(channel:|#|@|user:|mattermost:)?[a-z0-9._/-]{1,30}", fullmatch=True))
def test_any_text_is_a_target_or_refused(text: str) -> None:
    """Any text is a target or raises UnknownTarget."""
    try:
        target = parse_target(text)
    except UnknownTarget:
        return
    assert isinstance(target, ChannelById | ChannelByName | OpaqueId | UserById | UserByName)


@pytest.mark.parametrize("spelling", ["#ops", "channel:ops", "channel:#ops", " ~OPS", "ops"])
def test_spellings_of_one_channel_are_equal(spelling: str) -> None:
    assert parse_target(spelling) == ChannelByName("ops")


def channel(id_: str, *, archived: bool = False) -> Channel:
    return Channel(id=ChannelId(id_), type=ChannelType.OPEN, name="alerts", delete_at=1 if archived else 0)


def test_the_only_channel_is_chosen() -> None:
    assert choose_channel(ChannelByName("alerts"), [("ops", channel("c1"))]).id == "c1"


def test_a_team_disambiguates() -> None:
    found = [("ops", channel("c1")), ("dev", channel("c2"))]
    assert choose_channel(ChannelByName("alerts", "dev"), found).id == "c2"


def test_several_are_an_error_that_lists_usable_spellings() -> None:
    with pytest.raises(AmbiguousTarget) as caught:
        choose_channel(ChannelByName("alerts"), [("ops", channel("c1")), ("dev", channel("c2"))])
    assert caught.value.candidates == ("dev/alerts", "ops/alerts")
    assert [parse_target(each) for each in caught.value.candidates] == [
        ChannelByName("alerts", "dev"),
        ChannelByName("alerts", "ops"),
    ]


def test_an_archived_channel_gives_way() -> None:
    found = [("ops", channel("c1", archived=True)), ("dev", channel("c2"))]
    assert choose_channel(ChannelByName("alerts"), found).id == "c2"


@pytest.mark.parametrize("team", ["", "nowhere"])
def test_none_is_unknown(team: str) -> None:
    with pytest.raises(UnknownTarget, match="no channel alerts"):
        choose_channel(ChannelByName("alerts", team), [("ops", channel("c1"))] if team else [])
