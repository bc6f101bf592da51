"""`oc-trio doctor` on the way back: does Mattermost reach the gateway with slash commands and clicks?

It is tried for each account (`runtime.account.round_trips`): by the running gateway, which is asked over its admin
socket, else by this process on the configured port. What did not arrive is explained by Mattermost's refusal, by what
the URL is, and by what the URL answers to this machine.
"""

import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import trio

from oc_trio.callbacks.refusals import SAME_MACHINE
from oc_trio.classes import frozen
from oc_trio.config.accounts import Account
from oc_trio.config.load import Loaded
from oc_trio.core.describe_error import describe_error
from oc_trio.core.exception_groups import first_leaf
from oc_trio.core.netguard import Address, Zone, classify
from oc_trio.core.sourceip import parse_address
from oc_trio.errors import CallbackListenFailed
from oc_trio.ids import AccountId
from oc_trio.runtime.account.dependencies import Dependencies
from oc_trio.runtime.account.round_trips import RoundTrip, RoundTripOutcome, run_round_trips
from oc_trio.runtime.clock import Clock
from oc_trio.runtime.handlers.callback_urls import wants_buttons
from oc_trio.runtime.handlers.public_port import PublicPort
from oc_trio.runtime.operator.checks.way_in import Progress
from oc_trio.runtime.operator.findings import Finding, Level
from oc_trio.runtime.operator.running_gateway import GatewaySilent, ask_gateway
from oc_trio.runtime.process.locations import admin_socket
from oc_trio.telemetry.metrics import Metrics

# For what this machine can see by itself, with the cause of a failed trip known by then.
_LOOK_SECONDS = 5.0
_TIMEOUT_SECONDS = 25.0  # Mattermost gives up after 30: by then it was no refusal but silence
_NAMES = {"command": ("slash", "slash commands"), "button": ("button", "buttons")}
_UNTRUSTED = "ServiceSettings.AllowedUntrustedInternalConnections"
_DEVELOPER = "System Console > Environment > Developer"
_FORBIDDEN = "which by default forbids it"
_NOTHING = "nothing"


async def check_way_back(
    loaded: Loaded, dependencies: Dependencies, progress: Progress = lambda _: None
) -> AsyncIterator[Finding]:
    """The findings about slash commands and buttons of all accounts; `progress` gets a line, since it may take long."""
    port = await trio.to_thread.run_sync(PublicPort.of, loaded, Clock())
    if not port.is_wanted:
        yield Finding(Level.OK, "callbacks", "no slash commands, buttons or hooks are configured", "callback.unused")
        return
    progress("callbacks: waiting for Mattermost to call back, 30 s for each that it can't reach")
    try:
        trips, looks = await _trips(port, loaded, dependencies)
    except GatewaySilent as problem:
        for account in loaded.accounts.values():
            for finding in _not_asked(account, port, str(problem)):
                yield finding
    except CallbackListenFailed as problem:
        is_tls = "gateway.tls" in str(problem)
        fix = "correct gateway.tls.certFile and gateway.tls.keyFile" if is_tls else _listen_fix(loaded)
        yield Finding(Level.FAILED, "callbacks", str(problem), "callback.listen", fix)
    else:
        for trip in trips:
            for finding in await judge(trip, loaded.accounts.get(trip.account), loaded, looks.get(trip.url, "")):
                yield finding


async def _trips(
    port: PublicPort, loaded: Loaded, dependencies: Dependencies
) -> tuple[tuple[RoundTrip, ...], Mapping[str, str]]:
    """The round trips, and what their URLs answer here. Raises GatewaySilent, CallbackListenFailed."""
    asked = await _asked_of_gateway(admin_socket(loaded), len(loaded.accounts))
    if asked is not None:
        return asked, await _looks(asked, dependencies.ssl_context)
    failure: CallbackListenFailed | None = None
    try:
        return await _made_here(port, loaded, dependencies)
    except* CallbackListenFailed as group:
        failure = first_leaf(group)
    assert failure is not None, "the group was not empty"
    raise failure


async def _asked_of_gateway(socket: Path, accounts: int) -> tuple[RoundTrip, ...] | None:
    """The running gateway's round trips; None where none is running. Raises GatewaySilent."""
    # Each account has two trips with their removal: `TRIP_SECONDS` and `REMOVE_SECONDS` of
    # `runtime.account.round_trips`.
    answer = await ask_gateway(socket, "POST", "/round-trips.json", seconds=30.0 + 100.0 * max(accounts, 1))
    if answer is None:
        return None
    try:
        return tuple(RoundTrip.from_json(row) for row in answer["trips"])
    except (ValueError, TypeError, KeyError):
        raise GatewaySilent("the running gateway is of another release: restart it") from None


async def _made_here(
    port: PublicPort, loaded: Loaded, dependencies: Dependencies
) -> tuple[tuple[RoundTrip, ...], Mapping[str, str]]:
    """The round trips, and what the URLs answer; the port is served meanwhile. Raises CallbackListenFailed in a group.

    No account is on the port, so that any other request is answered with 503 until a gateway runs.
    """
    async with trio.open_nursery() as nursery:
        url: str = await nursery.start(port.serve, Metrics())
        port.opened(url)
        trips = await run_round_trips(port, loaded.accounts.values(), dependencies)
        looks = await _looks(trips, dependencies.ssl_context)
        port.shutdown.set()
    return trips, looks


async def _looks(trips: Sequence[RoundTrip], context: ssl.SSLContext | None) -> dict[str, str]:
    """What the URLs of failed trips answer to a GET of this machine, in words."""
    urls = dict.fromkeys(trip.url for trip in trips if trip.outcome is not RoundTripOutcome.ARRIVED)
    looks: dict[str, str] = {}
    verify = context if context is not None else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Without this machine's proxies: Mattermost uses none of them to get there.
    async with httpx.AsyncClient(verify=verify, timeout=None, trust_env=False) as http:  # noqa: S113 - Trio's
        for url in urls:
            try:
                with trio.fail_after(_LOOK_SECONDS):
                    response = await http.get(url)
                status = response.status_code
                # The gateway's endpoints take POST alone; so that answer is most likely its own.
                looks[url] = "405, as it should" if status == 405 else f"{status}, where 405 was expected"
            except (httpx.HTTPError, httpx.InvalidURL) as problem:
                looks[url] = f"{_NOTHING} ({describe_error(problem)})"
            except trio.TooSlowError:
                looks[url] = f"{_NOTHING} within {_LOOK_SECONDS:g} s"
    return looks


def _listen_fix(loaded: Loaded) -> str:
    gateway = loaded.config.gateway
    return (
        f"stop what uses {gateway.bind_host}:{gateway.port} (`ss -ltnp 'sport = :{gateway.port}'` names it), or set "
        "gateway.port and gateway.bind"
    )


def _not_asked(account: Account, port: PublicPort, why: str) -> list[Finding]:
    plan = port.plan(account)
    urls = [("command", plan.command_url)] if plan.native else []
    urls.append(("button", plan.click_url))
    return [
        Finding(Level.UNVERIFIED, _subject(kind, account.id), why, f"{_NAMES[kind][0]}.not_verified", by_hand(url))
        for kind, url in urls
    ]


def _subject(kind: str, account: AccountId) -> str:
    return f"{_NAMES[kind][1]} of {account}"


def by_hand(url: str) -> str:
    """How an operator finds out whether Mattermost's machine reaches `url`, and what to set where it does not call."""
    host = urlsplit(url).hostname or url
    return (
        f"Mattermost must reach {url}: on its host, `curl -i {url}` has to answer 405. If it does and commands or "
        f'clicks still fail, add "{host}" to {_UNTRUSTED} ({_DEVELOPER})'
    )


async def judge(trip: RoundTrip, account: Account | None, loaded: Loaded, look: str) -> list[Finding]:
    """The findings about one round trip; `look` is what its URL answered to this machine, if that was asked."""
    prefix = _NAMES[trip.kind][0]
    subject = _subject(trip.kind, trip.account)
    here = f" (to this machine it answers {look})" if look else ""
    left = []
    if trip.left_behind:
        text = f"could not remove what the check had made: {trip.left_behind}"
        fix = "oc-trio commands prune" if trip.kind == "command" else "delete that post in the bot's direct channel"
        left.append(Finding(Level.WARNING, subject, text, "callback.left_behind", fix))
    if trip.outcome is RoundTripOutcome.ARRIVED:
        text = f"arrive from {_origin(trip)} with a valid {'token' if trip.kind == 'command' else 'signature'}"
        # The way is open, and yet no agent knows that it may offer buttons.
        is_unused = trip.kind == "button" and account is not None and "inlineButtons" not in account.capabilities
        unused = '; agents offer none: capabilities = ["inlineButtons"] would let them' if is_unused else ""
        return [Finding(Level.OK, subject, f"{text}, at {trip.url}{unused}", f"{prefix}.arrives"), *left]
    if trip.outcome is RoundTripOutcome.SOURCE_REFUSED:
        return [_source_refused(trip, subject, loaded), *left]
    if trip.outcome is RoundTripOutcome.NOT_GENUINE:
        text = f"arrive from {_origin(trip)} and are not what the bot made (another token or signature)"
        fix = "let the proxy pass bodies and headers on unchanged"
        return [Finding(Level.FAILED, subject, text, f"{prefix}.not_genuine", fix), *left]
    if trip.outcome is RoundTripOutcome.NOT_TRIED and trip.status == 401:
        # The account's own finding says what to do; until then nothing is to be said about the URL.
        text = f"Mattermost refuses the token ({trip.problem})"
        fix = "see the account's own finding"
        return [Finding(Level.UNVERIFIED, subject, text, f"{prefix}.not_verified", fix), *left]
    named = await url_findings(trip.url, account, subject) if account is not None else []
    if trip.outcome is RoundTripOutcome.NOT_TRIED:
        text, fix = _not_tried(trip)
        found = Finding(Level.UNVERIFIED, subject, text, f"{prefix}.not_verified", f"{fix}. {by_hand(trip.url)}")
        return [*named, found, *left]
    level = Level.FAILED if account is None or trip.kind == "command" or wants_buttons(account) else Level.WARNING
    strays = f". Meanwhile the gateway was called at {', '.join(trip.strays)}, where nothing is" if trip.strays else ""
    # Of a click Mattermost does not say whether nobody answered, or somebody with another status than 200. What this
    # machine sees tells, unless the URL means another machine to Mattermost.
    is_same_place = not any(one.code == "callback.loopback" and _FORBIDDEN not in one.fix for one in named)
    is_answered = trip.kind == "button" and is_same_place and look[:3].isdigit() and not look.startswith("405")
    if trip.outcome is RoundTripOutcome.ANSWERED_ELSEWHERE or trip.strays or is_answered:
        # It could call that address, so only whose it is can be wrong.
        named = [one for one in named if one.code == "callback.mattermost"]
        words = f": {trip.problem}" if trip.problem else ""
        text = f"Mattermost called {trip.url} and something else than this gateway answered{here}{words}{strays}"
        fix = f"{_key(trip)} must lead to this gateway: mend the URL, or the proxy that passes it on, path included"
        return [*named, Finding(level, subject, text, f"{prefix}.elsewhere", fix), *left]
    text = f"Mattermost got no answer from {trip.url} ({_meaning(trip)}){here}"
    fix = by_hand(trip.url)
    if look.startswith(_NOTHING):
        # Where nobody answers this machine either, what Mattermost may call is not what is wrong first.
        named = [one for one in named if _FORBIDDEN not in one.fix]
        fix = f"is {_key(trip)} right? The gateway itself listens on port {loaded.config.gateway.port}. {fix}"
    return [*named, Finding(level, subject, text, f"{prefix}.unreachable", fix), *left]


def _meaning(trip: RoundTrip) -> str:
    """What Mattermost's refusal means; it hides the reason from its clients."""
    if trip.seconds >= _TIMEOUT_SECONDS or "no answer within" in trip.problem:
        return f"none within {trip.seconds:g} s: a firewall swallows the request, or the host is not there"
    if "execute_command.failed_empty" in trip.code:
        return "an empty one: something else than this gateway answers there"
    words = "refused at once: nothing listens there, the address is one that it may not call, or TLS failed"
    return words if trip.kind == "command" else f"{words}, or what answered did not say 200"


def _not_tried(trip: RoundTrip) -> tuple[str, str]:
    """What kept the round trip from being made, and what to do about that."""
    if trip.code == "api.command.disabled.app_error":
        text = "custom slash commands are switched off in Mattermost"
        fix = "set ServiceSettings.EnableCommands to true (System Console > Integrations > Integration Management)"
        return text, fix
    if trip.status == 403 and trip.kind == "command":
        text = f"the bot may not make a slash command ({trip.problem})"
        return text, "grant Manage Slash Commands, or make the bot a team admin"
    if trip.kind == "button" and trip.status in (403, 404, 501):
        fix = "where the server has it, set ServiceSettings.EnablePostActionIntegration to true"
        return f"the check's button could not be posted or clicked ({trip.problem})", fix
    return trip.problem or "the round trip could not be made", "see the account's own findings"


def _origin(trip: RoundTrip) -> str:
    return trip.source or f"the trusted proxy {trip.peer}, which names no client,"


def _source_refused(trip: RoundTrip, subject: str, loaded: Loaded) -> Finding:
    key = f"{_root(trip.account)}.interactions.allowedSourceIps"
    trusted = loaded.config.gateway.trusted_proxies
    if trip.forwarded and trip.peer not in trusted and trip.source == trip.peer:
        text = f"come through a proxy at {trip.peer}, which is not trusted, for {trip.forwarded}"
        client = trip.forwarded.split(",")[-1].strip()
        fix = f'set gateway.trustedProxies = ["{trip.peer}"] and {key} = ["{client}"]'
    elif not trip.source and trip.forwarded:
        text = (
            f"come through the trusted proxy {trip.peer} from its own machine (X-Forwarded-For: {trip.forwarded}), "
            "which counts as no client"
        )
        fix = SAME_MACHINE
    elif not trip.source:
        text = f"come through the trusted proxy {trip.peer}, which names no client"
        fix = f"let the proxy set X-Forwarded-For (it sent: none); {SAME_MACHINE}"
    else:
        text = f"come from {trip.source}, which may not deliver any"
        fix = f'add "{trip.source}" to {key}'
    return Finding(Level.FAILED, subject, text, "button.source", fix)


def _root(account: AccountId) -> str:
    return "channels.mattermost" if account == "default" else f"channels.mattermost.accounts.{account}"


def _key(trip: RoundTrip) -> str:
    name = "commands.callbackUrl" if trip.kind == "command" else "interactions.callbackBaseUrl"
    return f"{_root(trip.account)}.{name}"


@frozen
class _Place:
    """Where a URL leads: its host with port, and what its name resolves to."""

    netloc: str
    host: str
    addresses: tuple[Address, ...]


async def url_findings(url: str, account: Account, subject: str) -> list[Finding]:
    """What a callback URL is by itself: loopback, private, Mattermost's own, or a name that is unknown here."""
    callback, server = await _place(url), await _place(account.base_url)
    if (callback.netloc, urlsplit(url).scheme) == (server.netloc, urlsplit(account.base_url).scheme):
        text = f"{url} is Mattermost's own address"
        fix = (
            f"set it to the gateway's address, or let the proxy at {callback.host} pass {urlsplit(url).path} on to "
            "the gateway"
        )
        return [Finding(Level.WARNING, subject, text, "callback.mattermost", fix)]
    if not callback.addresses:
        text = f"the name {callback.host} in {url} is not known to this machine"
        return [Finding(Level.WARNING, subject, text, "callback.unknown_host", "correct the name, or make it known")]
    zones = [classify(address) for address in callback.addresses]
    allow = f'add "{callback.host}" to {_UNTRUSTED} ({_DEVELOPER}), {_FORBIDDEN}'
    if Zone.LOOPBACK in zones:
        is_same = any(classify(address) is Zone.LOOPBACK for address in server.addresses)
        where = "" if is_same else f", while Mattermost is at {server.host}"
        text = f"{url} is a loopback address{where}"
        fix = allow if is_same else "set it to an address of this machine that Mattermost reaches"
        return [Finding(Level.WARNING, subject, text, "callback.loopback", fix)]
    private = [address for address, zone in zip(callback.addresses, zones, strict=True) if zone is not Zone.PUBLIC]
    if private:
        text = f"{url} is a private address ({private[0]})"
        return [Finding(Level.WARNING, subject, text, "callback.private", allow)]
    return []


async def _place(url: str) -> _Place:
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    literal = parse_address(host)
    if literal is not None:
        return _Place(f"{host}:{port}", host, (literal,))
    try:
        with trio.fail_after(_LOOK_SECONDS):
            entries = await trio.socket.getaddrinfo(host, port, type=trio.socket.SOCK_STREAM)
    except (OSError, UnicodeError, trio.TooSlowError):
        return _Place(f"{host}:{port}", host, ())
    texts = dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in entries)
    return _Place(f"{host}:{port}", host, tuple(map(ip_address, texts)))
