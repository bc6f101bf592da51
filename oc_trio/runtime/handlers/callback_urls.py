"""Derives the paths and URLs at which Mattermost calls the gateway from the configuration."""

from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from oc_trio.callbacks.endpoints import CLICK_PREFIX
from oc_trio.classes import frozen
from oc_trio.config.accounts import Account
from oc_trio.config.gateway import GatewaySettings
from oc_trio.config.model import Config
from oc_trio.core.netguard import Zone, classify, classify_name, literal
from oc_trio.core.slash import CommandSpec, wanted_commands
from oc_trio.ids import AccountId
from oc_trio.telemetry.log import get_logger

log = get_logger(part="callback_urls")

_WILDCARDS = frozenset({"0.0.0.0", "::", "0:0:0:0:0:0:0:0", "::0"})  # noqa: S104 - addresses nobody can call


@frozen
class CallbackPlan:
    """One account's part of the public port: its paths, and the URLs that Mattermost is given."""

    account: AccountId
    command_paths: tuple[str, ...]
    command_url: str
    click_url: str
    native: bool
    specs: tuple[CommandSpec, ...]

    @property
    def click_path(self) -> str:
        return f"{CLICK_PREFIX}{self.account}"


def plan_callbacks(
    config: Config, account: Account, *, port: int = 0, skills: Iterable[tuple[str, str]] = ()
) -> CallbackPlan:
    """The plan for an account; `port` is the bound one where 0 is configured, `skills` are (name, description)."""
    gateway = config.gateway
    base = f"{'https' if gateway.tls.cert_file else 'http'}://{_host(gateway)}:{gateway.port or port}"
    commands = account.commands
    url = commands.callback_url or f"{base}{commands.callback_path}"
    clicks = (account.interactions.callback_base_url or base).strip().rstrip("/")
    return CallbackPlan(
        account=account.id,
        command_paths=command_paths(account),
        command_url=url,
        click_url=f"{clicks}{CLICK_PREFIX}{account.id}",
        native=commands.native,
        specs=wanted_commands(skills if commands.native_skills else (), commands.prefix),
    )


def is_called_back(config: Config, accounts: Mapping[AccountId, Account]) -> bool:
    """Whether the configuration has anything that is called over HTTP; if not, no port is opened."""
    return config.hooks.enabled or any(map(wants_buttons, accounts.values()))


def wants_buttons(account: Account) -> bool:
    """Whether the configuration asks for buttons: by itself, or for the picker of models."""
    return (
        account.commands.native
        or "inlineButtons" in account.capabilities
        or bool(account.interactions.callback_base_url)
    )


def warn_unreachable(plan: CallbackPlan, account: Account) -> None:
    """Log the documented warnings where another machine's Mattermost is given a loopback URL, or clicks are refused."""
    if _is_local(account.base_url):
        return
    path = f"channels.mattermost{'' if account.id == 'default' else f'.accounts.{account.id}'}"
    if plan.native and _is_local(plan.command_url):
        log.warning(
            f"mattermost: slash commands callbackUrl resolved to {plan.command_url} (loopback) while baseUrl is "
            f"{account.base_url}. This MAY be unreachable depending on your deployment. If native slash commands don't "
            f"work, set {path}.commands.callbackUrl to a URL reachable from the Mattermost server."
        )
    if _is_local(plan.click_url):
        log.warning(
            f"mattermost: interactions callbackUrl resolved to {plan.click_url} (loopback) while baseUrl is "
            f"{account.base_url}. This MAY be unreachable depending on your deployment. If button clicks don't work, "
            f"set {path}.interactions.callbackBaseUrl to a URL reachable from the Mattermost server (e.g. your public "
            "reverse proxy URL)."
        )
    elif not account.interactions.allowed_source_ips:
        log.warning(
            f"mattermost: interactions callbackUrl is {plan.click_url}, but {path}.interactions.allowedSourceIps is "
            "empty: clicks are accepted from this machine only. List the Mattermost server's address there, or that of "
            "the proxy that its requests come through."
        )


def command_paths(account: Account) -> tuple[str, ...]:
    """The configured path, and that of `callbackUrl`: a proxy may change the path or not."""
    commands = account.commands
    url_path = urlsplit(commands.callback_url).path
    return tuple(dict.fromkeys(path for path in (commands.callback_path, url_path) if path))


def _host(gateway: GatewaySettings) -> str:
    host = gateway.custom_bind_host.strip().strip("[]")
    # The best guess; `warn_unreachable` says where it can't be right.
    if not host or host in _WILDCARDS:
        return "localhost"
    return f"[{host}]" if ":" in host else host


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        address = literal(host)
    except ValueError:
        return False
    return (classify(address) if address is not None else classify_name(host)) is Zone.LOOPBACK
