"""Checks values that are each well formed for combinations that don't make sense, and for names that don't exist.

Every check adds to one `Findings`: its problems stop the start, its warnings don't.
"""

import ipaddress
import re
import zoneinfo
from collections.abc import Callable, Iterable, Mapping
from typing import Literal, assert_never
from urllib.parse import urlsplit

from oc_trio.config.accounts import ROOT, Account, AccountTable, normalize_account_id
from oc_trio.config.agents import ModelChoice, Provider
from oc_trio.config.builtin_providers import BUILT_IN, REFUSED, REFUSED_APIS
from oc_trio.config.conversation import BindingSettings, PeerKind
from oc_trio.config.cron_fields import cron_error, is_timezone
from oc_trio.config.findings import Findings
from oc_trio.config.gateway import Bind
from oc_trio.config.model import Config
from oc_trio.config.parse import join, nearest
from oc_trio.core.access import AllowBots, DmPolicy, GroupPolicy
from oc_trio.core.agent_names import is_explosive
from oc_trio.core.approvals import ALLOWED, ASKER
from oc_trio.core.model_apis import BUILT_IN_APIS, ModelApi, built_in_api
from oc_trio.core.netguard import NetPolicy, Zone, classify, classify_name, literal, refused_at_sight
from oc_trio.core.tool_names import visible_name
from oc_trio.ids import is_mattermost_id

_CHAT_NAME = re.compile(r"[a-z0-9._-]+", re.IGNORECASE)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# A second value of these would contradict the body that the gateway sends.
_OWN_HEADERS = frozenset({"content-length", "transfer-encoding"})


def check_account(account: Account, table: AccountTable, config: Config) -> Findings:
    """The findings within one enabled account."""
    findings = Findings()
    _check_people(account, table, config, findings)
    _check_channels(account, table, findings)
    _check_base_url(account, table, findings)
    retry = account.dm_channel_retry
    if retry.initial_delay > retry.max_delay:
        where = table.origin("dmChannelRetry.initialDelayMs")
        findings.error(where, "must not be above maxDelayMs", f"maxDelayMs is {retry.max_delay * 1000:g}")
    coalesce = account.streaming.block.coalesce
    if coalesce.max_chars is not None and coalesce.min_chars > coalesce.max_chars:
        findings.error(table.origin("streaming.block.coalesce.minChars"), "must not be above maxChars")
    _check_addresses(account.interactions.allowed_source_ips, table.origin("interactions.allowedSourceIps"), findings)
    for name, url in (
        ("commands.callbackUrl", account.commands.callback_url),
        ("interactions.callbackBaseUrl", account.interactions.callback_base_url),
    ):
        if url and not _is_url(url):
            findings.error(table.origin(name), "must begin with http:// or https:// and name a host")
    # People copy `commands.callbackUrl`, and every click would then be taken for a slash command.
    if account.interactions.callback_base_url.rstrip("/").endswith("/command"):
        where = table.origin("interactions.callbackBaseUrl")
        findings.warning(
            where, "looks like the slash command URL", "write only scheme, host and port; the path is appended"
        )
    _check_listener(account, table, config, findings)
    return findings


def _check_listener(account: Account, table: AccountTable, config: Config, findings: Findings) -> None:
    """Whether the gateway listens only on loopback at a port at which Mattermost is to call it from elsewhere."""
    if not _is_loopback(config.gateway.bind_host):
        return
    urls = {
        "commands.callbackUrl": account.commands.callback_url if account.commands.native else "",
        "interactions.callbackBaseUrl": account.interactions.callback_base_url,
    }
    for name, url in urls.items():
        if not _is_url(url):
            continue
        parts = urlsplit(url.strip())
        if parts.hostname and parts.port == config.gateway.port and not _is_loopback(parts.hostname):
            # "lan" is 0.0.0.0, which takes no calls to an IPv6 address.
            bind = 'bind = "custom" and gateway.customBindHost = "::"' if ":" in parts.hostname else 'bind = "lan"'
            findings.warning(
                table.origin(name),
                f"is this gateway's own port, {parts.port}, but it listens on 127.0.0.1 only",
                f"set gateway.{bind}, unless a proxy on this machine passes {parts.netloc} on",
            )


def _is_loopback(host: str) -> bool:
    try:
        address = literal(host)
    except ValueError:
        return False
    return (classify(address) if address is not None else classify_name(host)) is Zone.LOOPBACK


def _check_base_url(account: Account, table: AccountTable, findings: Findings) -> None:
    """Refuses names and addresses that are private whatever they resolve to. Others are resolved when the account
    connects (`mattermost/address_guard.py`), as a check of a file must not depend on DNS.
    """
    try:
        host = urlsplit(account.base_url).hostname
    except ValueError:
        return
    policy = NetPolicy(allow_private=account.network.dangerously_allow_private_network)
    if host and (refused := refused_at_sight(host, policy)):
        findings.error(table.origin("baseUrl"), refused.reason)


def _check_people(account: Account, table: AccountTable, config: Config, findings: Findings) -> None:
    access = account.access
    # OpenClaw's rule: to let everybody in, the operator says it twice.
    if access.dm_policy is DmPolicy.OPEN and "*" not in access.allow_from:
        where = table.origin("dmPolicy")
        findings.error(where, '"open" needs "*" in allowFrom', 'add allowFrom = ["*"], or use "pairing" or "allowlist"')
    if access.dm_policy is DmPolicy.ALLOWLIST and not access.allow_from:
        findings.warning(
            table.origin("dmPolicy"), '"allowlist" with an empty allowFrom admits nobody', "list user ids in allowFrom"
        )
    if access.group_policy is GroupPolicy.ALLOWLIST and not (access.group_allow_from or access.allow_from):
        # Not an error: people are admitted later by changing the list and reloading.
        findings.warning(
            table.origin("groupAllowFrom"),
            "is empty, so nobody may talk to the bot in channels",
            'list user ids, or "*", or set groupPolicy = "open"',
        )
    if access.allow_bots is AllowBots.LIST and not access.bot_allow_from:
        findings.error(table.origin("allowBots"), '"list" needs botAllowFrom', "list the bots' user ids there")
    for name, entries in (("allowFrom", access.allow_from), ("groupAllowFrom", access.group_allow_from)):
        for index, entry in enumerate(entries):
            _check_person(
                entry, join(table.origin(name), index), access.dangerously_allow_name_matching, config, findings
            )


def _check_person(entry: str, path: str, by_name: bool, config: Config, findings: Findings) -> None:
    text = entry.strip()
    if not text:
        findings.error(path, "is blank")
    elif text.startswith("accessGroup:"):
        group = text.removeprefix("accessGroup:")
        if group not in config.access_groups:
            findings.unknown_name(path, "access group", group, config.access_groups)
    # With name matching an entry may be a username, which no check of the file can judge.
    elif text != "*" and not by_name and not is_mattermost_id(_entry_id(text)):
        _check_id(text, path, "user", findings)


def _check_id(entry: str, path: str, kind: Literal["user", "channel", "team"], findings: Findings) -> None:
    """Whether this can be an id of that kind; placeholders and names are what people leave there instead."""
    if is_mattermost_id(_entry_id(entry)):
        return
    name = entry.strip().lstrip("@#~")
    name = name if _CHAT_NAME.fullmatch(name) else "NAME"
    match kind:
        case "user" | "channel":
            hint = f'oc-trio channels resolve "{"@" if kind == "user" else "#"}{name}" prints the id'
        case "team":
            hint = f"the server's /api/v4/teams/name/{name} has the id"
    findings.warning(path, f"is not a Mattermost {kind} id (26 letters and digits), so it matches nothing", hint)


def _check_channels(account: Account, table: AccountTable, findings: Findings) -> None:
    """Names where ids of channels and teams are needed."""
    for index, entry in enumerate(account.access.only_channels):
        _check_id(entry, join(table.origin("onlyChannels"), index), "channel", findings)
    for index, entry in enumerate(account.access.only_teams):
        _check_id(entry, join(table.origin("onlyTeams"), index), "team", findings)
    for entry in account.gating.groups:
        if entry != "*":
            _check_id(entry, join(table.origin("groups"), entry), "channel", findings)


def _check_approvers(config: Config, findings: Findings) -> None:
    rules = [("agents.defaults.tools", config.agents.defaults.tools)]
    for name, entry in config.agents.entries.items():
        if entry.tools is not None:
            rules.append((join("agents.entries", name) + ".tools", entry.tools))
    # One list serves all accounts: a name counts in those that match names.
    mattermost = config.channels.mattermost
    by_name = any(
        account.access.dangerously_allow_name_matching for account in (mattermost, *mattermost.accounts.values())
    )
    for path, rule in rules:
        where = f"{path}.approvers"
        if not rule.approvers:
            findings.error(where, "is empty, so nobody could approve", 'write "allowed", "asker" or a list of user ids')
        for index, person in enumerate(rule.approvers):
            if person not in (ALLOWED, ASKER):
                _check_person(person, join(where, index), by_name, config, findings)


def _entry_id(entry: str) -> str:
    return re.sub(r"^(mattermost:|user:)", "", entry, flags=re.IGNORECASE).lstrip("@").strip().lower()


def check_config(config: Config, installed_apis: Callable[[], Iterable[str]]) -> Findings:
    """The findings outside of single accounts. `installed_apis` gives the names of the agents that other packages
    install; it is called only if a provider names one, as it reads the metadata of every installed package.
    """
    findings = Findings()
    # Without entries there is one agent, and this is its name.
    agents = set(config.agents.entries) or {"main"}
    accounts = {normalize_account_id(name) for name in config.channels.mattermost.accounts} | {"default"}
    _check_gateway(config, findings)
    _check_pins(config, accounts, findings)
    _check_models(config, findings, installed_apis)
    if config.agents.defaults.timezone:
        _check_timezone(config.agents.defaults.timezone, "agents.defaults.timezone", findings)
    _check_bindings(config.bindings, agents, accounts, findings)
    _check_approvers(config, findings)
    _check_patterns(config.messages.group_chat.mention_patterns, "messages.groupChat.mentionPatterns", findings)
    for name, entry in config.agents.entries.items():
        _check_patterns(
            entry.group_chat.mention_patterns, join("agents.entries", name) + ".groupChat.mentionPatterns", findings
        )
    marked = [name for name, entry in config.agents.entries.items() if entry.default]
    if len(marked) > 1:
        findings.error("agents.entries", "only one agent can be the default", f"marked: {', '.join(marked)}")
    default_account = config.channels.mattermost.default_account
    if default_account and normalize_account_id(default_account) not in accounts:
        findings.unknown_name(f"{ROOT}.defaultAccount", "account", default_account, accounts)
    _check_services(config, agents, accounts, findings)
    return findings


def _check_pins(config: Config, accounts: Iterable[str], findings: Findings) -> None:
    """The accounts that this process may serve."""
    pinned = config.gateway.accounts
    for at, name in enumerate(pinned):
        if normalize_account_id(name) not in accounts:
            findings.unknown_name(f"gateway.accounts[{at}]", "account", name, accounts)
    if pinned and not config.store.url and config.store.url.ref is None:
        findings.warning(
            "gateway.accounts",
            "leaves the other accounts without a process",
            "several processes need one PostgreSQL database: see store.url",
        )


def _check_gateway(config: Config, findings: Findings) -> None:
    gateway = config.gateway
    _check_addresses(gateway.trusted_proxies, "gateway.trustedProxies", findings)
    if gateway.bind is Bind.CUSTOM and not gateway.custom_bind_host:
        findings.error("gateway.bind", '"custom" needs customBindHost', "name the address to listen on")
    if bool(gateway.tls.cert_file) != bool(gateway.tls.key_file):
        findings.error("gateway.tls", "needs both certFile and keyFile")
    if gateway.admin.port and gateway.admin.port == gateway.port:
        findings.error("gateway.admin.port", "must differ from gateway.port")
    # systemd kills a service that takes longer to stop than its unit allows (`TimeoutStopSec=`, 90 s unless set).
    if gateway.drain > 600:
        findings.warning("gateway.drainSeconds", "keeps a stop waiting for more than ten minutes")
    url = config.store.url.reveal()
    if url and urlsplit(url).scheme not in {"postgresql", "postgres"}:
        findings.error("store.url", "must begin with postgresql://", "leave it out for SQLite in the state directory")


def _check_addresses(entries: Iterable[str], path: str, findings: Findings) -> None:
    for index, entry in enumerate(entries):
        try:
            ipaddress.ip_network(entry.strip(), strict=False)
        except ValueError:
            findings.error(join(path, index), "must be an IP address or a range such as 10.0.0.0/8")


def _check_patterns(patterns: Iterable[str] | None, path: str, findings: Findings) -> None:
    for index, pattern in enumerate(patterns or ()):
        try:
            re.compile(pattern)
        # A pattern of thousands of brackets, or of a huge repeat count, makes `re` raise the last two.
        except (re.error, RecursionError, OverflowError) as error:
            findings.error(join(path, index), f"is not a regular expression: {error}")
        else:
            # `re` has no time limit: such a pattern could stop the event loop on a message of one person.
            if is_explosive(pattern):
                findings.error(
                    join(path, index), "repeats a repeat, which some texts make endless", "write (a+)+ as a+, for one"
                )


def _check_models(config: Config, findings: Findings, installed_apis: Callable[[], Iterable[str]]) -> None:
    providers = config.models.providers
    for name, provider in providers.items():
        _check_provider(provider, join("models.providers", name), findings, installed_apis)
    _check_choice(config.agents.defaults.model, "agents.defaults.model", providers, findings)
    for name, entry in config.agents.entries.items():
        if entry.model is not None:
            _check_choice(entry.model, join("agents.entries", name) + ".model", providers, findings)


def _check_provider(
    provider: Provider, path: str, findings: Findings, installed_apis: Callable[[], Iterable[str]]
) -> None:
    if provider.api in REFUSED_APIS:
        reason, hint = REFUSED_APIS[provider.api]
        findings.error(f"{path}.api", f"{provider.api} {reason}", hint)
    elif provider.api not in BUILT_IN_APIS:
        installed = set(installed_apis())
        if provider.api not in installed:
            findings.unknown_name(f"{path}.api", "model API", provider.api, {*BUILT_IN_APIS, *installed})
    if provider.base_url and not _is_url(provider.base_url):
        findings.error(f"{path}.baseUrl", "must begin with http:// or https:// and name a host")
    match built_in_api(provider.api):
        case ModelApi.OPENAI:
            if not provider.base_url:
                findings.error(f"{path}.baseUrl", "is missing", 'such as "https://api.openai.com/v1"')
        case ModelApi.COMMAND:
            if not provider.command:
                findings.error(f"{path}.command", "is missing", 'such as ["my-agent", "--json"]')
        case ModelApi.ANTHROPIC | ModelApi.SCRIPTED | None:
            pass  # Anthropic has one address, and an installed agent checks its own settings
        case never:
            assert_never(never)
    _check_headers(provider.headers, f"{path}.headers", findings)
    for index, model in enumerate(provider.models):
        if not model.id:
            findings.error(join(f"{path}.models", index), "needs an id")


def _check_headers(headers: Iterable[str], path: str, findings: Findings) -> None:
    """Checks the names of headers; their values were checked when they were read as secrets."""
    for name in headers:
        if not _HEADER_NAME.fullmatch(name):
            findings.error(
                join(path, name), "is not the name of an HTTP header", 'letters, digits and -, such as "api-key"'
            )
        elif name.lower() in _OWN_HEADERS:
            findings.error(join(path, name), "is set by the gateway itself", "remove it")


def _check_choice(choice: ModelChoice, path: str, providers: Mapping[str, Provider], findings: Findings) -> None:
    references = [(f"{path}.primary", choice.primary)] if choice.primary else []
    references += [(join(f"{path}.fallbacks", index), model) for index, model in enumerate(choice.fallbacks)]
    for key, model in references:
        provider, slash, rest = model.partition("/")
        if not slash or not rest:
            findings.error(key, "must be written provider/model")
        elif provider not in providers and provider in REFUSED:
            reason, hint = REFUSED[provider]
            findings.error(key, f"{provider} {reason}", hint)
        elif provider not in providers:
            otherwise = f"name its baseUrl in models.providers.{provider}"
            findings.unknown_name(key, "model provider", provider, {*providers, *BUILT_IN}, otherwise)
        else:
            model_ids = [entry.id for entry in providers[provider].models]
            # A provider without a list takes any model.
            if model_ids and rest not in model_ids:
                findings.unknown_name(key, f"model of {provider}", rest, model_ids)


def _check_bindings(
    bindings: tuple[BindingSettings, ...], agents: set[str], accounts: set[str], findings: Findings
) -> None:
    first_index: dict[object, int] = {}
    for index, binding in enumerate(bindings):
        path = join("bindings", index)
        if binding.agent_id not in agents:
            findings.unknown_name(f"{path}.agentId", "agent", binding.agent_id, agents)
        # OpenClaw's file may hold bindings of its other channels.
        if binding.match.channel != "mattermost":
            findings.warning(f"{path}.match.channel", "is not mattermost, so this binding never applies")
        account = binding.match.account_id
        if account not in {None, "*"} and normalize_account_id(account or "") not in accounts:
            findings.unknown_name(f"{path}.match.accountId", "account", account or "", accounts)
        if (peer := binding.match.peer) is not None and peer.id != "*":
            kind: Literal["user", "channel"] = "user" if peer.kind is PeerKind.DIRECT else "channel"
            _check_id(peer.id, f"{path}.match.peer.id", kind, findings)
        if binding.match.team_id:
            _check_id(binding.match.team_id, f"{path}.match.teamId", "team", findings)
        # Which of two equal bindings wins would depend on their order alone.
        first = first_index.setdefault(binding.match, index)
        if first != index:
            findings.error(f"{path}.match", f"matches the same as bindings[{first}]", "remove one of them")


def _check_timezone(name: str, path: str, findings: Findings) -> None:
    if not is_timezone(name):
        guess = nearest(name, zoneinfo.available_timezones())
        findings.error(
            path, "is not a known time zone", f'did you mean "{guess}"?' if guess else 'such as "Europe/Berlin"'
        )


def _check_server_names(config: Config, findings: Findings) -> None:
    """Of two servers with the same name for models, one would lose its tools, and its `approve` with them."""
    names: dict[str, str] = {}
    for name, server in config.mcp.servers.items():
        visible = visible_name(name)
        if server.enabled and names.setdefault(visible, name) != name:
            findings.error(
                join("mcp.servers", name), f"is {visible} for models, and so is {names[visible]}", "rename one of them"
            )


def _check_services(config: Config, agents: set[str], accounts: set[str], findings: Findings) -> None:
    token = config.hooks.token
    # Commands that need no secret leave it unread: a reference is as good as a value then.
    if config.hooks.enabled and not (token or token.ref or config.hooks.token_file):
        findings.error("hooks.token", "is missing", "hooks are enabled: callers must send a token")
    _check_server_names(config, findings)
    for name, server in config.mcp.servers.items():
        if bool(server.command) == bool(server.url):
            findings.error(join("mcp.servers", name), "needs either command or url", "and not both")
        _check_headers(server.headers, join("mcp.servers", name) + ".headers", findings)
    for name, job in config.cron.jobs.items():
        path = join("cron.jobs", name)
        mistake = cron_error(job.expression)
        if mistake:
            findings.error(f"{path}.expression", mistake, 'such as "0 9 * * mon-fri"')
        _check_timezone(job.timezone, f"{path}.timezone", findings)
        if not job.target:
            findings.error(f"{path}.target", "is missing", 'such as "channel:<id>" or "#town-square"')
        if bool(job.message) == bool(job.prompt):
            findings.error(path, "needs either message or prompt", "and not both")
        if job.agent and job.agent not in agents:
            findings.unknown_name(f"{path}.agent", "agent", job.agent, agents)
        if job.account and normalize_account_id(job.account) not in accounts:
            findings.unknown_name(f"{path}.account", "account", job.account, accounts)


def _is_url(url: str) -> bool:
    try:
        parts = urlsplit(url.strip())
        _ = parts.port  # raises where it is no number
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)
