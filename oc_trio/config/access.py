"""The keys of a Mattermost account that decide which messages the bot answers, and whose."""

from collections.abc import Mapping

from oc_trio.classes import frozen
from oc_trio.config.fields import key, section, table_of
from oc_trio.core.access import AllowBots, DmPolicy, GroupPolicy
from oc_trio.core.context import ContextVisibility
from oc_trio.core.gating import ChatMode


@frozen
class GroupRule:
    """`groups.<channelId>`."""

    require_mention: bool | None = key(None, "Whether this channel needs a mention; wins over `chatmode`.")


@frozen
class ImplicitMentions:
    """`implicitMentions`."""

    thread_participation: bool = key(True, "In a thread where the bot has answered, no mention is needed for 7 days.")
    # These two exist so that an openclaw.json that sets them is accepted.
    reply_to_bot: bool = key(True, "Accepted for compatibility; Mattermost has no such replies.")
    quoted_bot: bool = key(True, "Accepted for compatibility; Mattermost has no such quotes.")


@frozen
class Gating:
    """When the bot answers."""

    chatmode: ChatMode = key(
        ChatMode.ONCALL,
        "In channels, answer to mentions (`oncall`), to every message (`onmessage`), or to messages that begin with "
        "one of `oncharPrefixes` and to mentions (`onchar`).",
    )
    # OpenClaw's two. A slash can't be one: Mattermost keeps such messages to itself, as commands.
    onchar_prefixes: tuple[str, ...] = key((">", "!"), "Prefixes for `onchar`; they are removed from the message.")
    groups: Mapping[str, GroupRule] = table_of('Rules by channel id; `"*"` is the default for the others.')
    implicit_mentions: ImplicitMentions = section(ImplicitMentions, "What counts as a mention without being one.")


@frozen
class AccessSettings:
    """Who may talk to the bot, and where. An empty list never means everyone."""

    # Closed by default: a bot that everybody may talk to is something that an operator has to write down.
    dm_policy: DmPolicy = key(
        DmPolicy.PAIRING,
        "Direct messages: unknown people get a pairing code, only `allowFrom`, everyone "
        '(`open`, needs `"*"` in `allowFrom`), or nobody.',
    )
    allow_from: tuple[str, ...] = key(
        (),
        'User ids, `"*"`, or `accessGroup:<name>` for direct messages; `@username` only with '
        "`dangerouslyAllowNameMatching`.",
        numbers=True,
    )
    # With an empty list this admits nobody, and `checks` warns of it.
    group_policy: GroupPolicy = key(GroupPolicy.ALLOWLIST, "The same choice for channels, without pairing.")
    group_allow_from: tuple[str, ...] = key(
        (), "As `allowFrom`, for channels; empty falls back to `allowFrom`.", numbers=True
    )
    dangerously_allow_name_matching: bool = key(
        False, "Let lists name people by `@username`, which anyone may change to."
    )
    context_visibility: ContextVisibility = key(
        ContextVisibility.ALL, "Whose unaddressed posts become context for the next turn."
    )
    allow_bots: AllowBots = key(
        AllowBots.OFF,
        "Posts by other bots: ignored, answered when they mention the bot, or only those in `botAllowFrom`.",
    )
    bot_allow_from: tuple[str, ...] = key((), "User ids of bots for `allowBots` `list`.", numbers=True)
    only_teams: tuple[str, ...] = key((), "Serve only the channels of these team ids; empty means all teams.")
    only_channels: tuple[str, ...] = key((), "Serve only these channel ids (and direct messages); empty means all.")
