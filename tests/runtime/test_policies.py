"""From the configuration's tables to the policies of one account."""

from typing import Any

import pytest

from oc_trio.config.document import Document
from oc_trio.config.load import build
from oc_trio.core.access import AllowBots
from oc_trio.core.agent_names import is_named
from oc_trio.core.freshness import Freshness
from oc_trio.core.routing import Binding, DmScope
from oc_trio.ids import AccountId, AgentId, ChannelId, TeamId
from oc_trio.runtime.policies import Policies, default_agent, net_policy, policies
from tests.runtime.harness import merged

ALICE, BOB = "a" * 26, "b" * 26


def made(mattermost: dict[str, Any] | None = None, **tables: Any) -> Policies:
    base = {"baseUrl": "https://chat.example.com", "botToken": "token-of-bot", "groupPolicy": "open"}
    values = {"channels": {"mattermost": merged(base, mattermost or {})}, **tables}
    loaded = build(Document(values), {})
    return policies(loaded.config, loaded.accounts[AccountId("default")])


def test_the_defaults_are_closed() -> None:
    """Without a word about it there are no teams, bots or names that count."""
    plain = made()
    assert plain.access.only_teams is None
    assert plain.access.only_channels is None
    assert plain.access.allow_bots is AllowBots.OFF
    assert plain.command_users is None
    assert plain.names_for(AgentId("main")) == ()
    assert (plain.freshness, plain.gather) == (Freshness(), 0)


def test_all_teams_and_channels_count() -> None:
    """Every team and channel of the lists is served."""
    access = made({"onlyTeams": ["t1", "t2"], "onlyChannels": ["c1", "c2"]}).access
    assert access.only_teams == frozenset({TeamId("t1"), TeamId("t2")})
    assert access.only_channels == frozenset({ChannelId("c1"), ChannelId("c2")})


def test_access_groups_hold_their_members_here() -> None:
    """Members for Mattermost and for every platform are one group."""
    groups = {"ops": {"members": {"mattermost": [ALICE], "*": [BOB], "telegram": ["123"]}}}
    assert made(accessGroups=groups).access.access_groups == {"ops": (ALICE, BOB)}


@pytest.mark.parametrize(
    ("commands", "users"),
    [
        ({}, None),
        ({"ownerAllowFrom": [BOB]}, None),
        ({"allowFrom": {"telegram": ["1"]}}, None),
        ({"allowFrom": {"mattermost": [ALICE]}, "ownerAllowFrom": [BOB]}, (ALICE, BOB)),
        ({"allowFrom": {"mattermost": [ALICE], "*": ["x"]}}, (ALICE,)),
        ({"allowFrom": {"*": [ALICE]}}, (ALICE,)),
        ({"allowFrom": {"mattermost": []}}, ()),
    ],
    ids=["unset", "owners-only", "another-platform", "listed", "own-list-wins", "any-platform", "nobody"],
)
def test_command_users(commands: dict[str, Any], users: tuple[str, ...] | None) -> None:
    """Unset means everyone who may talk to the bot; a list is exact, with the owners."""
    assert made(commands=commands).command_users == users


@pytest.mark.parametrize(
    ("general", "own", "text", "named"),
    [
        pytest.param(None, None, "Ada?", True, id="identity"),
        pytest.param(None, None, "🦩?", True, id="emoji"),
        pytest.param(["hey bot"], None, "hey bot", True, id="everybodys"),
        pytest.param(["hey bot"], None, "Ada?", False, id="everybodys-instead-of-the-identity"),
        pytest.param(["hey bot"], ["yo"], "yo", True, id="own"),
        pytest.param(["hey bot"], ["yo"], "hey bot", False, id="own-instead-of-everybodys"),
        pytest.param(["hey bot"], [], "hey bot", False, id="none"),
        pytest.param([], None, "Ada?", False, id="none-for-all"),
    ],
)
def test_names(general: list[str] | None, own: list[str] | None, text: str, named: bool) -> None:
    """The nearest list of patterns counts, an empty one too; without any, the identity."""
    entry: dict[str, Any] = {"identity": {"name": "Ada", "emoji": "🦩"}}
    if own is not None:
        entry["groupChat"] = {"mentionPatterns": own}
    messages = {} if general is None else {"groupChat": {"mentionPatterns": general}}
    result = made(agents={"entries": {"main": entry}}, messages=messages)
    assert is_named(text, result.names_for(AgentId("main"))) is named


def test_identity_links() -> None:
    """Ids of Mattermost, with or without its name, belong to the person; others are left out."""
    links = {"Alice B.": [f"mattermost:{ALICE}", BOB, "telegram:123", " "]}
    assert made(session={"identityLinks": links}).routing.identity_links == {ALICE: "alice-b.", BOB: "alice-b."}


def test_bindings() -> None:
    """Accounts are named as they are kept, and other platforms' bindings are left out."""
    match = {"accountId": "Default", "teamId": "t1"}
    rules = made(
        agents={"entries": {"main": {}, "ops": {}}},
        bindings=[
            {"agentId": "ops", "match": match, "session": {"dmScope": "main"}},
            {"agentId": "ops", "match": {"channel": "telegram"}},
            {"agentId": "main", "match": {"accountId": "*"}},
        ],
    ).routing.bindings
    assert rules == (
        Binding(AgentId("ops"), AccountId("default"), rules[0].team, dm_scope=DmScope.MAIN),
        Binding(AgentId("main")),
    )
    assert rules[0].team == "t1"


@pytest.mark.parametrize(
    ("entries", "default"),
    [
        ({}, "main"),
        ({"a": {}, "main": {}}, "main"),
        ({"a": {}, "b": {}}, "a"),
        ({"a": {}, "main": {}, "b": {"default": True}}, "b"),
    ],
    ids=["none", "main", "first", "marked"],
)
def test_default_agent(entries: dict[str, Any], default: str) -> None:
    """The marked one, else main, else the first."""
    values = {
        "channels": {"mattermost": {"baseUrl": "https://chat.example.com", "botToken": "token-of-bot"}},
        "agents": {"entries": entries},
    }
    assert default_agent(build(Document(values), {}).config) == default


def test_equal_settings_make_equal_policies() -> None:
    """A reload that changes nothing is recognised, patterns included."""
    agents = {"entries": {"main": {"groupChat": {"mentionPatterns": ["hey"]}}}}
    assert made({"groups": {"*": {"requireMention": False}}}, agents=agents) == made(
        {"groups": {"*": {"requireMention": False}}}, agents=agents
    )
    assert made(agents=agents) != made()


def test_private_addresses_are_opened_by_one_key() -> None:
    """Nothing else lets the gateway talk to a private address."""
    base = {"baseUrl": "https://chat.example.com", "botToken": "token-of-bot"}
    for allowed in (False, True):
        section = {**base, "network": {"dangerouslyAllowPrivateNetwork": allowed}}
        loaded = build(Document({"channels": {"mattermost": section}}), {}, connect=False)
        assert net_policy(loaded.accounts[AccountId("default")]).allow_private is allowed
