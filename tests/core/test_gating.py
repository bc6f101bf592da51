"""Which posts speak to the bot."""

import itertools
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from oc_trio.core.access import AccessPolicy, AllowBots, DmPolicy, GroupPolicy
from oc_trio.core.chat import Chat, Sender
from oc_trio.core.events import ChannelType, Post
from oc_trio.core.gating import DAY_MS, Bot, ChatMode, ChatRules, Decision, Inbound, Verdict, decide, gate, spoken_text
from oc_trio.ids import ChannelId, FileId, PostId, UserId

ALICE = Sender(UserId("alice"), "alice", is_bot=False)
ROBOT = Sender(UserId("robot"), "robot", is_bot=True)
DM = Chat(ChannelId("dm"), ChannelType.DIRECT)
TOWN = Chat(ChannelId("town"), ChannelType.OPEN)
OPEN = AccessPolicy(dm_policy=DmPolicy.OPEN, group_policy=GroupPolicy.OPEN, allow_from=("*",))
NOW = 30 * DAY_MS
POST = Post(PostId("p"), TOWN.channel_id, ALICE.user_id, "hello", create_at=NOW)


def inbound(message: str = "hello", *, chat: Chat = TOWN, sender: Sender = ALICE, **facts: Any) -> Inbound:
    post_fields = {key: facts.pop(key) for key in ("root_id", "edit_at", "props", "file_ids", "type") if key in facts}
    post = evolve(POST, message=message, channel_id=chat.channel_id, user_id=sender.user_id, **post_fields)
    return Inbound(post, chat, sender, Bot(UserId("bot"), "bot"), **facts)


IN_THREAD: dict[str, Any] = {"root_id": "r", "participated_at": NOW - DAY_MS}
ONCALL, ONMESSAGE, ONCHAR = (ChatRules(chatmode=mode) for mode in ChatMode)


@pytest.mark.parametrize(
    ("what", "rules", "verdict", "reason"),
    [
        pytest.param(inbound(), ChatRules(), "context", "no_mention", id="by-default-silent"),
        pytest.param(inbound("@bot hi"), ChatRules(), "addressed", "mention", id="mention"),
        pytest.param(inbound("@channel hi"), ChatRules(), "context", "no_mention", id="broadcast"),
        pytest.param(inbound("`@bot`"), ChatRules(), "context", "no_mention", id="mention-in-code"),
        pytest.param(inbound("@bot-two hi"), ChatRules(), "context", "no_mention", id="another-bot"),
        pytest.param(inbound("@bot"), ChatRules(), "addressed", "mention", id="bare-mention"),
        pytest.param(inbound(chat=DM), ChatRules(), "addressed", "direct_message", id="direct"),
        pytest.param(
            inbound("", props={"attachments": [{"text": "@bot"}]}), ChatRules(), "addressed", "mention", id="attachment"
        ),
        pytest.param(inbound(), ONMESSAGE, "addressed", "no_mention_required", id="onmessage"),
        pytest.param(inbound(), ONCALL, "context", "no_mention", id="oncall"),
        pytest.param(inbound("> do it"), ONCHAR, "addressed", "prefix", id="onchar-prefix"),
        pytest.param(inbound("do it"), ONCHAR, "context", "no_mention", id="onchar-nothing"),
        pytest.param(inbound("@bot do it"), ONCHAR, "addressed", "mention", id="onchar-mention"),
        pytest.param(inbound("> do it"), ONCALL, "context", "no_mention", id="prefixes-mean-nothing-elsewhere"),
        pytest.param(
            inbound("hi"), evolve(ONCHAR, onchar_prefixes=("", " ")), "context", "no_mention", id="blank-prefixes"
        ),
        pytest.param(
            inbound(), ChatRules(groups={"town": False}), "addressed", "no_mention_required", id="channel-without"
        ),
        pytest.param(
            inbound(), evolve(ONMESSAGE, groups={"*": True}), "context", "no_mention", id="star-beats-onmessage"
        ),
        pytest.param(
            inbound(),
            ChatRules(groups={"*": True, "town": False}),
            "addressed",
            "no_mention_required",
            id="channel-beats-star",
        ),
        pytest.param(inbound(), evolve(ONCHAR, groups={"town": False}), "context", "no_mention", id="onchar-beats-it"),
        pytest.param(inbound(**IN_THREAD), ChatRules(), "addressed", "thread_participation", id="our-thread"),
        pytest.param(inbound(**IN_THREAD), ONCHAR, "addressed", "thread_participation", id="our-thread-onchar"),
        pytest.param(
            inbound(root_id="r", participated_at=NOW - 8 * DAY_MS), ChatRules(), "context", "no_mention", id="long-ago"
        ),
        pytest.param(inbound(root_id="r"), ChatRules(), "context", "no_mention", id="somebody-elses-thread"),
        pytest.param(inbound(participated_at=NOW), ChatRules(), "context", "no_mention", id="not-in-a-thread"),
        pytest.param(
            inbound(**IN_THREAD), ChatRules(thread_participation=False), "context", "no_mention", id="switched-off"
        ),
        pytest.param(inbound("/new", is_command=True), ChatRules(), "addressed", "command", id="command"),
        pytest.param(
            inbound("@bot hi", edited=True, edit_at=NOW + 60_000),
            ChatRules(),
            "addressed",
            "mention_added_by_edit",
            id="mention-by-edit",
        ),
        pytest.param(
            inbound("@bot hi", edited=True, edit_at=NOW + 301_000),
            ChatRules(),
            "ignore",
            "edit_too_late",
            id="late",
        ),
        pytest.param(inbound("hi", edited=True), ONMESSAGE, "ignore", "edit_without_new_mention", id="any-other-edit"),
        pytest.param(
            inbound("@bot hi", chat=DM, edited=True),
            ChatRules(),
            "ignore",
            "edit_without_new_mention",
            id="in-dm",
        ),
        pytest.param(inbound("", file_ids=(FileId("f"),), chat=DM), ONCALL, "addressed", "direct_message", id="a-file"),
        pytest.param(inbound("\u200b", chat=DM), ONCALL, "ignore", "empty_post", id="nothing-visible"),
        pytest.param(inbound("hi", type="system_header_change"), ONMESSAGE, "ignore", "system_post", id="system"),
        pytest.param(inbound("@bot", sender=ROBOT), ChatRules(), "ignore", "bot_author", id="a-bot"),
    ],
)
def test_decisions(what: Inbound, rules: ChatRules, verdict: str, reason: str) -> None:
    """The table of posts under an open policy."""
    decision = decide(what, OPEN, rules)
    assert (decision.verdict.value, decision.reason) == (verdict, reason)


@pytest.mark.parametrize(
    ("what", "policy", "decision"),
    [
        pytest.param(
            inbound("@bot hi"),
            AccessPolicy(allow_from=("bob",)),
            Decision(Verdict.CONTEXT, "group_policy_not_allowlisted"),
            id="not-listed-is-context",
        ),
        pytest.param(
            inbound(" ", file_ids=()),
            AccessPolicy(allow_from=("bob",)),
            Decision(Verdict.IGNORE, "group_policy_not_allowlisted"),
            id="empty-and-not-listed",
        ),
        pytest.param(
            inbound("@bot hi"), AccessPolicy(), Decision(Verdict.IGNORE, "group_policy_empty_allowlist"), id="no-list"
        ),
        pytest.param(
            inbound(chat=DM),
            AccessPolicy(),
            Decision(Verdict.IGNORE, "dm_policy_pairing_required", explain=True),
            id="a-stranger-gets-a-code",
        ),
        pytest.param(
            inbound(chat=DM, paired=frozenset({ALICE.user_id})),
            AccessPolicy(),
            Decision(Verdict.ADDRESSED, "direct_message", trusted=True),
            id="paired",
        ),
        pytest.param(
            inbound(chat=Chat(ChannelId("x"), None)),
            OPEN,
            Decision(Verdict.IGNORE, "chat_type_unknown"),
            id="unknown-channel",
        ),
    ],
)
def test_access_comes_first(what: Inbound, policy: AccessPolicy, decision: Decision) -> None:
    """The access policy is asked before the text is read."""
    assert decide(what, policy, ChatRules()) == decision


@pytest.mark.parametrize(
    ("what", "bots", "verdict", "reason"),
    [
        pytest.param(inbound("@bot hi", sender=ROBOT), AllowBots.MENTIONS, "addressed", "mention", id="mention"),
        pytest.param(inbound(sender=ROBOT), AllowBots.MENTIONS, "context", "bot_without_mention", id="overheard"),
        pytest.param(
            inbound(sender=ROBOT, chat=DM), AllowBots.MENTIONS, "ignore", "bot_without_mention", id="direct-without"
        ),
        pytest.param(
            inbound(sender=ROBOT, named=True), AllowBots.MENTIONS, "context", "bot_without_mention", id="a-name-only"
        ),
        pytest.param(inbound(sender=ROBOT), AllowBots.LIST, "addressed", "no_mention_required", id="listed"),
        pytest.param(inbound(sender=ROBOT, chat=DM), AllowBots.LIST, "addressed", "direct_message", id="listed-direct"),
    ],
)
def test_bots(what: Inbound, bots: AllowBots, verdict: str, reason: str) -> None:
    """Bots that are let in are heard under rules of their own, in a channel where people need no mention."""
    decision = gate(what, ONMESSAGE, bots=bots)
    assert (decision.verdict.value, decision.reason) == (verdict, reason)


def test_a_name_is_a_mention() -> None:
    """A person who calls the agent by name mentions it, where a mention is needed and by an edit too."""
    assert gate(inbound(named=True), ONCALL).reason == "mention"
    assert gate(inbound(named=True, edited=True), ONCALL).reason == "mention_added_by_edit"
    assert gate(inbound(), ONCALL).reason == "no_mention"


def test_a_bot_is_not_answered_for_being_in_our_thread() -> None:
    """Two bots in one thread would never stop."""
    assert gate(inbound(sender=ROBOT, **IN_THREAD), ONCALL, bots=AllowBots.LIST).verdict is Verdict.CONTEXT


@pytest.mark.parametrize(
    ("message", "rules", "chat", "text"),
    [
        pytest.param("@bot hi", ONCALL, TOWN, "hi", id="mention-goes"),
        pytest.param("> hi", ONCHAR, TOWN, "hi", id="prefix-goes"),
        pytest.param("@bot > hi", ONCHAR, TOWN, "hi", id="both-go"),
        pytest.param("> quoted", ONCALL, TOWN, "> quoted", id="a-quote-stays"),
        pytest.param("> quoted", ONCHAR, DM, "> quoted", id="a-quote-in-a-direct-chat-stays"),
        pytest.param("@bot", ONCALL, TOWN, "@bot", id="bare-mention-stays"),
        pytest.param(">", ONCHAR, TOWN, ">", id="bare-prefix-stays"),
    ],
)
def test_spoken_text(message: str, rules: ChatRules, chat: Chat, text: str) -> None:
    """The agent reads the text without what only called it."""
    assert spoken_text(inbound(message, chat=chat), rules) == text


CROSS = list(
    itertools.product(
        ChannelType,
        [None, *ChatMode],
        ["hello", "@bot hi", "@channel hi", "> hi"],
        [{}, {"root_id": "r"}, IN_THREAD],
        [{}, {"*": False}, {"*": True}],
    )
)


@pytest.mark.parametrize(("kind", "mode", "message", "thread", "groups"), CROSS)
def test_cross_product(
    kind: ChannelType, mode: ChatMode | None, message: str, thread: dict[str, Any], groups: dict[str, bool]
) -> None:
    """Chat type x mode x message x thread x groups: addressed exactly when one of the documented ways applies."""
    chat = Chat(ChannelId("town"), kind)
    required = mode is ChatMode.ONCHAR or groups.get("*", mode is not ChatMode.ONMESSAGE)
    expected = (
        kind is ChannelType.DIRECT
        or message.startswith("@bot")
        or (mode is ChatMode.ONCHAR and message.startswith(">"))
        or thread == IN_THREAD
        or not required
    )
    decision = decide(inbound(message, chat=chat, **thread), OPEN, ChatRules(chatmode=mode, groups=groups))
    assert (decision.verdict is Verdict.ADDRESSED) is expected
    assert decision.trusted


MESSAGES = st.sampled_from(["hello", "@bot hi", "> hi", "", "@all"])
RULES = st.builds(ChatRules, chatmode=st.sampled_from([None, *ChatMode]), groups=st.sampled_from([{}, {"*": False}]))


@given(MESSAGES, RULES, st.sampled_from(ChannelType), st.booleans())
def test_nobody_is_answered_who_may_not_talk(message: str, rules: ChatRules, kind: ChannelType, edited: bool) -> None:
    """A closed policy addresses nothing, whatever the chat mode is."""
    what = inbound(message, chat=Chat(ChannelId("town"), kind), edited=edited, **IN_THREAD)
    assert decide(what, AccessPolicy(), rules).verdict is Verdict.IGNORE


@given(MESSAGES, RULES, st.sampled_from(ChannelType))
def test_a_mention_never_makes_it_less_addressed(message: str, rules: ChatRules, kind: ChannelType) -> None:
    """Adding the mention to a post always addresses it."""
    what = inbound(message + " @bot", chat=Chat(ChannelId("town"), kind))
    assert decide(what, OPEN, rules).verdict is Verdict.ADDRESSED
