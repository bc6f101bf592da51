"""What is said of a decision: the key and the value that would change it."""

import re
from pathlib import Path
from typing import Any

import pytest

import oc_trio
from oc_trio.config.document import Document
from oc_trio.config.load import Loaded, build
from oc_trio.core.ledger import Source
from oc_trio.ids import AccountId, ChannelId, UserId
from oc_trio.runtime.operator.explain.decision_sentences import Decided, decision_sentence, known_reasons
from oc_trio.store.admission import Seen

BASE = {"baseUrl": "https://chat.example.com", "botToken": "t"}
CHANNEL = ChannelId("chan")
PACKAGE = Path(oc_trio.__file__).parent


def loaded(**keys: Any) -> Loaded:
    return build(Document({"channels": {"mattermost": {**BASE, **keys}}}), {}, connect=False)


def sentence_of(reason: str, decision: str = "ignore", account: str = "default", **keys: Any) -> str:
    row = Seen(AccountId(account), "post", CHANNEL, UserId("alice-id"), "", 1, Source.LIVE, decision, reason, None, 2)
    return decision_sentence(Decided(row, loaded(**keys), "@alice (alice-id)", "~town (chan)", "helper"))


@pytest.mark.parametrize(
    ("reason", "keys", "words"),
    [
        pytest.param(
            "no_mention",
            {},
            [
                "does not mention @helper",
                'mattermost.chatmode` is "oncall"',
                "groups.chan.requireMention` = false",
            ],
            id="the mode",
        ),
        pytest.param(
            "no_mention",
            {"chatmode": "onmessage", "groups": {"chan": {"requireMention": True}}},
            ["`channels.mattermost.groups.chan.requireMention` is true"],
            id="the channel's own rule",
        ),
        pytest.param(
            "no_mention",
            {"chatmode": "onchar"},
            ['nor does it begin with a prefix (`channels.mattermost.oncharPrefixes` is [">", "!"])', '"onchar"'],
            id="a prefix",
        ),
        pytest.param(
            "group_policy_not_allowlisted",
            {"groupAllowFrom": ["bob-id"]},
            ['`channels.mattermost.groupAllowFrom` is ["bob-id"]', "@alice (alice-id) is not in it", 'add "alice-id"'],
            id="the list of channels",
        ),
        pytest.param(
            "group_policy_not_allowlisted",
            {"allowFrom": ["bob-id"]},
            ['`channels.mattermost.allowFrom` is ["bob-id"]', "where `groupAllowFrom` is empty"],
            id="the list that stands in",
        ),
        pytest.param(
            "dm_policy_pairing_required",
            {},
            ['`channels.mattermost.dmPolicy` is "pairing"', "oc-trio pairing list"],
            id="pairing",
        ),
        pytest.param("bot_author", {}, ['`channels.mattermost.allowBots` is "off"'], id="a bot"),
        pytest.param("channel_not_allowed", {"onlyChannels": ["x"]}, ['is ["x"]', "~town (chan)"], id="only channels"),
        pytest.param("something_new", {}, ["not answered: something_new"], id="a reason without a sentence"),
    ],
)
def test_the_key_that_decides(reason: str, keys: dict[str, Any], words: list[str]) -> None:
    """By its path in the file, with its value, and the sender by name and id."""
    sentence = sentence_of(reason, **keys)
    assert sentence.startswith("not answered: ")
    assert sentence.endswith(f"[{reason}]")
    for word in words:
        assert word in sentence


def test_an_accounts_own_key() -> None:
    """A key that the account has itself is named there, an inherited one where it stands."""
    keys: dict[str, Any] = {"accounts": {"east": {"chatmode": "onchar"}}, "oncharPrefixes": ["?"]}
    sentence = sentence_of("no_mention", account="east", **keys)
    assert '`channels.mattermost.accounts.east.chatmode` is "onchar"' in sentence
    assert '`channels.mattermost.oncharPrefixes` is ["?"]' in sentence


def test_an_account_that_is_gone() -> None:
    """The journal outlives the configuration."""
    assert sentence_of("dm_policy_disabled", account="gone").startswith(
        "not answered: `channels.mattermost.dmPolicy` ["
    )


@pytest.mark.parametrize(
    ("decision", "beginning"),
    [
        ("admit", "to be answered: it mentions @helper"),
        ("context", "not answered, kept as context: it mentions @helper"),
    ],
)
def test_what_became_of_it(decision: str, beginning: str) -> None:
    """Kept as context is not the same as passed over."""
    assert sentence_of("mention", decision).startswith(beginning)


def test_every_reason_has_a_sentence() -> None:
    """Every reason that the core or a call's admission can give has a sentence."""
    forms = (
        r'(?:Access\((?:True|False), |Decision\(Verdict\.\w+, |_addressed\(|_overheard\(\w+\.\w+, |reason=)"([a-z_]+)"'
    )
    text = "".join((PACKAGE / "core" / name).read_text() for name in ("access.py", "gating.py"))
    found = set(re.findall(forms, text)) | set(re.findall(r'^ {8}return "([a-z_]+)"$', text, re.MULTILINE))
    for folder in ("handlers", "inbound"):
        for module in (PACKAGE / "runtime" / folder).glob("*.py"):
            found |= set(re.findall(r'(?:Verdict\.IGNORE, |admit\([^)]*reason=)"([a-z_]+)"', module.read_text()))
    assert len(found) > 30
    assert found <= set(known_reasons())
