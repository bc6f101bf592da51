"""One Mattermost account: the keys of `channels.mattermost` and of each `channels.mattermost.accounts.<id>`.

The flat groups (`gating`, `access`, `delivery`) are the slices that components get; in files their keys sit side by
side.
"""

from collections.abc import Mapping
from enum import Enum

from attrs import frozen

from oc_trio.config.fields import flat, key, section, table_of
from oc_trio.config.secrets import NO_SECRET, Secret
from oc_trio.config.streaming import Streaming


class ChatMode(Enum):
    """When the bot answers in channels."""

    ONCALL = "oncall"
    ONMESSAGE = "onmessage"
    ONCHAR = "onchar"


class DmPolicy(Enum):
    """Who may write to the bot directly."""

    PAIRING = "pairing"
    ALLOWLIST = "allowlist"
    OPEN = "open"
    DISABLED = "disabled"


class GroupPolicy(Enum):
    """Who may talk to the bot in channels."""

    ALLOWLIST = "allowlist"
    OPEN = "open"
    DISABLED = "disabled"


class ContextVisibility(Enum):
    """Whose unaddressed posts the model gets to see."""

    ALL = "all"
    ALLOWLIST = "allowlist"
    ALLOWLIST_QUOTE = "allowlist_quote"


class AllowBots(Enum):
    """Whether posts by other bots and by webhooks are answered."""

    OFF = "off"
    MENTIONS = "mentions"
    LIST = "list"


class ReplyToMode(Enum):
    """Whether a top-level post is answered in a thread."""

    OFF = "off"
    FIRST = "first"
    ALL = "all"
    BATCHED = "batched"


class Notify(Enum):
    """Which post of an answer makes Mattermost notify people."""

    DRAFT = "draft"
    FINAL = "final"
    BOTH = "both"


class TableMode(Enum):
    """How Markdown tables go out."""

    OFF = "off"
    BULLETS = "bullets"
    CODE = "code"


class ConnectionMode(Enum):
    """How new posts reach the gateway."""

    WEBSOCKET = "websocket"
    POLL = "poll"


@frozen
class GroupRule:
    """`groups.<channelId>`."""

    require_mention: bool | None = key(None, "Whether this channel needs a mention; wins over `chatmode`.")


@frozen
class ImplicitMentions:
    """`implicitMentions`."""

    thread_participation: bool = key(True, "In a thread where the bot has answered, no mention is needed for 7 days.")
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
    onchar_prefixes: tuple[str, ...] = key((">", "!"), "Prefixes for `onchar`; they are removed from the message.")
    groups: Mapping[str, GroupRule] = table_of('Rules by channel id; `"*"` is the default for the others.')
    implicit_mentions: ImplicitMentions = section(ImplicitMentions, "What counts as a mention without being one.")


@frozen
class Access:
    """Who may talk to the bot, and where. An empty list never means everyone."""

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


@frozen
class ReplyToByChatType:
    """`replyToModeByChatType`."""

    direct: ReplyToMode = key(ReplyToMode.OFF, "Direct messages.")
    group: ReplyToMode | None = key(None, "Private channels and group messages; unset means `replyToMode`.")
    channel: ReplyToMode | None = key(None, "Public channels; unset means `replyToMode`.")


@frozen
class Markdown:
    """`markdown`."""

    tables: TableMode = key(
        TableMode.OFF, "Tables go out as they are, as bullets, or as code.", also={"block": TableMode.CODE}
    )


@frozen
class Delivery:
    """How answers are posted."""

    reply_to_mode: ReplyToMode = key(
        ReplyToMode.OFF,
        "`off`: answer in a thread only where there is one. The others: a thread under each top-level post, "
        "with a session of its own.",
    )
    reply_to_mode_by_chat_type: ReplyToByChatType = section(ReplyToByChatType, "Exceptions by kind of conversation.")
    text_chunk_limit: int = key(
        4000, "Characters per post; longer replies continue in further posts.", minimum=1, maximum=16_383
    )
    markdown: Markdown = section(Markdown, "Markdown details.")
    response_prefix: str = key(
        "", 'Put before each answer; `"auto"` is the agent\'s name in brackets. Default: `messages.responsePrefix`.'
    )
    notify: Notify = key(
        Notify.DRAFT, "Edits notify nobody in Mattermost: notify with the draft, with a fresh final post, or with both."
    )
    allow_channel_mentions: bool = key(False, "Let the model's `@channel`, `@all` and `@here` notify people.")


@frozen
class Network:
    """`network`."""

    dangerously_allow_private_network: bool = key(
        False, "Allow a `baseUrl` that resolves to loopback, private, CGNAT (Tailscale) or special addresses."
    )


@frozen
class SlashCommands:
    """`commands` of an account."""

    native: bool = key(False, "Register the `/oc_*` slash commands.", also={"auto": False})
    native_skills: bool = key(False, "Register `/oc_<skill>` for each skill too.", also={"auto": False})
    callback_path: str = key("/api/channels/mattermost/command", "Where the gateway receives them.")
    callback_url: str = key(
        "", "The URL by which Mattermost reaches that path; default `http://<gateway.customBindHost>:<gateway.port>`."
    )


@frozen
class Interactions:
    """`interactions`."""

    callback_base_url: str = key(
        "", "Base URL of the gateway as Mattermost reaches it; the path for buttons is appended."
    )
    allowed_source_ips: tuple[str, ...] = key(
        (), "Addresses or CIDR ranges that may deliver clicks; empty means loopback only."
    )


@frozen
class Actions:
    """`actions`: what the agent's message tool may do."""

    reactions: bool = key(True, "Add and remove reactions.")
    messages: bool = key(False, "Read other conversations that the destination rules allow.")


@frozen
class DmChannelRetry:
    """`dmChannelRetry`; delays in seconds."""

    max_retries: int = key(3, "Tries after the first one.", minimum=0, maximum=10)
    initial_delay: float = key(
        1.0,
        "Wait before the first retry; doubles each time.",
        name="initialDelayMs",
        scale=0.001,
        minimum=100,
        maximum=60_000,
    )
    max_delay: float = key(10.0, "Longest wait.", name="maxDelayMs", scale=0.001, minimum=1000, maximum=60_000)
    attempt: float = key(30.0, "Time limit of each try.", name="timeoutMs", scale=0.001, minimum=5000, maximum=120_000)


@frozen
class AckReactions:
    """`ackReactions`: emoji names; empty means none."""

    seen: str = key("", "Put on a message when it is taken up, removed when it is answered.")
    done: str = key("", "Put on a message when it has been answered.")
    failed: str = key("", "Put on a message whose answer failed.")


@frozen
class Catchup:
    """`catchup`: what happens to posts made while the gateway was away; times in seconds."""

    enabled: bool = key(True, "Answer posts that were made while the connection or the gateway was down.")
    max_age: float = key(24 * 3600.0, "Leave older ones alone.", name="maxAgeHours", scale=3600, above=0, maximum=720)
    max_posts: int = key(200, "At most this many per channel; the channel is told when more were left out.", minimum=1)
    overlap: int = key(20, "Posts read again before the last one seen.", minimum=1, maximum=200)
    concurrency: int = key(4, "Channels read at the same time.", minimum=1, maximum=32)
    second_pass: float = key(
        10.0,
        "A short second pass this long after going live, for servers with read replicas; 0 means none.",
        name="secondPassSeconds",
        minimum=0,
        maximum=600,
    )


@frozen
class Connection:
    """`connection`; times in seconds."""

    mode: ConnectionMode = key(ConnectionMode.WEBSOCKET, "Live by websocket, or poll.")
    reconnect_interval: float = key(
        2.0,
        "First wait before reconnecting (it doubles up to 60 s), and the interval of polling.",
        name="reconnectIntervalMs",
        scale=0.001,
        minimum=100,
        maximum=3_600_000,
    )
    audit_interval: float = key(
        300.0,
        "How often the server's newest post per channel is compared with what the socket brought.",
        name="auditSeconds",
        minimum=10,
        maximum=86_400,
    )


@frozen
class AccountSettings:
    """Everything that may differ from account to account. `base_url` is normalised, `bot_token` read, in `accounts`."""

    name: str = key("", "A name for people.")
    enabled: bool = key(True, "Whether the account runs.")
    bot_token: Secret = key(
        NO_SECRET, "The bot's access token: text, or `{ source = ... }`. Default account: also `MATTERMOST_BOT_TOKEN`."
    )
    bot_token_file: str = key("", "A file that holds the token, readable by its owner only.")
    base_url: str = key("", "The server, such as `https://chat.example.com`. Default account: also `MATTERMOST_URL`.")
    capabilities: tuple[str, ...] = key((), "`inlineButtons` tells the agent that it may offer buttons.")
    config_writes: bool = key(False, "Accepted for compatibility; oc-trio never writes its configuration.")
    history_limit: int = key(
        50,
        "Unaddressed posts kept as context; 0 means none. Default: `messages.groupChat.historyLimit`.",
        minimum=0,
        maximum=1000,
    )
    media_max_mb: float = key(
        8, "Largest attachment that is read, in MiB. Default: `agents.defaults.mediaMaxMb`.", above=0
    )
    gating: Gating = flat(Gating)
    access: Access = flat(Access)
    delivery: Delivery = flat(Delivery)
    streaming: Streaming = section(Streaming, "What people see while the answer grows.")
    network: Network = section(Network, "Which addresses the gateway may talk to.")
    commands: SlashCommands = section(SlashCommands, "Native slash commands.")
    interactions: Interactions = section(Interactions, "Buttons.")
    actions: Actions = section(Actions, "What the agent's message tool may do.")
    dm_channel_retry: DmChannelRetry = section(DmChannelRetry, "Retries when a direct channel can't be opened.")
    ack_reactions: AckReactions = section(AckReactions, "Reactions that show how far a message is.")
    catchup: Catchup = section(Catchup, "Posts made while the gateway was away.")
    connection: Connection = section(Connection, "How posts reach the gateway.")


@frozen
class MattermostSection(AccountSettings):
    """`channels.mattermost`: settings of the default account, and of the others where they don't say otherwise."""

    default_account: str = key("", "The account used where none is named; default `default`, else the first by name.")
    accounts: Mapping[str, AccountSettings] = table_of("Further accounts; what they leave out comes from this table.")
