"""The keys of one Mattermost account: of `channels.mattermost` and each `channels.mattermost.accounts.<id>`.

The flat groups (`gating`, `access`, `delivery`) each go to a component; in the file their keys are not nested.
"""

from collections.abc import Mapping
from enum import Enum

from oc_trio.classes import frozen
from oc_trio.config.access import AccessSettings, Gating
from oc_trio.config.delivery import DeliverySettings
from oc_trio.config.fields import flat, key, section, table_of
from oc_trio.config.secrets import NO_SECRET, Secret
from oc_trio.config.streaming import Streaming


class ConnectionMode(Enum):
    """How new posts reach the gateway."""

    WEBSOCKET = "websocket"
    POLL = "poll"


@frozen
class Network:
    """`network`."""

    dangerously_allow_private_network: bool = key(
        False, "Allow a `baseUrl` that resolves to loopback, private, CGNAT (Tailscale) or special addresses."
    )


@frozen
class SlashCommands:
    """`commands` of an account."""

    # `auto` is OpenClaw's default and registers nothing: registering needs a permission that few bots have.
    native: bool = key(False, "Register the `/oc_*` slash commands.", also={"auto": False})
    native_skills: bool = key(False, "Register `/oc_<skill>` for each skill too.", also={"auto": False})
    prefix: str = key(
        "oc_",
        "What their names begin with; give accounts that share a team one each.",
        pattern=r"[a-z0-9][a-z0-9_.-]{0,31}",
        expects="1 to 32 of a-z, 0-9, _ . and -, not beginning with _ . or -",
    )
    callback_path: str = key("/api/channels/mattermost/command", "Where the gateway receives them.")
    callback_url: str = key(
        "", "The URL by which Mattermost reaches that path; default `http://<gateway.customBindHost>:<gateway.port>`."
    )

    @property
    def path(self) -> str:
        """`callback_path` with a leading slash; the default where it is blank."""
        configured = self.callback_path.strip()
        return "/" + configured.lstrip("/") if configured else "/api/channels/mattermost/command"


@frozen
class InteractionSettings:
    """`interactions`."""

    callback_base_url: str = key(
        "", "Base URL of the gateway as Mattermost reaches it; the path for buttons is appended."
    )
    allowed_source_ips: tuple[str, ...] = key(
        (), "Addresses or CIDR ranges that may deliver clicks; empty means loopback only."
    )


@frozen
class ActionSettings:
    """`actions`: what the agent's message tool may do."""

    reactions: bool = key(True, "Add and remove reactions.")
    messages: bool = key(False, "Read other conversations that the destination rules allow.")
    # Otherwise a person could have the bot read or write in channels that they can't see.
    members_only: bool = key(
        True, "Only places that everybody who asked is a member of, and direct messages to who asked."
    )


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
class AckReactionSettings:
    """`ackReactions`: emoji, by name or as characters; empty means none."""

    seen: str = key(
        "", "An emoji, put on a message when it is taken up and removed when it is answered: `eyes`, or 👀."
    )
    done: str = key("", "Put on a message when it has been answered.")
    failed: str = key("", "Put on a message whose answer failed.")


@frozen
class CatchupSettings:
    """`catchup`: what happens to posts made while the gateway was away; times in seconds."""

    enabled: bool = key(True, "Answer posts that were made while the connection or the gateway was down.")
    max_age: float = key(24 * 3600.0, "Leave older ones alone.", name="maxAgeHours", scale=3600, above=0, maximum=720)
    # As many as one page of Mattermost has: a quiet channel costs one request.
    max_posts: int = key(200, "At most this many per channel; the channel is told when more were left out.", minimum=1)
    # Catch-up asks for posts by their time, and a post may become visible after a later one.
    overlap: float = key(
        300.0,
        "How far before the last post seen is read again, for mentions added meanwhile, clocks and late replicas.",
        name="overlapSeconds",
        minimum=0,
        maximum=3600,
    )
    concurrency: int = key(4, "Channels read at the same time.", minimum=1, maximum=32)
    # A replica may be some seconds behind the database that the websocket's events come from.
    second_pass: float = key(
        10.0,
        "A short second pass this long after going live, for servers with read replicas; 0 means none.",
        name="secondPassSeconds",
        minimum=0,
        maximum=600,
    )


@frozen
class ConnectionSettings:
    """`connection`; times in seconds."""

    mode: ConnectionMode = key(ConnectionMode.WEBSOCKET, "Live by websocket, or poll.")
    # OpenClaw's first wait.
    reconnect_interval: float = key(
        2.0,
        "First wait before reconnecting (it doubles up to 60 s), and the interval of polling.",
        name="reconnectIntervalMs",
        scale=0.001,
        minimum=100,
        maximum=3_600_000,
    )
    # An event may be lost without a gap in the sequence numbers, so the socket alone is not enough.
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

    name: str = key("", "A name for people; `/status` and the log show it.")
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
    access: AccessSettings = flat(AccessSettings)
    delivery: DeliverySettings = flat(DeliverySettings)
    streaming: Streaming = section(Streaming, "What people see while the answer grows.")
    network: Network = section(Network, "Which addresses the gateway may talk to.")
    commands: SlashCommands = section(SlashCommands, "Native slash commands.")
    interactions: InteractionSettings = section(InteractionSettings, "Buttons.")
    actions: ActionSettings = section(ActionSettings, "What the agent's message tool may do.")
    dm_channel_retry: DmChannelRetry = section(DmChannelRetry, "Retries when a direct channel can't be opened.")
    ack_reactions: AckReactionSettings = section(AckReactionSettings, "Reactions that show how far a message is.")
    catchup: CatchupSettings = section(CatchupSettings, "Posts made while the gateway was away.")
    connection: ConnectionSettings = section(ConnectionSettings, "How posts reach the gateway.")


@frozen
class MattermostSection(AccountSettings):
    """`channels.mattermost`: settings of the default account, and of the others where they don't say otherwise."""

    default_account: str = key("", "The account used where none is named; default `default`, else the first by name.")
    accounts: Mapping[str, AccountSettings] = table_of("Further accounts; what they leave out comes from this table.")
