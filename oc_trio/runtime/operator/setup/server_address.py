"""Finds the Mattermost that an operator means by what they typed: a missing scheme, a page's address, a wrong port.

Reads `/api/v4/system/ping` without a token, and follows no redirect by itself: no secret reaches an address that nobody
has agreed to.
"""

import ssl
from collections.abc import Iterator, Mapping
from urllib.parse import SplitResult, urlsplit

import httpx
import trio
from attrs import evolve

from oc_trio.classes import frozen
from oc_trio.config.accounts import BadUrl, normalize_base_url
from oc_trio.core.describe_error import describe_error
from oc_trio.core.json_body import BadJson, read_lenient
from oc_trio.core.netguard import OPT_IN, NetPolicy, literal
from oc_trio.errors import MattermostError
from oc_trio.mattermost.address_guard import AddressRefused
from oc_trio.network.tls import client_tls
from oc_trio.runtime.account.dependencies import Dependencies

PING = "/api/v4/system/ping"
# Behind a server without TLS, where nothing else is said; the others are those of the schemes.
USUAL_PORT = 8065
# For one address, and for all that are tried: a firewall may swallow each.
_SECONDS = 8.0
_ALL_SECONDS = 40.0
# Of a page's address only so many parts are tried: `/mattermost/team/channels/town-square` has four.
_MOST_PATHS = 5
# Two schemes, the ports and the paths make more than a person waits for; the likely ones come first.
_MOST_TRIES = 14
# Bytes of an answer that are kept: a ping has some hundred, and what answers may be anything.
_LONGEST = 65_536
# The type stands in the sentence that people read, and a server may send anything as one.
_LONGEST_KIND = 60


@frozen
class ServerAddress:
    """Where Mattermost answers. `notes` say what was corrected, `consent` is a question about a correction that could
    send the token elsewhere than was typed; "" where there is none. `is_private`: it is an address
    of a private network.

    Without an answer `base_url` is empty, `problem` says what was found instead and `fix` what to do.
    """

    base_url: str = ""
    notes: tuple[str, ...] = ()
    consent: str = ""
    is_private: bool = False
    problem: str = ""
    fix: str = ""


@frozen
class PingAnswer:
    """What came of one address: `is_mattermost`, or a `problem` in words; `redirect` is the base URL it points to.

    `is_silent`: there was no HTTP answer, so other paths of it need no try.
    """

    base_url: str
    is_mattermost: bool = False
    is_private: bool = False
    is_silent: bool = False
    problem: str = ""
    redirect: str = ""


def candidates(text: str) -> Iterator[str]:
    """The base URLs that `text` may mean, the likeliest first. Raises BadUrl where it can't be an address."""
    typed = text.strip()
    schemes: tuple[str, ...] = ("https", "http")
    if "://" in typed:
        scheme, _, rest = typed.partition("://")
        given = scheme.lower()
        schemes = (given, *(other for other in schemes if other != given)) if given in schemes else (given,)
    else:
        rest = typed
    # A page's address copied from a browser has both, and neither belongs to the server's.
    rest = rest.split("?")[0].split("#")[0]
    addresses = [urlsplit(normalize_base_url(f"{scheme}://{rest}")) for scheme in schemes]
    for address in addresses:
        yield from (_with(address, path=path) for path in _paths(address.path))
    for address in addresses:
        # Mattermost's own port speaks HTTP unless it was given a certificate; https:// at it is rarely right.
        usual = (None, USUAL_PORT) if address.scheme == "http" else (None,)
        yield from (_with(address, path="", port=port) for port in usual if port != address.port)


def _paths(path: str) -> list[str]:
    parts = [part for part in path.split("/") if part]
    lengths = range(min(len(parts), _MOST_PATHS), -1, -1)
    return ["".join(f"/{part}" for part in parts[:length]) for length in lengths]


def _with(address: SplitResult, *, path: str, port: int | None = -1) -> str:
    host = address.hostname or ""
    host = f"[{host}]" if ":" in host else host
    number = address.port if port == -1 else port
    return f"{address.scheme}://{host}{f':{number}' if number is not None else ''}{path}"


async def find_server(text: str, environ: Mapping[str, str]) -> ServerAddress:
    """Ask the addresses that `text` may mean, one after the other. Raises BadUrl where it can't be one."""
    untried = list(dict.fromkeys(candidates(text)))
    dependencies = Dependencies(environ=environ)
    first: PingAnswer | None = None
    answers: dict[str, PingAnswer] = {}
    silent: set[str] = set()
    with trio.move_on_after(_ALL_SECONDS):
        while untried and len(answers) < _MOST_TRIES:
            base_url = untried.pop(0)
            origin = _origin(base_url)
            if base_url in answers or origin in silent:
                continue
            if base_url.startswith("https://") and dependencies.ssl_context is None:
                context = await trio.to_thread.run_sync(client_tls)
                dependencies = Dependencies(ssl_context=context, environ=environ)
            answer = answers[base_url] = await ask_ping(base_url, dependencies)
            first = first or answer
            if answer.is_mattermost:
                return _found(text.strip(), answer, first)
            if answer.is_silent:
                # Each further path there would cost the same wait.
                silent.add(origin)
            if answer.redirect and answer.redirect not in answers:
                # Next, not last: who redirects knows the address better than the guesses do.
                untried.insert(0, answer.redirect)
    return _not_found(first)


async def ask_ping(base_url: str, dependencies: Dependencies) -> PingAnswer:
    """What answers at a base URL. A private address is asked, too, and `is_private` says so."""
    is_private = False
    try:
        return await _get(base_url, dependencies, NetPolicy())
    except AddressRefused as refusal:
        if OPT_IN not in str(refusal):
            return PingAnswer(base_url, problem=str(refusal), is_silent=True)
        is_private = True
    except MattermostError as problem:
        return PingAnswer(base_url, problem=str(problem), is_silent=True)
    try:
        return evolve(await _get(base_url, dependencies, NetPolicy(allow_private=True)), is_private=is_private)
    except MattermostError as problem:
        return PingAnswer(base_url, problem=str(problem), is_silent=True, is_private=is_private)


async def _get(base_url: str, dependencies: Dependencies, policy: NetPolicy) -> PingAnswer:
    """Raises MattermostError where the address guard or the name's resolution refuses."""
    body = bytearray()
    context = dependencies.ssl_context or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    transport = dependencies.transport(base_url, policy)
    try:
        async with httpx.AsyncClient(transport=transport, verify=context, timeout=None) as http:  # noqa: S113
            with trio.fail_after(_SECONDS):
                response = await http.send(
                    http.build_request("GET", base_url + PING), stream=True, follow_redirects=False
                )
                try:
                    async for chunk in response.aiter_bytes():
                        if len(body) < _LONGEST:  # read on: leaving httpx's iterators half-read makes Python warn
                            body += chunk
                finally:
                    await response.aclose()
    except trio.TooSlowError:
        return PingAnswer(base_url, problem=f"{base_url} does not answer within {_SECONDS:g} s", is_silent=True)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, trio.BrokenResourceError, trio.ClosedResourceError) as problem:
        why = describe_error(problem)
        hint = " (does it speak http:// only?)" if "WRONG_VERSION_NUMBER" in why else ""
        return PingAnswer(base_url, problem=f"{base_url} can't be reached: {why}{hint}", is_silent=True)
    return _read(base_url, response.status_code, response.headers, bytes(body))


def _read(base_url: str, status: int, headers: Mapping[str, str], body: bytes) -> PingAnswer:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()[:_LONGEST_KIND]
    try:
        value = read_lenient(body) if status == 200 else None
    except BadJson:
        value = None
    if isinstance(value, dict) and str(value.get("status", "")).upper() in ("OK", "UNHEALTHY"):
        return PingAnswer(base_url, is_mattermost=True)
    location = headers.get("location", "")
    if 300 <= status < 400 and location:
        target = location.split("?")[0] if "://" in location else _origin(base_url) + location.split("?")[0]
        redirect = target.removesuffix(PING).rstrip("/") if target.endswith(PING) else ""
        return PingAnswer(base_url, problem=f"{base_url} redirects to {target[:200]}", redirect=_normal(redirect))
    what = f"HTTP {status}, {kind}" if kind else f"HTTP {status}"
    return PingAnswer(base_url, problem=f"what answers at {base_url} is not Mattermost ({what})")


def _normal(url: str) -> str:
    try:
        return normalize_base_url(url) if url else ""
    except BadUrl:
        return ""


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _found(typed: str, answer: PingAnswer, first: PingAnswer) -> ServerAddress:
    """The address that answers, with what it differs in from what was typed."""
    url, wanted = urlsplit(answer.base_url), urlsplit(first.base_url)
    notes, consent = [], ""
    if answer.base_url != typed.rstrip("/"):
        notes.append(f"Mattermost answers at {answer.base_url}")
    if answer.is_private:
        notes.append("it is in a private network: network.dangerouslyAllowPrivateNetwork is set for it")
    elif url.scheme == "http":
        notes.append("without TLS: everybody on the way can read the token")
    elsewhere = url.hostname != wanted.hostname
    other_port = url.port != wanted.port and (url.scheme == wanted.scheme or url.port is not None)
    # Over http:// everybody on the way reads the token: only who typed it that way, or typed none, wants that.
    downgraded = typed.lower().startswith("https://") and url.scheme == "http"
    if elsewhere or other_port or downgraded:
        consent = f"{first.problem}, but Mattermost answers at {answer.base_url}. Use that?"
    elif answer.is_private and not _is_spelled_private(url.hostname or ""):
        consent = f"{url.hostname} is an address of a private network. Is that server yours?"
    return ServerAddress(answer.base_url, tuple(notes), consent, answer.is_private)


def _is_spelled_private(host: str) -> bool:
    """Whether who typed the host has seen that it is private: an address in numbers, or this machine's name."""
    try:
        return host == "localhost" or literal(host) is not None
    except ValueError:
        return False


def _not_found(first: PingAnswer | None) -> ServerAddress:
    if first is None:
        return ServerAddress(problem=f"no answer within {_ALL_SECONDS:g} s", fix="see DNS and proxies")
    fix = (
        f"open the server in a browser on this machine, and take its address; `curl {first.base_url}{PING}` must say OK"
    )
    return ServerAddress(problem=first.problem, fix=fix)
