"""Who may talk to the bot."""

from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.core.access import (
    Access,
    AccessPolicy,
    AllowBots,
    DmPolicy,
    GroupPolicy,
    Origin,
    authorise,
    denial_text,
    normalise_entry,
    refuse_post,
)
from oc_trio.core.chat import Chat, Sender
from oc_trio.core.events import ChannelType, Post
from oc_trio.ids import ChannelId, PostId, TeamId, UserId

ALICE_ID, MALLORY_ID, ROBOT_ID = UserId("alice" + "a" * 21), UserId("mall" + "y" * 22), UserId("robo" + "t" * 22)
ALICE = Sender(ALICE_ID, "alice", is_bot=False)
MALLORY = Sender(MALLORY_ID, "mallory", is_bot=False)
ROBOT = Sender(ROBOT_ID, "robot", is_bot=True)
DM = Chat(ChannelId("dm"), ChannelType.DIRECT)
GROUP = Chat(ChannelId("gm"), ChannelType.GROUP)
TOWN = Chat(ChannelId("town"), ChannelType.OPEN, TeamId("core"))
PRIVATE = Chat(ChannelId("den"), ChannelType.PRIVATE, TeamId("core"))

NOT = Access(False, "dm_policy_not_allowlisted", True)


def dm(policy: str, *entries: str, **more: Any) -> AccessPolicy:
    return AccessPolicy(dm_policy=DmPolicy(policy), allow_from=entries, **more)


def group(policy: str, *entries: str, **more: Any) -> AccessPolicy:
    return AccessPolicy(group_policy=GroupPolicy(policy), group_allow_from=entries, **more)


@pytest.mark.parametrize(
    ("policy", "sender", "access"),
    [
        pytest.param(dm("disabled", "*"), ALICE, Access(False, "dm_policy_disabled", True), id="disabled"),
        pytest.param(dm("open"), ALICE, NOT, id="open-without-star"),
        pytest.param(dm("open", "*"), ALICE, Access(True, "dm_open"), id="open"),
        pytest.param(dm("open", ALICE_ID), ALICE, Access(True, "dm_open"), id="open-listed"),
        pytest.param(dm("open", ALICE_ID), MALLORY, NOT, id="open-other"),
        pytest.param(dm("allowlist"), ALICE, NOT, id="empty-list"),
        pytest.param(
            dm("allowlist", " ", "@"),
            Sender(ALICE_ID, "", False),
            NOT,
            id="blanks",
        ),
        pytest.param(dm("allowlist", f"user:{ALICE_ID}"), ALICE, Access(True, "dm_allowlisted"), id="listed"),
        pytest.param(dm("allowlist", "@alice"), ALICE, NOT, id="a-name-does-not-count"),
        pytest.param(dm("allowlist", "@Alice", match_names=True), ALICE, Access(True, "dm_allowlisted"), id="names-on"),
        pytest.param(
            dm("allowlist", ALICE_ID, match_names=True),
            evolve(MALLORY, username=ALICE_ID),
            NOT,
            id="somebody-elses-id-as-a-name",
        ),
        pytest.param(dm("pairing"), ALICE, Access(True, "dm_paired"), id="paired"),
        pytest.param(dm("pairing"), MALLORY, Access(False, "dm_policy_pairing_required", True), id="unpaired"),
        pytest.param(dm("pairing", MALLORY_ID), MALLORY, Access(True, "dm_allowlisted"), id="pairing-and-listed"),
        pytest.param(dm("allowlist", MALLORY_ID), ALICE, NOT, id="pairing-is-ignored-by-allowlist"),
        pytest.param(
            dm("allowlist", "accessGroup:Ops", access_groups={"ops": (f"mattermost:{ALICE_ID}",)}),
            ALICE,
            Access(True, "dm_allowlisted"),
            id="access-group",
        ),
        pytest.param(dm("allowlist", "accessGroup:ops"), ALICE, NOT, id="unknown-access-group"),
        pytest.param(
            dm("allowlist", "accessGroup:ops", access_groups={"ops": ("*", "accessGroup:ops")}),
            ALICE,
            NOT,
            id="star-inside-a-group",
        ),
        pytest.param(dm("open", "*"), ROBOT, Access(False, "bot_author"), id="bot"),
        pytest.param(dm("open", "*", allow_bots=AllowBots.MENTIONS), ROBOT, Access(True, "dm_open"), id="bots-on"),
        pytest.param(
            dm("open", "*", allow_bots=AllowBots.LIST), ROBOT, Access(False, "bot_not_listed"), id="bot-under-star"
        ),
        pytest.param(
            dm("allowlist", allow_bots=AllowBots.LIST, bot_allow_from=(ROBOT_ID,)),
            ROBOT,
            Access(True, "bot_listed"),
            id="bot-listed",
        ),
        pytest.param(
            dm("open", ROBOT_ID, "*", allow_bots=AllowBots.LIST, bot_allow_from=("*", "@robot"), match_names=True),
            ROBOT,
            Access(False, "bot_not_listed"),
            id="bots-are-listed-by-id-alone",
        ),
        pytest.param(
            dm("disabled", allow_bots=AllowBots.LIST, bot_allow_from=(ROBOT_ID,)),
            ROBOT,
            Access(False, "dm_policy_disabled"),
            id="disabled-for-listed-bots-too",
        ),
        pytest.param(
            dm("pairing", allow_bots=AllowBots.MENTIONS),
            ROBOT,
            Access(False, "dm_policy_pairing_required"),
            id="a-bot-gets-no-code",
        ),
        pytest.param(dm("open", "*"), evolve(ALICE, is_bot=None), Access(False, "author_unknown"), id="lookup-failed"),
        pytest.param(dm("open", "*"), evolve(ALICE, is_self=True), Access(False, "own_action"), id="self"),
    ],
)
def test_direct(policy: AccessPolicy, sender: Sender, access: Access) -> None:
    """The table of direct messages; alice is paired."""
    assert authorise(sender, DM, policy, paired=frozenset({ALICE_ID})) == access


@pytest.mark.parametrize("chat", [GROUP, PRIVATE, TOWN], ids=["group", "private", "open"])
@pytest.mark.parametrize(
    ("policy", "sender", "access"),
    [
        pytest.param(group("disabled", "*"), ALICE, Access(False, "group_policy_disabled"), id="disabled"),
        pytest.param(group("open"), ALICE, Access(True, "group_open"), id="open"),
        pytest.param(group("allowlist"), ALICE, Access(False, "group_policy_empty_allowlist"), id="empty"),
        pytest.param(group("allowlist", " "), ALICE, Access(False, "group_policy_empty_allowlist"), id="blank"),
        pytest.param(group("allowlist", ALICE_ID), ALICE, Access(True, "group_allowlisted"), id="listed"),
        pytest.param(
            group("allowlist", ALICE_ID), MALLORY, Access(False, "group_policy_not_allowlisted"), id="not-listed"
        ),
        pytest.param(group("allowlist", "*"), MALLORY, Access(True, "group_allowlisted"), id="star"),
        pytest.param(
            group("allowlist", allow_from=(ALICE_ID,)), ALICE, Access(True, "group_allowlisted"), id="falls-back"
        ),
        pytest.param(
            group("allowlist", MALLORY_ID, allow_from=(ALICE_ID,)),
            ALICE,
            Access(False, "group_policy_not_allowlisted"),
            id="no-fall-back",
        ),
        pytest.param(group("open"), ROBOT, Access(False, "bot_author"), id="bot"),
        pytest.param(
            group("open", allow_bots=AllowBots.LIST), ROBOT, Access(False, "bot_not_listed"), id="bot-not-listed"
        ),
        pytest.param(
            group("allowlist", allow_bots=AllowBots.LIST, bot_allow_from=(f"user:{ROBOT_ID}",)),
            ROBOT,
            Access(True, "bot_listed"),
            id="bot-listed",
        ),
        pytest.param(group("open"), evolve(ALICE, is_bot=None), Access(False, "author_unknown"), id="lookup-failed"),
    ],
)
def test_groups(policy: AccessPolicy, sender: Sender, access: Access, chat: Chat) -> None:
    """The table of channels and groups; pairing never counts there."""
    assert authorise(sender, chat, policy, paired=frozenset({MALLORY_ID, ALICE_ID})) == access


@pytest.mark.parametrize(
    ("chat", "policy", "reason"),
    [
        pytest.param(
            TOWN, group("open", only_teams=frozenset({TeamId("core"), TeamId("other")})), "group_open", id="its-team"
        ),
        pytest.param(TOWN, group("open", only_teams=frozenset({TeamId("sales")})), "team_not_allowed", id="other-team"),
        pytest.param(
            Chat(ChannelId("town"), ChannelType.OPEN),
            group("open", only_teams=frozenset({TeamId("core")})),
            "team_not_allowed",
            id="team-unknown",
        ),
        pytest.param(
            GROUP, group("open", only_teams=frozenset({TeamId("sales")})), "group_open", id="a-group-has-no-team"
        ),
        pytest.param(TOWN, group("open", only_channels=frozenset({"town"})), "group_open", id="its-channel"),
        pytest.param(PRIVATE, group("open", only_channels=frozenset({"town"})), "channel_not_allowed", id="other"),
        pytest.param(TOWN, group("open", only_channels=frozenset()), "channel_not_allowed", id="nowhere"),
        pytest.param(DM, dm("open", "*", only_channels=frozenset()), "dm_open", id="direct-chats-are-exempt"),
        pytest.param(Chat(ChannelId("x"), None), group("open"), "chat_type_unknown", id="unknown-channel"),
    ],
)
def test_places(chat: Chat, policy: AccessPolicy, reason: str) -> None:
    """Limits to a team or to channels hold everywhere but in direct chats."""
    assert authorise(ALICE, chat, policy).reason == reason


@pytest.mark.parametrize(
    ("paired", "origin", "access"),
    [
        pytest.param(None, Origin.POST, Access(False, "pairing_store_unreadable"), id="store-unreadable"),
        pytest.param(frozenset(), Origin.REACTION, Access(False, "event_pairing_not_allowed"), id="reaction"),
        pytest.param(frozenset(), Origin.COMMAND, Access(False, "dm_policy_pairing_required", True), id="command"),
    ],
)
def test_pairing_by_origin(paired: frozenset[UserId] | None, origin: Origin, access: Access) -> None:
    """Only words and commands start a pairing."""
    assert authorise(ALICE, DM, AccessPolicy(), paired=paired, origin=origin) == access


LISTING = "Ask the bot owner to add your Mattermost user id, u1, to"


@pytest.mark.parametrize(
    ("reason", "origin", "text"),
    [
        ("dm_policy_disabled", Origin.COMMAND, "This bot is not accepting direct messages."),
        ("group_policy_disabled", Origin.COMMAND, "Slash commands are disabled in channels."),
        (
            "group_policy_empty_allowlist",
            Origin.COMMAND,
            f"Slash commands are not configured for this channel (no allowlist). {LISTING} `groupAllowFrom`.",
        ),
        (
            "group_policy_not_allowlisted",
            Origin.COMMAND,
            f"Unauthorized. {LISTING} `groupAllowFrom`.",
        ),
        ("channel_not_allowed", Origin.COMMAND, "Unauthorized."),
        ("group_policy_disabled", Origin.BUTTON, "Unauthorized."),
        (
            "dm_policy_not_allowlisted",
            Origin.POST,
            f"You are not on this bot's allowlist. {LISTING} `allowFrom`.",
        ),
        (
            "dm_policy_not_allowlisted",
            Origin.COMMAND,
            f"Unauthorized. {LISTING} `allowFrom`.",
        ),
    ],
)
def test_denial_texts(reason: str, origin: Origin, text: str) -> None:
    """Refused people read the documented words, and the id that has to be added to a list."""
    assert denial_text(Access(False, reason), origin, UserId("u1")) == text


@pytest.mark.parametrize(
    ("entry", "normalised"),
    [
        (" * ", "*"),
        ("mattermost:ABC", "abc"),
        ("USER:@Bob", "bob"),
        ("@bob", "bob"),
        ("mattermost:user:x", "user:x"),
        ("accessGroup: Ops", "accessgroup:ops"),
        (123, "123"),
        ("  ", ""),
    ],
)
def test_entries(entry: str | int, normalised: str) -> None:
    """Entries are compared without prefix, @, blanks and case."""
    assert normalise_entry(entry) == normalised


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({}, None, id="a-person"),
        pytest.param({"type": "me"}, None, id="me"),
        pytest.param({"props": {"from_bot": "true"}}, None, id="from-bot-proves-nothing"),
        pytest.param({"user_id": "bot"}, "own_post", id="own"),
        pytest.param({"user_id": ""}, "no_author", id="nobody"),
        pytest.param({"type": "system_join_channel"}, "system_post", id="system"),
        pytest.param({"type": "custom_poll"}, "integration_post", id="plugin-type"),
        pytest.param({"type": "slack_attachment"}, "integration_post", id="attachment-type"),
        pytest.param({"props": {"from_plugin": "true"}}, "integration_post", id="plugin"),
        pytest.param({"props": {"from_webhook": "true"}}, "webhook_post", id="webhook"),
        pytest.param({"props": {"from_webhook": False}}, None, id="webhook-false"),
        pytest.param({"props": {"override_username": "boss"}}, "webhook_post", id="another-name"),
        pytest.param({"delete_at": 5}, "deleted_post", id="deleted"),
        pytest.param({"original_id": "p0"}, "deleted_post", id="old-version"),
    ],
)
def test_refused_posts(changes: dict[str, Any], reason: str | None) -> None:
    """Posts that are nobody's words to the bot."""
    post = evolve(Post(PostId("p"), ChannelId("c"), ALICE_ID, "hi"), **changes)
    assert refuse_post(post, UserId("bot")) == reason


POLICIES = st.builds(
    AccessPolicy,
    dm_policy=st.sampled_from(DmPolicy),
    group_policy=st.sampled_from([GroupPolicy.ALLOWLIST, GroupPolicy.DISABLED]),
    allow_from=st.lists(st.sampled_from(["", "@mallory", ALICE_ID, "accessGroup:x"]), max_size=3).map(tuple),
    group_allow_from=st.lists(st.sampled_from([" ", "@mallory", ALICE_ID, "accessGroup:x"]), max_size=3).map(tuple),
    allow_bots=st.sampled_from(AllowBots),
)
CHATS = st.sampled_from([DM, GROUP, TOWN, PRIVATE, Chat(ChannelId("x"), None)])


@given(POLICIES, CHATS, st.sampled_from(Origin))
def test_strangers_stay_out(policy: AccessPolicy, chat: Chat, origin: Origin) -> None:
    """Without "*", an open group or their own id, nobody gets in anywhere."""
    assert not authorise(MALLORY, chat, policy, origin=origin).allowed


@given(POLICIES, CHATS)
def test_channels_are_silent(policy: AccessPolicy, chat: Chat) -> None:
    """Refusals are explained in direct chats only, and never with an admission."""
    access = authorise(MALLORY, chat, policy)
    assert not access.explain or (chat.is_direct and not access.allowed)
