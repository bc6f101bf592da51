"""Decides whether a post addresses the bot and may be answered: for every post, live or from catch-up, with a reason.

Combines `access` (who may) with the chat mode (what counts as addressing the bot). The journal checks whether a
post was answered before (`store.admission`).
"""

from collections.abc import Mapping
from enum import Enum

from attrs import field

from oc_trio.classes import frozen
from oc_trio.core.access import Access, AccessPolicy, AllowBots, authorise, refuse_post
from oc_trio.core.chat import Chat, Sender
from oc_trio.core.events import Post
from oc_trio.core.mentions import agent_text, is_blank, is_mentioned_in, mentionable_texts, strip_prefix
from oc_trio.ids import ChannelId, UserId

DEFAULT_PREFIXES = (">", "!")
DAY_MS = 24 * 3600 * 1000


class ChatMode(Enum):
    """What the bot answers outside direct messages: mentions, every message, or mentions and a prefix character."""

    ONCALL = "oncall"
    ONMESSAGE = "onmessage"
    ONCHAR = "onchar"


class Verdict(Enum):
    """`CONTEXT` posts are kept as history for the next turn in their conversation."""

    ADDRESSED = "addressed"
    CONTEXT = "context"
    IGNORE = "ignore"


@frozen
class ChatRules:
    """The settings for `gate`. `groups` maps a channel id or "*" to its requireMention.

    A thread in which the bot has posted needs no mention for `participation_ms`. A mention that an edit adds counts
    until `edit_window_ms` after the post.
    """

    chatmode: ChatMode | None = None
    onchar_prefixes: tuple[str, ...] = DEFAULT_PREFIXES
    groups: Mapping[str, bool] = field(factory=dict, hash=False)
    thread_participation: bool = True
    # As in OpenClaw, which remembers its threads for a week.
    participation_ms: int = 7 * DAY_MS
    # Who has forgotten a mention adds it at once; what is edited later is corrected, and asks nothing.
    edit_window_ms: int = 5 * 60 * 1000

    @property
    def prefixes(self) -> tuple[str, ...]:
        """The prefixes that are not blank, else the default ones: a blank prefix would match everything."""
        return tuple(prefix for prefix in self.onchar_prefixes if prefix.strip()) or DEFAULT_PREFIXES

    def needs_mention(self, channel_id: ChannelId) -> bool:
        """Whether a channel needs a mention: its own entry wins over the chat mode, but `onchar` wins over both."""
        if self.chatmode is ChatMode.ONCHAR:
            return True
        for key in (channel_id, "*"):
            if key in self.groups:
                return self.groups[key]
        return self.chatmode is not ChatMode.ONMESSAGE


@frozen
class Bot:
    """Our own account on this server."""

    user_id: UserId
    username: str


@frozen
class Inbound:
    """One post with all facts that the decision needs, looked up beforehand.

    `named`: the text contains the agent's name (see `agent_names`), which counts as a mention if a person wrote it.
    `participated_at`: when the bot last posted in the post's thread (ms, 0 for never). `is_command`: the text without
    the mention is a chat command. `edited`: the post came as an edit.
    """

    post: Post
    chat: Chat
    sender: Sender
    bot: Bot
    paired: frozenset[UserId] | None = frozenset()
    participated_at: int = 0
    is_command: bool = False
    edited: bool = False
    named: bool = False


@frozen
class Decision:
    """`reason` is stable, for logs, metrics and `oc-trio explain`; `explain` as in `Access`.

    `trusted`: the sender passed the access policy, even if the post is only context.
    """

    verdict: Verdict
    reason: str
    explain: bool = False
    trusted: bool = False


def decide(inbound: Inbound, policy: AccessPolicy, rules: ChatRules) -> Decision:
    """All checks of a post, in order: no message at all, access, empty, addressed to the bot."""
    post = inbound.post
    refusal = refuse_post(post, inbound.bot.user_id)
    if refusal is not None:
        return Decision(Verdict.IGNORE, refusal)
    # A post with files is not empty, even without text.
    empty = not post.file_ids and is_blank(post.message) and all(map(is_blank, mentionable_texts(post)))
    access = authorise(inbound.sender, inbound.chat, policy, paired=inbound.paired)
    if not access.allowed:
        return _refused(access, empty=empty)
    if empty:
        return Decision(Verdict.IGNORE, "empty_post", trusted=True)
    return gate(inbound, rules, bots=policy.allow_bots)


def gate(inbound: Inbound, rules: ChatRules, *, bots: AllowBots = AllowBots.OFF) -> Decision:
    """Whether a post of an allowed sender addresses the bot.

    With `AllowBots.MENTIONS` another bot must write our @username even in a direct message. Thread participation does
    not count for bots, or two of them would answer each other for ever.
    """
    # An unknown author counts as a bot: bots have fewer ways to address us.
    from_bot = inbound.sender.is_bot is not False
    named = inbound.named and not from_bot
    mentioned = named or is_mentioned_in(inbound.post, inbound.bot.username)
    if inbound.edited:
        return _edited(inbound, rules, mentioned=mentioned)
    if mentioned:
        return _addressed("mention")
    # Before all ways that need no mention: a bot that posts in a thread of ours has not spoken to us.
    if from_bot and bots is not AllowBots.LIST:
        return _overheard(inbound.chat, "bot_without_mention")
    if inbound.chat.is_direct:
        return _addressed("direct_message")
    if rules.chatmode is ChatMode.ONCHAR and strip_prefix(inbound.post.message, rules.prefixes) is not None:
        return _addressed("prefix")
    if inbound.is_command:
        return _addressed("command")
    if not from_bot and _participates(inbound, rules):
        return _addressed("thread_participation")
    if not rules.needs_mention(inbound.chat.channel_id):
        return _addressed("no_mention_required")
    return _overheard(inbound.chat, "no_mention")


def spoken_text(inbound: Inbound, rules: ChatRules) -> str:
    """The text of a post for the agent: without the mention, and in mode `onchar` without the prefix.

    A bare mention stays; "" means that the post has only files.
    """
    return without_prefix(agent_text(inbound.post.message, inbound.bot.username), inbound.chat, rules)


def without_prefix(text: str, chat: Chat, rules: ChatRules) -> str:
    """A text without the prefix that calls the bot in mode `onchar`; a bare prefix stays."""
    if rules.chatmode is ChatMode.ONCHAR and not chat.is_direct:
        return strip_prefix(text, rules.prefixes) or text
    return text


def _refused(access: Access, *, empty: bool) -> Decision:
    # People who are not on the list are still part of the conversation; `contextVisibility` decides later whether the
    # model may read them.
    if access.reason == "group_policy_not_allowlisted" and not empty:
        return Decision(Verdict.CONTEXT, access.reason)
    return Decision(Verdict.IGNORE, access.reason, explain=access.explain)


def _edited(inbound: Inbound, rules: ChatRules, *, mentioned: bool) -> Decision:
    post = inbound.post
    # In a direct chat the original post addressed us already; elsewhere only a new mention can.
    if inbound.chat.is_direct or not mentioned:
        return Decision(Verdict.IGNORE, "edit_without_new_mention", trusted=True)
    if (post.edit_at or post.update_at) - post.create_at > rules.edit_window_ms:
        return Decision(Verdict.IGNORE, "edit_too_late", trusted=True)
    return _addressed("mention_added_by_edit")


def _participates(inbound: Inbound, rules: ChatRules) -> bool:
    post = inbound.post
    if not (rules.thread_participation and post.root_id and inbound.participated_at):
        return False
    return post.create_at - inbound.participated_at <= rules.participation_ms


def _addressed(reason: str) -> Decision:
    return Decision(Verdict.ADDRESSED, reason, trusted=True)


def _overheard(chat: Chat, reason: str) -> Decision:
    return Decision(Verdict.IGNORE if chat.is_direct else Verdict.CONTEXT, reason, trusted=True)
