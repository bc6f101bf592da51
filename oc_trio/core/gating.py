"""Whether a post speaks to the bot: the one decision every post passes, live or caught up, with its reason.

Composes `access` (who may) with the chat mode (what counts as speaking to us). It does not look at the ledger: what
was already answered is refused there.
"""

from collections.abc import Mapping
from enum import Enum

from attrs import field, frozen

from oc_trio.core.access import Access, AccessPolicy, AllowBots, authorise, refuse_post
from oc_trio.core.chat import Chat, Sender
from oc_trio.core.events import Post
from oc_trio.core.mentions import agent_text, is_blank, is_mentioned_in, mentionable_texts, strip_prefix
from oc_trio.ids import ChannelId, UserId

DEFAULT_PREFIXES = (">", "!")
DAY_MS = 24 * 3600 * 1000


class ChatMode(Enum):
    """What wakes the bot outside direct chats: a mention, any message, or a mention or a leading character."""

    ONCALL = "oncall"
    ONMESSAGE = "onmessage"
    ONCHAR = "onchar"


class Verdict(Enum):
    """`CONTEXT` posts are kept as history for the next turn there."""

    ADDRESSED = "addressed"
    CONTEXT = "context"
    IGNORE = "ignore"


@frozen
class ChatRules:
    """The settings behind `gate`. `groups` maps a channel id or "*" to its requireMention.

    A thread in which the bot spoke needs no mention for `participation_ms`; a mention added by an edit counts for
    `edit_window_ms` after the post.
    """

    chatmode: ChatMode | None = None
    onchar_prefixes: tuple[str, ...] = DEFAULT_PREFIXES
    groups: Mapping[str, bool] = field(factory=dict, hash=False)
    thread_participation: bool = True
    participation_ms: int = 7 * DAY_MS
    edit_window_ms: int = 5 * 60 * 1000

    @property
    def prefixes(self) -> tuple[str, ...]:
        """The usable ones: a list of blanks means the default ones, not that everything is a prefix."""
        return tuple(prefix for prefix in self.onchar_prefixes if prefix.strip()) or DEFAULT_PREFIXES

    def needs_mention(self, channel_id: ChannelId) -> bool:
        """What a channel asks for; its own entry beats the mode, but `onchar` beats both."""
        if self.chatmode is ChatMode.ONCHAR:
            return True
        for key in (channel_id, "*"):
            if key in self.groups:
                return self.groups[key]
        return self.chatmode is not ChatMode.ONMESSAGE


@frozen
class Bot:
    """Who we are on this server."""

    user_id: UserId
    username: str


@frozen
class Inbound:
    """One post with everything a decision needs to know, looked up beforehand.

    `named` says that the text calls the agent by name (`names`), which counts as a mention where a person wrote it.
    `participated_at` is when the bot last spoke in the post's thread (0 never, milliseconds); `is_command` says that
    the text, without the mention, is a text command; `edited` that the post came as an edit.
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

    `trusted` says that the sender passed the access policy, also where the post is only context.
    """

    verdict: Verdict
    reason: str
    explain: bool = False
    trusted: bool = False


def decide(inbound: Inbound, policy: AccessPolicy, rules: ChatRules) -> Decision:
    """The whole way of a post: nobody's words, who may talk, empty, spoken to us."""
    post = inbound.post
    refusal = refuse_post(post, inbound.bot.user_id)
    if refusal is not None:
        return Decision(Verdict.IGNORE, refusal)
    empty = not post.file_ids and all(is_blank(text) for text in mentionable_texts(post))
    access = authorise(inbound.sender, inbound.chat, policy, paired=inbound.paired)
    if not access.allowed:
        return _refused(access, empty=empty)
    if empty:
        return Decision(Verdict.IGNORE, "empty_post", trusted=True)
    return gate(inbound, rules, bots=policy.allow_bots)


def gate(inbound: Inbound, rules: ChatRules, *, bots: AllowBots = AllowBots.OFF) -> Decision:
    """Whether the post of an admitted sender speaks to the bot.

    A bot among `AllowBots.MENTIONS` has to write our @username even in a direct chat; no bot is answered for having
    spoken in a thread, or two of them would never stop.
    """
    from_bot = inbound.sender.is_bot is not False
    named = inbound.named and not from_bot
    mentioned = named or is_mentioned_in(inbound.post, inbound.bot.username)
    if inbound.edited:
        return _edited(inbound, rules, mentioned=mentioned)
    if mentioned:
        return _addressed("mention")
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
    """What the agent reads of a post: without the mention, without the prefix where prefixes count.

    A bare mention stays as it is; "" means that there is nothing but files.
    """
    text = agent_text(inbound.post.message, inbound.bot.username)
    if rules.chatmode is ChatMode.ONCHAR and not inbound.chat.is_direct:
        return strip_prefix(text, rules.prefixes) or text
    return text


def _refused(access: Access, *, empty: bool) -> Decision:
    # Somebody who merely isn't listed is still part of the conversation; whether the model may read them is decided
    # when the history is shown (contextVisibility).
    if access.reason == "group_policy_not_allowlisted" and not empty:
        return Decision(Verdict.CONTEXT, access.reason)
    return Decision(Verdict.IGNORE, access.reason, explain=access.explain)


def _edited(inbound: Inbound, rules: ChatRules, *, mentioned: bool) -> Decision:
    post = inbound.post
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
