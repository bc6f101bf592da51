"""The keys of the process: where it listens, how it stops, where it keeps its state, what it logs."""

from enum import Enum

from oc_trio.classes import frozen
from oc_trio.config.fields import key, section
from oc_trio.config.secrets import NO_SECRET, Secret


class Bind(Enum):
    """Which addresses the callback server listens on."""

    AUTO = "auto"
    LOOPBACK = "loopback"
    LAN = "lan"
    CUSTOM = "custom"


class LogLevel(Enum):
    """Least serious line that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(Enum):
    """How log lines look."""

    AUTO = "auto"
    TEXT = "text"
    JSON = "json"


@frozen
class Tls:
    """`gateway.tls`; both or neither."""

    cert_file: str = key("", "Certificate chain, PEM.")
    key_file: str = key("", "Private key, PEM, readable by its owner only.")


@frozen
class Admin:
    """`gateway.admin`: the way in for `oc-trio status` and its like."""

    socket: str = key("", "Unix socket; default `admin.sock` in the state directory.")
    # Off: any user of the machine reaches a port, while the socket has a mode.
    port: int = key(
        0, "Also listen on this loopback port (status page, metrics); 0 means no.", minimum=0, maximum=65_535
    )
    show_text: bool = key(
        True, "Show operators who have logged in to the status page the text of answers while they are written."
    )


@frozen
class GatewaySettings:
    """`gateway`; `drain` in seconds."""

    # OpenClaw's port, so that callback URLs and proxies of an earlier installation go on working.
    port: int = key(18789, "Port for slash commands, buttons and hooks.", minimum=0, maximum=65_535)
    bind: Bind = key(
        Bind.AUTO,
        "`loopback`, every address (`lan`), or `customBindHost` (`custom`); `auto` is `customBindHost` if set, "
        "else loopback.",
    )
    custom_bind_host: str = key("", "Address to listen on, and host in derived callback URLs.")
    trusted_proxies: tuple[str, ...] = key((), "Addresses or CIDR ranges whose `X-Forwarded-For` is believed.")
    allow_real_ip_fallback: bool = key(False, "Believe `X-Real-IP` of those proxies where `X-Forwarded-For` is absent.")
    # Below the 90 s that systemd allows a service to stop.
    drain: float = key(
        30.0,
        "How long running turns may go on after a stop was asked for.",
        name="drainSeconds",
        minimum=0,
        maximum=3600,
    )
    accounts: tuple[str, ...] = key(
        (),
        "Accounts that this process may serve, where several share a PostgreSQL database; empty means all. The others "
        "are left to processes that may.",
    )
    tls: Tls = section(Tls, "Serve HTTPS directly, without a proxy.")
    admin: Admin = section(Admin, "Administration.")

    @property
    def bind_host(self) -> str:
        """The address to listen on."""
        if self.bind is Bind.LAN:
            return "0.0.0.0"  # noqa: S104 (the operator asked for it)
        if self.bind is Bind.LOOPBACK or not self.custom_bind_host:
            return "127.0.0.1"
        return self.custom_bind_host


@frozen
class StoreSettings:
    """`store`; times in seconds."""

    url: Secret = key(
        NO_SECRET, "`postgresql://...`, or `{ source = ... }`; unset means SQLite in the state directory."
    )
    retention: float = key(
        30 * 86_400.0, "How long finished rows are kept.", name="retentionDays", scale=86_400, minimum=1, maximum=3650
    )
    transcript_retention: float = key(
        90 * 86_400.0,
        "How long the transcripts of quiet conversations are kept.",
        name="transcriptRetentionDays",
        scale=86_400,
        minimum=1,
        maximum=3650,
    )


@frozen
class Logging:
    """`logging`."""

    level: LogLevel = key(LogLevel.INFO, "Least serious line that is written.", also={"warn": LogLevel.WARNING})
    format: LogFormat = key(LogFormat.AUTO, "`auto` is text on a terminal, JSON elsewhere.")
    child_stderr: bool = key(
        False, "Also what programs and MCP servers print on standard error while they work: it may quote messages."
    )


@frozen
class MetricsSettings:
    """`metrics`."""

    enabled: bool = key(True, "Serve Prometheus metrics on the administration listener.")
    # Where Prometheus looks unless it is told otherwise.
    path: str = key("/metrics", "Where.")
