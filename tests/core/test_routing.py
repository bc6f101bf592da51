"""Which agent, which session, which root."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.core.chat import Chat, ChatKind
from oc_trio.core.events import ChannelType, Post
from oc_trio.core.routing import (
    Binding,
    DmScope,
    GroupScope,
    ReplyToMode,
    RoutingRules,
    choose_binding,
    route,
    route_message,
)
from oc_trio.ids import AccountId, AgentId, ChannelId, PostId, TeamId, UserId

WORK, HOME = AccountId("work"), AccountId("home")
ALICE = UserId("alice")
DM = Chat(ChannelId("dm1"), ChannelType.DIRECT)
GROUP = Chat(ChannelId("gm1"), ChannelType.GROUP)
DEN = Chat(ChannelId("den"), ChannelType.PRIVATE, TeamId("core"))
TOWN = Chat(ChannelId("town"), ChannelType.OPEN, TeamId("core"))


@pytest.mark.parametrize(
    ("chat", "rules", "root_id", "session"),
    [
        pytest.param(DM, {}, "", "agent:main:mattermost:direct:alice", id="each-person-apart-by-default"),
        pytest.param(DM, {"dm_scope": DmScope.MAIN}, "", "agent:main:main", id="main"),
        pytest.param(DM, {"dm_scope": DmScope.MAIN, "main_key": "Desk"}, "", "agent:main:desk", id="main-key"),
        pytest.param(DM, {"dm_scope": DmScope.PER_PEER}, "", "agent:main:direct:alice", id="per-peer"),
        pytest.param(
            DM,
            {"dm_scope": DmScope.PER_ACCOUNT_CHANNEL_PEER},
            "",
            "agent:main:mattermost:work:direct:alice",
            id="per-account",
        ),
        pytest.param(
            DM, {"identity_links": {ALICE: "al"}}, "", "agent:main:mattermost:direct:al", id="linked-identities"
        ),
        pytest.param(
            DM,
            {"identity_links": {ALICE: "al"}, "dm_scope": DmScope.MAIN},
            "",
            "agent:main:main",
            id="links-mean-nothing-where-all-is-one",
        ),
        pytest.param(GROUP, {}, "", "agent:main:mattermost:group:gm1", id="group"),
        pytest.param(DEN, {}, "", "agent:main:mattermost:group:den", id="private"),
        pytest.param(TOWN, {}, "", "agent:main:mattermost:channel:town", id="channel"),
        pytest.param(TOWN, {"group_scope": GroupScope.MAIN}, "", "agent:main:main", id="group-scope-main"),
        pytest.param(TOWN, {}, "r1", "agent:main:mattermost:channel:town:thread:r1", id="thread"),
        pytest.param(DM, {}, "r1", "agent:main:mattermost:direct:alice", id="direct-threads-are-flat"),
        pytest.param(TOWN, {"default_agent": AgentId("Ops")}, "", "agent:ops:mattermost:channel:town", id="lower-case"),
    ],
)
def test_session_keys(chat: Chat, rules: dict[str, Any], root_id: str, session: str) -> None:
    """Sessions are named as documented."""
    assert route_message(chat, ALICE, RoutingRules(**rules), account=WORK, root_id=root_id).session == session


@pytest.mark.parametrize(
    ("chat", "mode", "by_kind", "root_id", "reply_root"),
    [
        pytest.param(TOWN, "off", {}, "", None, id="flat"),
        pytest.param(TOWN, "off", {}, "r1", "r1", id="a-thread-is-kept"),
        pytest.param(TOWN, "all", {}, "", "p1", id="a-thread-is-opened"),
        pytest.param(TOWN, "first", {}, "", "p1", id="first-is-the-same"),
        pytest.param(TOWN, "batched", {}, "r1", "r1", id="in-a-thread-its-root"),
        pytest.param(TOWN, "all", {ChatKind.CHANNEL: "off"}, "", None, id="channel-off"),
        pytest.param(DEN, "all", {ChatKind.CHANNEL: "off"}, "", "p1", id="private-is-a-group"),
        pytest.param(DM, "all", {}, "", None, id="direct-stays-flat"),
        pytest.param(DM, "all", {}, "r1", None, id="direct-stays-flat-in-a-thread"),
        pytest.param(DM, "off", {ChatKind.DIRECT: "all"}, "", "p1", id="direct-all"),
        pytest.param(DM, "off", {ChatKind.DIRECT: "all"}, "r1", "r1", id="direct-all-in-a-thread"),
    ],
)
def test_reply_roots(chat: Chat, mode: str, by_kind: dict[ChatKind, str], root_id: str, reply_root: str | None) -> None:
    """Answers go where replyToMode says."""
    rules = RoutingRules(
        reply_to_mode=ReplyToMode(mode), reply_to_mode_by_kind={k: ReplyToMode(v) for k, v in by_kind.items()}
    )
    post = Post(PostId("p1"), chat.channel_id, ALICE, root_id=root_id)
    found = route(post, chat, rules, account=WORK)
    assert found.reply_root == reply_root
    assert found.session == (f"{found.base}:thread:{reply_root}" if reply_root else found.base)


def bind(agent: str, **match: Any) -> Binding:
    return Binding(AgentId(agent), **match)


PEER = bind("peer", peer_kind=ChatKind.CHANNEL, peer_id="TOWN")
ANY_PEER = bind("any-peer", peer_kind=ChatKind.GROUP, peer_id="*")
TEAM = bind("team", team=TeamId("core"))
ACCOUNT = bind("account", account=WORK)
CHANNEL = bind("channel")
ALL = (CHANNEL, ACCOUNT, TEAM, ANY_PEER, PEER)


@pytest.mark.parametrize(
    ("chat", "account", "bindings", "agent"),
    [
        pytest.param(TOWN, WORK, ALL, "peer", id="peer"),
        pytest.param(DEN, WORK, ALL, "any-peer", id="any-peer-group-is-channel"),
        pytest.param(DEN, WORK, ALL[:3], "team", id="team"),
        pytest.param(DM, WORK, ALL, "account", id="account"),
        pytest.param(DM, HOME, ALL, "channel", id="channel"),
        pytest.param(DM, HOME, ALL[1:], None, id="none"),
        pytest.param(DM, WORK, (bind("a"), bind("b")), "a", id="the-first-of-equals"),
        pytest.param(DM, WORK, (bind("dm", peer_kind=ChatKind.DIRECT, peer_id="alice"), ACCOUNT), "dm", id="person"),
        pytest.param(TOWN, WORK, (bind("dm", peer_kind=ChatKind.DIRECT, peer_id="*"),), None, id="direct-only"),
        pytest.param(TOWN, HOME, (bind("x", peer_id="town", account=WORK),), None, id="every-field-has-to-match"),
        pytest.param(
            TOWN, WORK, (PEER, bind("both", peer_id="town", account=WORK)), "both", id="of-two-peers-the-narrower"
        ),
    ],
)
def test_bindings(chat: Chat, account: AccountId, bindings: tuple[Binding, ...], agent: str | None) -> None:
    """The most specific binding wins, in whatever order they stand."""
    found = choose_binding(chat, ALICE, bindings, account=account)
    assert (found and found.agent) == agent


def test_a_binding_brings_its_agent_and_scope() -> None:
    """A binding's own scope beats the session settings."""
    rules = RoutingRules(bindings=(bind("ops", dm_scope=DmScope.MAIN),))
    found = route_message(DM, ALICE, rules, account=WORK)
    assert (found.agent, found.session) == ("ops", "agent:ops:main")


def test_an_unknown_chat_has_no_route() -> None:
    """What could not be looked up is refused before it gets here."""
    with pytest.raises(ValueError, match="unknown type"):
        route_message(Chat(ChannelId("x"), None), ALICE, RoutingRules(), account=WORK)


@given(
    st.sampled_from([DM, GROUP, DEN, TOWN]),
    st.sampled_from(ReplyToMode),
    st.dictionaries(st.sampled_from(ChatKind), st.sampled_from(ReplyToMode)),
    st.sampled_from(["", "root"]),
)
def test_a_replys_id_never_becomes_a_root(
    chat: Chat, mode: ReplyToMode, by_kind: dict[ChatKind, ReplyToMode], root_id: str
) -> None:
    """Whatever the mode, the answer to a reply goes under that reply's root or nowhere."""
    rules = RoutingRules(reply_to_mode=mode, reply_to_mode_by_kind=by_kind)
    found = route(Post(PostId("p1"), chat.channel_id, ALICE, root_id=root_id), chat, rules, account=WORK)
    assert found.reply_root in ((None, "root") if root_id else (None, "p1"))
    assert found.session == found.session.lower()
